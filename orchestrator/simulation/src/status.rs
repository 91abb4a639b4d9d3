//! The status endpoint of a replica, by the rules of `api::status`: from memory if the saga runs there, otherwise from
//! the row, with a barrier behind the read.

use std::sync::Arc;
use std::time::Duration;

use super::mutation::{Mutation, is_mutated};
use super::process::{BEGIN_LIMIT, ProcessId, ProcessState, pick};
use super::sim::Sim;
use super::standbys::Database;
use orchestrator::store::decided::{self, Decided, Look, Older};
use saga_engine::{SagaId, Status};

/// Answer of a replica to a status request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The saga's status.
    Saga { status: Status, has_ended: bool },
    /// 404.
    NotFound,
    /// 503: the status is not known now.
    Unknown,
}

/// Sends a status request to one replica.
pub(super) fn ask(sim: &Sim, process: ProcessId, id: SagaId) -> Shown {
    let (lease, running) = {
        let inner = sim.lock();
        let process = &inner.processes[process.0];
        if process.state != ProcessState::Alive {
            return Shown::Unknown;
        }
        (process.lease.clone(), process.running.clone())
    };
    if lease.covers_memory()
        && let Some(saga) = running.get(id)
    {
        let log = &saga.progress().log;
        if log.is_begun() && log.ended().is_none() {
            return Shown::Saga { status: log.status(), has_ended: false };
        }
    }
    if !sim.reaches_database(process) {
        return Shown::Unknown;
    }
    if !sim.confirms(&Database::SagaLog) && !is_mutated(Mutation::StatusWithoutBarrier) {
        return Shown::Unknown;
    }
    let now = sim.database_now();
    let inner = sim.lock();
    if let Some(row) = inner.log.row(id) {
        return Shown::Saga { status: row.status, has_ended: row.ended_at.is_some() };
    }
    let Some(decided_by) = id.decided_by(BEGIN_LIMIT) else { return Shown::NotFound };
    let older = if inner.log.open.any_before(decided_by) { Older::Open } else { Older::Over };
    match decided::judge(decided_by, Look { now, older }) {
        Decided::Yes => Shown::NotFound,
        Decided::By(_) if is_mutated(Mutation::NotFoundAtOnce) => Shown::NotFound,
        Decided::By(_) => Shown::Unknown,
    }
}

/// Sends a status request to any replica.
pub(super) fn ask_any(sim: &Arc<Sim>, id: SagaId) -> Shown {
    let replica = pick(&mut sim.lock(), |state| state == ProcessState::Alive);
    let shown = replica.map_or(Shown::Unknown, |replica| ask(sim, replica, id));
    let mut inner = sim.lock();
    inner.tally.status_asked += 1;
    if shown == Shown::NotFound {
        inner.tally.not_found += 1;
        inner.watched.not_found(id);
    }
    drop(inner);
    sim.note(|_| "client".to_owned(), |trace| format!("asks for {}: {shown:?}", trace.name(id)));
    shown
}

/// Sends a status request to any replica after this time.
pub(super) fn ask_later(sim: &Arc<Sim>, id: SagaId, after: Duration) {
    sim.after(after, move |sim| {
        ask_any(sim, id);
    });
}
