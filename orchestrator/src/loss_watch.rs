//! The watch over this service and the participants, for commits that a failover has lost ([`crate::lost_commits`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::group_commit::BatchSender;
use common::http::Method;
use common::supervision::{ActorEntry, ChildSpec, Periodic, every};
use futures::future::join_all;
use serde::Deserialize;

use crate::lost_commits::LostCommits;
use crate::neighbours::{Neighbours, ReplicaAnswer};
use crate::store::writer::SagaLogWriter;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(crate) struct LossWatch {
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) lost: Arc<LostCommits>,
    pub(crate) neighbours: Arc<Neighbours>,
}

pub(crate) fn loss_watch(entry: Arc<ActorEntry>, watch: LossWatch) -> ChildSpec {
    every(entry, LOOK_EVERY, watch)
}

/// The part of a service's health that matters here.
#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    checks: BTreeMap<String, String>,
}

impl Periodic for LossWatch {
    async fn run(&self) -> Duration {
        if let Some(loss) = self.saga_log.lost_commits().await {
            self.lost.note(&loss.to_string());
        }
        let participants = self.neighbours.all().iter().filter(|name| *name != crate::SERVICE);
        let asked = participants.map(|name| self.neighbours.ask::<Health>(name, Method::GET, "/health/", None));
        for ReplicaAnswer { answer, .. } in join_all(asked).await.into_iter().flatten() {
            if let Some(loss) = answer.ok().and_then(|mut health| health.checks.remove("lost_commits")) {
                self.lost.note(&loss);
            }
        }
        LOOK_EVERY
    }
}
