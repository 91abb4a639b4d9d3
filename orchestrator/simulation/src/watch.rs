//! Observations during a run that its end does not show: rows without an actor, ids answered with 404, and parked
//! calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use smol_str::SmolStr;

use super::fate::FaultPhase;
use super::process::{LEASE, ProcessId, ProcessState};
use super::sim::{Inner, Sim};
use saga_engine::SagaId;
use saga_engine::world::{Call, Purpose};

/// How long a row may lack an actor once faults have ended: the sweep of recovery, a restart, and two leases.
const MOST_WITHOUT_ACTOR: Duration = Duration::from_secs(60);

/// The observations of a run.
#[derive(Default)]
pub(super) struct Watched {
    orphan_since: BTreeMap<SagaId, Duration>,
    /// Sagas that lacked an actor for too long, and when that was observed.
    pub(super) orphans: BTreeMap<SagaId, Duration>,
    /// Ids that a replica answered with 404.
    pub(super) not_found: BTreeSet<SagaId>,
    /// Process and operation of every failed call.
    failed: BTreeSet<(usize, String)>,
    /// Sagas with a parked call whose operation had not failed before, and that operation.
    pub(super) parked_for_others: BTreeMap<SagaId, String>,
    /// Nodes that trusted their lease for longer than it lasted in the log, and when that was observed.
    pub(super) trusted_leases: BTreeMap<String, Duration>,
    /// Nodes that called an action without a lease, and when.
    pub(super) unleased_calls: BTreeMap<String, Duration>,
    /// Nodes that searched the log for sagas to claim during a hold, and when.
    pub(super) ignored_holds: BTreeMap<String, Duration>,
    /// Sagas that began during a hold, and when.
    pub(super) begun_on_hold: BTreeMap<SagaId, Duration>,
    /// Calls in flight of each actor.
    in_flight: BTreeMap<(usize, SagaId, i32), usize>,
    /// Sagas with more calls in flight than their definition allows, and their number.
    pub(super) too_many_calls: BTreeMap<SagaId, usize>,
    /// Sagas of which a step was called whose start was to be in the log, and that step.
    pub(super) unrecorded_starts: BTreeMap<SagaId, SmolStr>,
    /// Ids that came with a 503 and whose result their client could not learn.
    pub(super) not_learnt: BTreeSet<SagaId>,
}

impl Watched {
    pub(super) fn failed(&mut self, process: ProcessId, call: &Call) {
        self.failed.insert((process.0, call.full_name()));
    }

    pub(super) fn parked(&mut self, process: ProcessId, call: &Call) {
        let operation = call.full_name();
        if !self.failed.contains(&(process.0, operation.clone())) {
            self.parked_for_others.entry(call.saga_id).or_insert(operation);
        }
    }

    /// Observes a call that an actor makes, of at most `most` at once.
    pub(super) fn called(&mut self, process: ProcessId, call: &Call, most: usize) {
        let calls = self.in_flight.entry((process.0, call.saga_id, call.epoch)).or_default();
        *calls += 1;
        if *calls > most {
            self.too_many_calls.insert(call.saga_id, *calls);
        }
    }

    /// Observes that a call has its outcome.
    pub(super) fn answered(&mut self, process: ProcessId, call: &Call) {
        if let Some(calls) = self.in_flight.get_mut(&(process.0, call.saga_id, call.epoch)) {
            *calls -= 1;
        }
    }

    pub(super) fn not_found(&mut self, id: SagaId) {
        self.not_found.insert(id);
    }
}

/// Observes the leases: a node trusts its own for no longer than the log grants it.
pub(super) fn leases(sim: &Sim) {
    let elapsed = sim.elapsed();
    let mut inner = sim.lock();
    let Inner { processes, log, watched, .. } = &mut *inner;
    for process in processes.iter().filter(|process| process.state == ProcessState::Alive) {
        if process.lease.is_valid() && !log.leases.was_renewed_within(&process.owner, LEASE) {
            watched.trusted_leases.entry(process.title()).or_insert(elapsed);
        }
    }
}

/// Observes a call: a node without a lease may have a successor, except during a hold, so it calls no action. A read does no
/// harm.
pub(super) fn call(sim: &Sim, process: ProcessId, call: &Call) {
    if sim.step(&call.step, &call.participant).is_read_only() {
        return;
    }
    let elapsed = sim.elapsed();
    let mut inner = sim.lock();
    let Inner { processes, watched, .. } = &mut *inner;
    let process = &processes[process.0];
    if matches!(call.purpose, Purpose::Action { .. }) && !process.lease.is_valid() && process.lease.hold().is_none() {
        watched.unleased_calls.entry(process.title()).or_insert(elapsed);
    }
}

/// Observes a search for sagas to claim, which no node begins once all sagas have been on hold for one lease.
pub(super) fn claim(sim: &Sim, process: ProcessId) {
    let elapsed = sim.elapsed();
    let mut inner = sim.lock();
    if inner.log.leases.is_held_for(LEASE) {
        let node = inner.processes[process.0].title();
        inner.watched.ignored_holds.entry(node).or_insert(elapsed);
    }
}

/// Observes a begin whose statement ran at `at`: its transaction may commit much later. The log judges leases by the database's clock, so a jump of it can revive one that a hold ended.
pub(super) fn begun(elapsed: Duration, inner: &mut Inner, id: SagaId, at: DateTime<Utc>) {
    let leases = &inner.log.leases;
    if leases.is_held_for(LEASE) && leases.was_held_at(at) && inner.tally.clock_jumps == 0 {
        inner.watched.begun_on_hold.entry(id).or_insert(elapsed);
    }
}

/// Observes rows without an actor, once faults have ended: before, such rows are normal.
pub(super) fn look(sim: &Arc<Sim>) {
    if sim.phase() == FaultPhase::Wild {
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

/// Returns the live processes that count sagas without an actor, with their count.
pub(super) fn counted(inner: &Inner) -> Vec<(String, usize)> {
    let alive = inner.processes.iter().filter(|process| process.state != ProcessState::Dead);
    alive
        .map(|process| (process.owner.node_id.clone(), process.running.without_actor()))
        .filter(|(_, number)| *number > 0)
        .collect()
}

/// Tells whether a live process runs this saga under this epoch.
fn has_actor(inner: &Inner, id: SagaId, epoch: i32) -> bool {
    let alive = inner.processes.iter().filter(|process| process.state != ProcessState::Dead);
    alive.into_iter().any(|process| process.running.get(id).is_some_and(|saga| saga.epoch == epoch))
}
