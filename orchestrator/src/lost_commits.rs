//! Confirmed commits that a failover has lost, at this service or a participant: the reason for a hold on all sagas, as
//! after a restore, since the databases may not fit together any more.
//!
//! ```text
//! own group commit ──────────────┐
//! participants ── /health/ ──────┴─► LostCommits ─► session of the lease ─► saga_hold, once for each loss
//! ```
//! A participant repeats its loss until it is restarted. The saga log remembers each loss that has put the hold, so that a
//! release is final, also for other nodes and after a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::config::Settings;
use common::group_commit::BatchSender;
use common::http::Method;
use common::supervision::{ActorEntry, ChildSpec, Handle, child};
use futures::future::join_all;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::Deserialize;
use tracing::error;

use crate::store::writer::SagaLogWriter;
use crate::ui::neighbours::{Neighbours, Said};

/// Time between two looks at the participants' health.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The losses that this process has heard of.
#[derive(Debug, Default)]
pub(crate) struct LostCommits(Mutex<BTreeMap<String, Treated>>);

/// Whether the saga log knows a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treated {
    No,
    Yes,
}

impl LostCommits {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Treated>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a loss in the words of the service that has found it: `<database>: <details>`.
    pub(crate) fn note(&self, loss: &str) {
        let mut known = self.known();
        if !known.contains_key(loss) {
            error!(loss, "confirmed commits are lost: all sagas are put on hold");
            known.insert(loss.to_owned(), Treated::No);
        }
    }

    /// Returns the losses that the saga log may not know.
    pub(crate) fn open(&self) -> Vec<String> {
        let known = self.known();
        known.iter().filter(|(_, treated)| **treated == Treated::No).map(|(loss, _)| loss.clone()).collect()
    }

    /// Marks a loss that the saga log knows.
    pub(crate) fn treated(&self, loss: &str) {
        self.known().insert(loss.to_owned(), Treated::Yes);
    }
}

/// Returns the reason of the hold for a loss.
pub(crate) fn reason(loss: &str) -> String {
    let database = loss.split_once(':').map_or(loss, |(database, _)| database);
    format!("commits lost at failover: {database}")
}

#[derive(Clone)]
pub(crate) struct WatchArguments {
    pub(crate) entry: Arc<ActorEntry>,
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) lost: Arc<LostCommits>,
    pub(crate) neighbours: Arc<Neighbours>,
    pub(crate) participants: Arc<[String]>,
}

impl WatchArguments {
    pub(crate) fn new(
        entry: Arc<ActorEntry>,
        saga_log: BatchSender<SagaLogWriter>,
        lost: Arc<LostCommits>,
        settings: &Settings,
    ) -> Result<Self, reqwest::Error> {
        let neighbours = Arc::new(Neighbours::new(settings)?);
        let participants = settings.services.keys().filter(|name| *name != crate::SERVICE).cloned().collect();
        Ok(Self { entry, saga_log, lost, neighbours, participants })
    }
}

struct Watch;

/// Returns the actor that asks this service and the participants.
pub(crate) fn watch(arguments: WatchArguments) -> ChildSpec {
    child(arguments.entry.clone(), Handle::new(), move || (Watch, arguments.clone()))
}

struct Look;

/// The part of a service's health that matters here.
#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    checks: BTreeMap<String, String>,
}

impl Actor for Watch {
    type Msg = Look;
    type State = WatchArguments;
    type Arguments = WatchArguments;

    async fn pre_start(
        &self,
        me: ActorRef<Look>,
        arguments: WatchArguments,
    ) -> Result<WatchArguments, ActorProcessingErr> {
        me.send_after(LOOK_EVERY, || Look);
        Ok(arguments)
    }

    async fn handle(&self, me: ActorRef<Look>, _: Look, state: &mut WatchArguments) -> Result<(), ActorProcessingErr> {
        state.entry.handled();
        // A look takes a few seconds if a participant does not answer; nothing else waits for this actor.
        if let Some(loss) = state.saga_log.lost_commits().await {
            state.lost.note(&loss.to_string());
        }
        let asked = state
            .participants
            .iter()
            .map(|participant| state.neighbours.ask::<Health>(participant, Method::GET, "/health/", None));
        for Said { answer, .. } in join_all(asked).await.into_iter().flatten() {
            if let Some(loss) = answer.ok().and_then(|mut health| health.checks.remove("lost_commits")) {
                state.lost.note(&loss);
            }
        }
        me.send_after(LOOK_EVERY, || Look);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_open_until_the_saga_log_knows_it() {
        let lost = LostCommits::default();
        let loss = "ms_payments: commits confirmed on timeline 7/00000001 are missing on 7/00000002";
        lost.note(loss);
        assert_eq!(lost.open(), [loss]);
        lost.treated(loss);
        lost.note(loss);
        assert!(lost.open().is_empty());
        assert_eq!(reason(loss), "commits lost at failover: ms_payments");
    }
}
