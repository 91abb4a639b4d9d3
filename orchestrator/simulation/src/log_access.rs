//! Writes of processes to the saga log: they take time, fail, are refused or in doubt, and processes are killed around
//! them.

use std::sync::Arc;
use std::time::Duration;

use saga_engine::record::ValueRefused;

use super::fate::{AfterDeath, FaultPhase, WriteEnd, WriteFate};
use super::mutation::{Mutation, is_mutated};
use super::process::{ProcessId, kill, pause};
use super::sim::Sim;
use super::standbys::Database;
use super::watch;
use saga_engine::record::{Change, LogWrite, WriteReport};
use saga_engine::world::Answer;

/// Queues a write, which commits after its time.
pub(super) fn write(sim: &Arc<Sim>, process: ProcessId, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
    let fate = {
        let phase = sim.phase();
        let mut inner = sim.lock();
        inner.tally.writes += 1;
        if inner.processes[process.0].writes_under_way >= sim.knobs.log_queue {
            inner.tally.log_queue_full += 1;
            drop(inner);
            return answer.give(WriteReport::NotWritten("the queue is full".to_owned()));
        }
        inner.processes[process.0].writes_under_way += 1;
        inner.fate.write(&write, phase)
    };
    sim.after(fate.commits, move |sim| commit(sim, process, &write, fate, answer));
}

fn commit(sim: &Arc<Sim>, process: ProcessId, write: &Arc<LogWrite>, fate: WriteFate, answer: Answer<WriteReport>) {
    if sim.is_dead(process) && fate.after_death == AfterDeath::No {
        return;
    }
    let locked_until = sim.lock().log.open.on(write.saga_id);
    if let Some(until) = locked_until {
        let (wait, write) = (until.saturating_sub(sim.elapsed()) + Duration::from_millis(1), write.clone());
        return sim.after(wait, move |sim| commit(sim, process, &write, fate, answer));
    }
    if let Some(lasts) = fate.pause {
        pause(sim, process, lasts);
    }
    let end = if sim.reaches_database(process) { fate.end } else { WriteEnd::Failed };
    let report = match end {
        WriteEnd::KilledBefore => {
            note(sim, process, write, "is killed before");
            return kill(sim, process);
        }
        WriteEnd::Failed => {
            sim.lock().tally.failed_writes += 1;
            WriteReport::NotWritten("the database went away".to_owned())
        }
        WriteEnd::Rejected => rejected(sim),
        WriteEnd::DoubtedGone => in_doubt(sim),
        WriteEnd::Committed => apply(sim, process, write),
        WriteEnd::DoubtedThere => {
            apply(sim, process, write);
            in_doubt(sim)
        }
        WriteEnd::DoubtedLate(after) => {
            commit_later(sim, process, write, after);
            in_doubt(sim)
        }
        WriteEnd::KilledAfter => {
            apply(sim, process, write);
            note(sim, process, write, "is killed after");
            return kill(sim, process);
        }
    };
    sim.note_at(process, |trace| format!("log: {} of {}: {report:?}", write.change.name(), trace.name(write.saga_id)));
    sim.after(fate.report, move |sim| {
        sim.lock().processes[process.0].writes_under_way -= 1;
        sim.at(process, move |_| answer.give(report));
    });
}

/// Commits a write whose connection was lost, after `after`, unless the database is down then.
fn commit_later(sim: &Arc<Sim>, process: ProcessId, write: &Arc<LogWrite>, after: Duration) {
    let (began, commits) = (sim.database_now(), sim.elapsed() + after);
    {
        let mut inner = sim.lock();
        inner.tally.late_commits += 1;
        inner.log.open.add(write.saga_id, began, commits);
    }
    let write = write.clone();
    sim.after(after, move |sim| {
        let is_open = sim.lock().log.open.on(write.saga_id) == Some(commits);
        if !is_open {
            // The server that it ran on was replaced by its standby.
            return;
        }
        sim.lock().log.open.remove(write.saga_id);
        if sim.database_answers() {
            let report = apply_at(sim, process, &write, began);
            note(sim, process, &write, &format!("commits late ({report:?})"));
        }
    });
}

fn note(sim: &Sim, process: ProcessId, write: &LogWrite, what: &str) {
    sim.note_at(process, |trace| format!("{what} {} of {}", write.change.name(), trace.name(write.saga_id)));
}

fn in_doubt(sim: &Sim) -> WriteReport {
    sim.lock().tally.in_doubt += 1;
    WriteReport::InDoubt("the connection went while committing".to_owned())
}

/// Reason of a refused value.
pub(super) const REFUSED_VALUE: &str = "the simulator (22P05)";

fn rejected(sim: &Sim) -> WriteReport {
    sim.lock().tally.rejected_writes += 1;
    WriteReport::Rejected(ValueRefused { code: "22P05".to_owned(), reason: REFUSED_VALUE.to_owned() })
}

fn apply(sim: &Sim, process: ProcessId, write: &LogWrite) -> WriteReport {
    apply_at(sim, process, write, sim.database_now())
}

/// Applies a write whose statement runs at `at`.
fn apply_at(sim: &Sim, process: ProcessId, write: &LogWrite, at: chrono::DateTime<chrono::Utc>) -> WriteReport {
    let mut inner = sim.lock();
    let owner = inner.processes[process.0].owner.clone();
    let changed = inner.log.apply(&owner, write, at);
    let mutation = match changed {
        Some(_) => Mutation::CommitWithoutStandby,
        None => Mutation::VerdictWithoutBarrier,
    };
    let is_new = changed.is_some();
    let report = changed.unwrap_or_else(|| inner.log.verdict(&owner, write));
    match (&report, &write.change) {
        (WriteReport::Durable { .. }, Change::MarkFailed { .. }) => inner.tally.failed_marks += 1,
        (WriteReport::Durable { .. }, Change::Begin { .. }) => {
            if is_new {
                watch::begun(sim.elapsed(), &mut inner, write.saga_id, at);
            }
            let is_bad = sim.phase() == FaultPhase::Wild && inner.chance(sim.faults.bad_row_rate);
            if is_bad {
                inner.tally.bad_rows += 1;
                inner.log.spoil(write.saga_id);
            }
        }
        (WriteReport::Lost, _) => inner.tally.refused_writes += 1,
        _ => {}
    }
    // The database refuses a value before the commit.
    let is_refused = matches!(report, WriteReport::Rejected(_));
    if is_refused || inner.standbys.confirm(&Database::SagaLog) || is_mutated(mutation) {
        return report;
    }
    inner.tally.unconfirmed += 1;
    WriteReport::InDoubt("no standby confirmed it".to_owned())
}
