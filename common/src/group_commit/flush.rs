//! One batch: written as one transaction, repeated if the database asks for it, split in halves if a value is refused.
//!
//! The meaning of an error for the items:
//! - before `commit` was sent: not written;
//! - a failed statement or a refused `commit` while the server keeps the session: not written. A `commit` sent behind
//!   a failed statement ends as a rollback;
//! - any other error once `commit` was sent, and any error after it: in doubt. So is an error of `begin`, since the
//!   statement behind it is sent without waiting and may have run, and committed, on its own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use rand::RngExt;
use serde_json::{Value, json};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tracing::{debug, error, warn};

use super::batch::Batch;
use super::{BatchError, BatchWriter, Shared, Try, ValueRefused, Written};
use crate::db::{Commit, Connection, describe, is_refusal};

/// Maximum number of repeats for a transaction that lost a race.
const MAX_REPEATS: u32 = 5;
/// Longest wait before a repeat; the wait is random, so that two colliding transactions do not collide again.
const REPEAT_JITTER_MS: u64 = 10;
/// How long the queue is held without a database, beyond the wait for a connection, so that a server that refuses at
/// once is not asked in a tight loop.
const PAUSE_WITHOUT_DATABASE: Duration = Duration::from_millis(100);

/// Statistics of batches for the actor's entry, counted across restarts.
#[derive(Default)]
pub(super) struct Stats {
    batches: AtomicU64,
    items: AtomicU64,
    largest: AtomicU64,
    in_flight: AtomicU64,
    last_error: ArcSwapOption<String>,
}

/// The consequence of a batch's outcome for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Each item has the database's answer.
    Settled,
    /// There was no usable connection to the database.
    NoDatabase,
}

/// The outcome of one transaction.
pub(super) enum Ended<A> {
    Committed(Vec<A>),
    /// Rolled back, because of this error.
    Refused(tokio_postgres::Error),
    NotWritten(String),
    NoDatabase(String),
    InDoubt(String),
}

/// Writes a batch, answers every item, and yields to other tasks before it returns.
pub(super) async fn flush<W: BatchWriter>(shared: &Shared<W>, batch: Batch<W>) -> Flushed {
    let _turn = shared.turn.lock().await;
    let started = Instant::now();
    let size = batch.items.len() as u64;
    shared.stats.in_flight.store(size, Ordering::Relaxed);
    shared.activity.begun(started);
    let flushed = write_parts(shared, batch).await;
    shared.activity.ended();
    let took = started.elapsed();
    // Yield, so the callers just answered run first; what they enqueue joins the next batch.
    yield_now().await;
    shared.stats.count(size);
    shared.meters.observe(size, took);
    if flushed == Flushed::NoDatabase {
        sleep(PAUSE_WITHOUT_DATABASE).await;
    }
    flushed
}

async fn write_parts<W: BatchWriter>(shared: &Shared<W>, batch: Batch<W>) -> Flushed {
    let Batch { items, mut replies, traced } = batch;
    let mut answer = |part: Range<usize>, written: &mut dyn FnMut() -> Written<W::Answer>| {
        for reply in &mut replies[part] {
            if let Some(reply) = reply.take() {
                reply.give(written());
            }
        }
    };
    // Parts still to be written, the first one on top.
    let began = SystemTime::now();
    let mut parts: Vec<Range<usize>> = Vec::new();
    parts.push(0..items.len());
    while let Some(part) = parts.pop() {
        let ended = write(shared, &items[part.clone()]).await;
        shared.report(&ended, part.len());
        if !will_be_split(&ended, part.len()) {
            let of_part = traced.iter().filter(|(index, _)| part.contains(index));
            of_part.for_each(|(_, traced)| shared.trace(&ended, traced, part.len(), began));
        }
        match ended {
            Ended::Committed(answers) => {
                let mut answers = answers.into_iter();
                answer(part, &mut || match answers.next() {
                    Some(answer) => Written::Committed(answer),
                    None => Written::InDoubt("the writer gave no answer".to_owned()),
                });
            }
            ended if will_be_split(&ended, part.len()) => {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
            Ended::Refused(error) if blames_a_value(&error) => {
                let sqlstate = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
                let refused = ValueRefused { sqlstate, reason: describe(&error) };
                answer(part, &mut || Written::Rejected(refused.clone()));
            }
            Ended::Refused(error) => answer(part, &mut || Written::NotWritten(describe(&error))),
            Ended::NotWritten(reason) => answer(part, &mut || Written::NotWritten(reason.clone())),
            Ended::InDoubt(reason) => answer(part, &mut || Written::InDoubt(reason.clone())),
            Ended::NoDatabase(reason) => {
                // Parts are written in order, so this part and all later ones are not written.
                answer(part.start..items.len(), &mut || Written::NotWritten(reason.clone()));
                return Flushed::NoDatabase;
            }
        }
    }
    Flushed::Settled
}

/// Writes items in one transaction, repeated as long as it only lost a race.
async fn write<W: BatchWriter>(shared: &Shared<W>, items: &[W::Item]) -> Ended<W::Answer> {
    let mut repeats = 0;
    let mut attempt = Try::First;
    loop {
        match transaction(shared, items, attempt).await {
            Ended::Refused(error) if lost_a_race(&error) && repeats < MAX_REPEATS => {
                debug!(writer = shared.name, reason = %describe(&error), "repeating a batch");
                // The transaction that took a unique key, or changed what a statement relied on, has committed: no wait
                // needed.
                if attempt == Try::Again || error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) {
                    let wait_ms = rand::rng().random_range(0..=REPEAT_JITTER_MS);
                    sleep(Duration::from_millis(wait_ms)).await;
                }
                repeats += 1;
                attempt = Try::Again;
            }
            ended => return ended,
        }
    }
}

