//! Looks of processes at the saga log: the real look, with statements that each take time. The connection can be lost
//! before any of them; earlier claims stay.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use uuid::Uuid;

use super::durable_log::LogNow;
use super::fate::LookEnd;
use super::mutation::{Mutation, is_mutated};
use super::process::{ProcessId, ProcessState};
use super::sim::Sim;
use super::standbys::Database;
use saga_engine::SagaId;
use saga_engine::owner::Owner;
use saga_engine::recovery::{self, ClaimRequest, Claimed, Claimer, Flag, Free, ListedRow, SeenOwner, Statements};
use saga_engine::stored::{ReadRow, UnreadableRow};
use saga_engine::world::Answer;

/// Interval at which a look checks whether its paused process has resumed.
const PAUSED: Duration = Duration::from_millis(50);

/// Performs a look of this process.
pub(super) fn look(
    sim: &Arc<Sim>,
    process: ProcessId,
    question: ClaimRequest,
    answer: Answer<Result<Claimed, String>>,
) {
    let (fate, claimer) = {
        let phase = sim.phase();
        let mut inner = sim.lock();
        (inner.fate.look(phase), inner.processes[process.0].claimer.clone())
    };
    let mut log = Connection { sim: sim.clone(), process, claimer, takes: fate.takes, end: fate.end, statement: 0 };
    tokio::spawn(async move {
        let found = recovery::look(&mut log, question).await;
        let Connection { sim, .. } = log;
        for saga in found.iter().flat_map(|found| &found.claimed) {
            sim.note_at(process, |trace| format!("log: claims {} (epoch {})", trace.name(saga.id), saga.epoch));
        }
        let found = match (found, fate.end) {
            (Ok(_), LookEnd::Lost) => {
                sim.lock().tally.lost_looks += 1;
                Err("the connection went".to_owned())
            }
            (found, _) => found,
        };
        sim.lock().tally.full_batches += u64::from(found.as_ref().is_ok_and(|found| found.has_more));
        sim.at(process, move |_| answer.give(found));
    });
}

/// A connection of a look to the log in memory.
struct Connection {
    sim: Arc<Sim>,
    process: ProcessId,
    claimer: Arc<Claimer>,
    /// Time that each statement takes.
    takes: Duration,
    end: LookEnd,
    /// Number of statements so far.
    statement: usize,
}

impl Connection {
    /// Runs a statement, if it reaches the database.
    async fn run<T>(&mut self, act: impl FnOnce(&mut LogNow<'_>) -> Result<T, Infallible> + Send) -> Result<T, String> {
        tokio::time::sleep(self.takes).await;
        loop {
            let state = self.sim.lock().processes[self.process.0].state;
            match state {
                ProcessState::Alive => break,
                ProcessState::Paused => tokio::time::sleep(PAUSED).await,
                ProcessState::Dead => return Err("its process died".to_owned()),
            }
        }
        let statement = self.statement;
        self.statement += 1;
        if !self.sim.reaches_database(self.process) {
            return Err("the database is away".to_owned());
        }
        if self.end == LookEnd::CutBefore(statement) {
            self.sim.lock().tally.cut_looks += 1;
            self.sim.note_at(self.process, |_| format!("log: a look is cut before its statement {statement}"));
            return Err("the connection went".to_owned());
        }
        let now = self.sim.database_now();
        let mut inner = self.sim.lock();
        let Ok(found) = act(&mut LogNow { log: &mut inner.log, claimer: &self.claimer, now });
        Ok(found)
    }
}

/// Returns the result of a statement in memory, which is ready at once.
fn at_once<T>(answer: impl Future<Output = Result<T, Infallible>>) -> Result<T, Infallible> {
    answer.now_or_never().expect("memory answers at once")
}

impl Statements for Connection {
    type Error = String;

    fn batch(&self) -> i64 {
        self.claimer.batch
    }

    async fn lost(&mut self, running: &[Uuid]) -> Result<Vec<SagaId>, String> {
        self.run(|log| at_once(log.lost(running))).await
    }

    async fn flags(&mut self, since: Option<DateTime<Utc>>) -> Result<Vec<Flag>, String> {
        self.run(|log| at_once(log.flags(since))).await
    }

    async fn owners(&mut self) -> Result<Vec<SeenOwner>, String> {
        self.run(|log| at_once(log.owners())).await
    }

    async fn own_rows(&mut self, after: Uuid, limit: i64) -> Result<Vec<ListedRow>, String> {
        self.run(|log| at_once(log.own_rows(after, limit))).await
    }

    async fn free_of_the_dead(&mut self, dead: &[Owner]) -> Result<usize, String> {
        self.run(|log| at_once(log.free_of_the_dead(dead))).await
    }

    async fn claim(&mut self, free: Free<'_>) -> Result<Vec<ReadRow>, String> {
        let may_change_unseen = matches!(free, Free::Died(_));
        let claimed = self.run(|log| at_once(log.claim(free))).await?;
        if !self.sim.confirms(&Database::SagaLog) && (may_change_unseen || !claimed.is_empty()) {
            return Err("the standby did not confirm a claim".to_owned());
        }
        if claimed.iter().any(Result::is_err) && is_mutated(Mutation::BadRowFailsAll) {
            Err("a row cannot be read".to_owned())
        } else {
            Ok(claimed)
        }
    }

    async fn set_aside(&mut self, rows: &[UnreadableRow]) -> Result<(), String> {
        self.run(|log| at_once(log.set_aside(rows))).await
    }

    async fn still_free(&mut self, rows: &[ListedRow]) -> Result<usize, String> {
        self.run(|log| at_once(log.still_free(rows))).await
    }

    async fn tidy(&mut self, dead: &[Owner]) -> Result<(), String> {
        self.run(|log| at_once(log.tidy(dead))).await
    }
}
