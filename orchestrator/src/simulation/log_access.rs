//! How processes reach the saga log: writes and looks take time, fail, and are in doubt; processes die around them.

use std::sync::Arc;

use futures::FutureExt;

use super::durable_log::LogNow;
use super::fate::{LookAnswer, Outlives, WriteEnd, WriteFate};
use super::process::{ProcessId, kill, pause};
use super::sim::Sim;
use crate::saga::recovery::{self, Found, Question};
use crate::store::record::{Change, LogWrite, WriteReport};
use crate::world::Answer;

/// Writes.
pub(super) fn write(sim: &Arc<Sim>, process: ProcessId, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
    let fate = {
        let mood = sim.mood();
        let mut inner = sim.lock();
        inner.tally.writes += 1;
        inner.fate.write(&write, mood)
    };
    sim.after(fate.commits, move |sim| commit(sim, process, &write, fate, answer));
}

fn commit(sim: &Arc<Sim>, process: ProcessId, write: &LogWrite, fate: WriteFate, answer: Answer<WriteReport>) {
    if sim.is_dead(process) && fate.outlives_process == Outlives::No {
        return;
    }
    if let Some(lasts) = fate.pause {
        pause(sim, process, lasts);
    }
    let end = if sim.database_answers() { fate.end } else { WriteEnd::Failed };
    let report = match end {
        WriteEnd::KilledBefore => {
            note(sim, process, write, "is killed before");
            return kill(sim, process);
        }
        WriteEnd::Failed => WriteReport::NotWritten("the database went away".to_owned()),
        WriteEnd::DoubtedGone => in_doubt(sim),
        WriteEnd::Committed => apply(sim, process, write),
        WriteEnd::DoubtedThere => {
            apply(sim, process, write);
            in_doubt(sim)
        }
        WriteEnd::KilledAfter => {
            apply(sim, process, write);
            note(sim, process, write, "is killed after");
            return kill(sim, process);
        }
    };
    sim.note_at(process, |trace| format!("log: {} of {}: {report:?}", write.change.name(), trace.name(write.saga_id)));
    sim.after(fate.report, move |sim| sim.at(process, move |_| answer.give(report)));
}

fn note(sim: &Sim, process: ProcessId, write: &LogWrite, what: &str) {
    sim.note_at(process, |trace| format!("{what} {} of {}", write.change.name(), trace.name(write.saga_id)));
}

fn in_doubt(sim: &Sim) -> WriteReport {
    sim.lock().tally.in_doubt += 1;
    WriteReport::InDoubt("the connection went while committing".to_owned())
}

fn apply(sim: &Sim, process: ProcessId, write: &LogWrite) -> WriteReport {
    let now = sim.now();
    let mut inner = sim.lock();
    let owner = inner.processes[process.0].owner.clone();
    let report = inner.log.write(&owner, write, now);
    match (&report, &write.change) {
        (WriteReport::Durable { .. }, Change::MarkFailed { .. }) => inner.tally.failed_marks += 1,
        (WriteReport::Lost, _) => inner.tally.refused_writes += 1,
        _ => {}
    }
    report
}

/// Looks for what needs this process.
pub(super) fn look(sim: &Arc<Sim>, process: ProcessId, question: Question, answer: Answer<Result<Found, String>>) {
    let fate = {
        let mood = sim.mood();
        sim.lock().fate.look(mood)
    };
    sim.after(fate.takes, move |sim| {
        if sim.is_dead(process) {
            return;
        }
        if !sim.database_answers() {
            return sim.at(process, move |_| answer.give(Err("the database is away".to_owned())));
        }
        let now = sim.now();
        let found = {
            let mut inner = sim.lock();
            let claimer = inner.processes[process.0].claimer.clone();
            let mut log = LogNow { log: &mut inner.log, claimer: &claimer, now };
            let looked = recovery::look(&mut log, question).now_or_never();
            let Ok(found) = looked.expect("memory answers at once");
            found
        };
        for saga in &found.claimed {
            sim.note_at(process, |trace| format!("log: claims {} (epoch {})", trace.name(saga.id), saga.epoch));
        }
        let found = match fate.answer {
            LookAnswer::Comes => Ok(found),
            LookAnswer::Lost => Err("the connection went".to_owned()),
        };
        sim.at(process, move |_| answer.give(found));
    });
}
