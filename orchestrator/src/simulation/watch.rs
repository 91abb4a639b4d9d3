//! What is watched while a run goes on, since its end does not show it: rows without an actor, and ids that were said not
//! to exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::fate::Mood;
use super::process::ProcessState;
use super::sim::{Inner, Sim};
use crate::saga::SagaId;

/// How long a row may be without an actor once it is calm: the sweep of recovery, a restart, and two leases.
const MOST_WITHOUT_ACTOR: Duration = Duration::from_secs(60);

/// What was seen.
#[derive(Default)]
pub(super) struct Watched {
    orphan_since: BTreeMap<SagaId, Duration>,
    /// Sagas that were without an actor for too long, and when that was seen.
    pub(super) orphans: BTreeMap<SagaId, Duration>,
    /// Ids that a replica answered with 404.
    pub(super) not_found: BTreeSet<SagaId>,
    /// Ids that came with a 503, of which their client could learn nothing.
    pub(super) not_learnt: BTreeSet<SagaId>,
}

impl Watched {
    pub(super) fn not_found(&mut self, id: SagaId) {
        self.not_found.insert(id);
    }
}

/// Looks for rows without an actor. While things go wrong there are some at any time.
pub(super) fn look(sim: &Arc<Sim>) {
    if sim.mood() == Mood::Wild {
        return;
    }
    let (elapsed, now) = (sim.elapsed(), sim.database_now());
    let mut inner = sim.lock();
    let orphans: BTreeSet<SagaId> = inner
        .log
        .rows()
        .filter(|(_, row)| row.ended_at.is_none() && !row.is_bad && row.wake_at.is_none_or(|wake| wake <= now))
        .filter(|(id, row)| !has_actor(&inner, *id, row.epoch))
        .map(|(id, _)| id)
        .collect();
    let watched = &mut inner.watched;
    watched.orphan_since.retain(|id, _| orphans.contains(id));
    for id in orphans {
        let since = *watched.orphan_since.entry(id).or_insert(elapsed);
        if elapsed - since > MOST_WITHOUT_ACTOR {
            watched.orphans.entry(id).or_insert(elapsed);
        }
    }
}

/// Tells whether a living process runs this saga under its epoch.
fn has_actor(inner: &Inner, id: SagaId, epoch: i32) -> bool {
    let alive = inner.processes.iter().filter(|process| process.state != ProcessState::Dead);
    alive.into_iter().any(|process| process.running.get(id).is_some_and(|saga| saga.epoch == epoch))
}