async fn transaction<W: BatchWriter>(shared: &Shared<W>, items: &[W::Item], attempt: Try) -> Ended<W::Answer> {
    let mut connection = match shared.pool.writer().await {
        Ok(connection) => connection,
        Err(error) => return Ended::NoDatabase(error.to_string()),
    };
    if let Err(error) = shared.look_back(&mut connection).await {
        return Ended::NoDatabase(describe(&error));
    }
    let ended = transact(shared, &mut connection, items, attempt).await;
    if let Ended::Committed(answers) = &ended {
        let receipt = items.iter().zip(answers).rev().find_map(|(item, answer)| W::receipt(item, answer));
        shared.history.confirmed(connection.timeline(), receipt);
    }
    ended
}

async fn transact<W: BatchWriter>(
    shared: &Shared<W>,
    connection: &mut Connection,
    items: &[W::Item],
    attempt: Try,
) -> Ended<W::Answer> {
    connection.begin();
    let written = shared.writer.write(connection, items, attempt).await;
    if let (Err(BatchError::Database(error)), true) = (&written, connection.is_begin_in_doubt()) {
        return Ended::InDoubt(format!("begin: {}", describe(error)));
    }
    let not_to_be_committed = match (written, connection.commit_state()) {
        (Ok(answers), Commit::Done) => return Ended::Committed(answers),
        (Err(BatchError::Database(error)), Commit::Done) => {
            return Ended::InDoubt(format!("after the commit: {}", describe(&error)));
        }
        (Err(BatchError::Database(error)), Commit::Sent) if !is_refusal(&error) => {
            return Ended::InDoubt(format!("commit: {}", describe(&error)));
        }
        (Err(BatchError::Database(error)), Commit::Sent | Commit::NotSent) => Ended::Refused(error),
        (Ok(_), _) if connection.transaction_failed() => {
            Ended::NotWritten("a statement failed, but its writer continued".to_owned())
        }
        (Ok(answers), _) if answers.len() != items.len() => {
            Ended::NotWritten(format!("{} answers for {} items", answers.len(), items.len()))
        }
        (Ok(answers), _) => match connection.finish(&[]).await {
            Ok(_) => return Ended::Committed(answers),
            Err(error) if is_refusal(&error) => Ended::Refused(error),
            Err(error) => return Ended::InDoubt(format!("commit: {}", describe(&error))),
        },
    };
    if !connection.is_reusable() {
        connection.rollback().await;
    }
    not_to_be_committed
}

/// A unique key taken by another writer meanwhile is found by the writer's next look-up.
fn lost_a_race(error: &tokio_postgres::Error) -> bool {
    let races = [SqlState::UNIQUE_VIOLATION, SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    error.code().is_some_and(|code| races.contains(code))
}

/// A part with a refused value is written again in halves, until the value is alone.
fn will_be_split<A>(ended: &Ended<A>, items: usize) -> bool {
    items > 1 && matches!(ended, Ended::Refused(error) if blames_a_value(error))
}

fn blames_a_value(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(code.code().get(..2), Some("22" | "23")))
}

impl<W: BatchWriter> Shared<W> {
    fn report<A>(&self, ended: &Ended<A>, items: usize) {
        let reason = match ended {
            Ended::Committed(_) => return self.activity.worked(),
            Ended::Refused(error) => describe(error),
            Ended::NotWritten(reason) | Ended::NoDatabase(reason) | Ended::InDoubt(reason) => reason.clone(),
        };
        let writer = self.name;
        match ended {
            Ended::Refused(error) if blames_a_value(error) && items > 1 => {
                debug!(writer, items, %reason, "splitting a batch");
            }
            Ended::NotWritten(_) => error!(writer, items, %reason, "a writer handled a batch incorrectly"),
            Ended::Committed(_) => {}
            Ended::Refused(_) | Ended::NoDatabase(_) | Ended::InDoubt(_) => {
                warn!(writer, items, %reason, "a batch failed");
            }
        }
        if matches!(ended, Ended::Refused(error) if blames_a_value(error)) {
            self.activity.worked();
        } else {
            self.activity.failed(Instant::now(), &reason);
        }
        self.stats.last_error.store(Some(Arc::new(reason)));
    }
}

impl Stats {
    fn count(&self, items: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(items, Ordering::Relaxed);
        self.largest.fetch_max(items, Ordering::Relaxed);
        self.in_flight.store(0, Ordering::Relaxed);
    }
}

/// Returns the state for the actor's entry.
pub(super) fn show<W: BatchWriter>(shared: &Shared<W>) -> Value {
    let stats = &shared.stats;
    let connections = shared.pool.state();
    json!({
        "batches": stats.batches.load(Ordering::Relaxed),
        "items": stats.items.load(Ordering::Relaxed),
        "largest_batch": stats.largest.load(Ordering::Relaxed),
        "in_flight": stats.in_flight.load(Ordering::Relaxed),
        "last_error": stats.last_error.load().as_deref(),
        "connections": {
            "open": connections.open,
            "idle": connections.idle,
            "most": shared.pool.size(),
        },
    })
}
