//! One batch: written as one transaction, repeated when the database asks for it, split when a value is to blame.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{counter, histogram};
use rand::RngExt;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tracing::{debug, warn};

use super::actor::Stats;
use super::{BatchError, BatchWriter, Pending, Written};
use crate::db::{Connection, Pool, describe};

/// How often a batch that lost a race is repeated before its failure counts.
const MAX_REPEATS: u32 = 5;
/// The longest wait before a repeat.
const REPEAT_JITTER_MS: u64 = 10;
/// How long a batch that found no database holds the queue, so that a dead database does not spin.
const PAUSE_WITHOUT_DATABASE: Duration = Duration::from_millis(100);

pub(crate) struct Flush<W: BatchWriter> {
    pub(crate) name: &'static str,
    pub(crate) pool: Pool,
    pub(crate) writer: Arc<W>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) batch: Vec<Pending<W>>,
}

pub(crate) async fn flush<W: BatchWriter>(flush: Flush<W>) {
    let Flush { name, pool, writer, stats, batch } = flush;
    let started = Instant::now();
    let size = batch.len() as u64;
    let mut connection = match pool.get().await {
        Ok(connection) => connection,
        Err(error) => {
            let reason = format!("no database connection: {error}");
            stats.last_error.store(Some(Arc::new(reason.clone())));
            answer_all(batch, || Written::NotWritten(reason.clone()));
            tokio::time::sleep(PAUSE_WITHOUT_DATABASE).await;
            return;
        }
    };
    // Halves of a split batch wait here; the first is written next.
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        let items: Vec<W::Item> = part.iter().map(|pending| pending.item.clone()).collect();
        match write(&mut connection, writer.as_ref(), &items).await {
            Ok(answers) if answers.len() == part.len() => {
                for (pending, answer) in part.into_iter().zip(answers) {
                    let _ = pending.reply.send(Written::Committed(answer));
                }
            }
            Ok(answers) => panic!("{} items were written and {} answered", part.len(), answers.len()),
            Err(failure) => {
                debug!(writer = name, reason = %failure.reason, "a batch failed");
                stats.last_error.store(Some(Arc::new(failure.reason.clone())));
                match failure.kind {
                    Kind::Values if part.len() > 1 => {
                        let mut first = part;
                        let second = first.split_off(first.len() / 2);
                        parts.push(second);
                        parts.push(first);
                    }
                    Kind::Values => answer_all(part, || Written::Rejected(failure.reason.clone())),
                    Kind::NotWritten => answer_all(part, || Written::NotWritten(failure.reason.clone())),
                    Kind::InDoubt => {
                        warn!(writer = name, reason = %failure.reason, items = part.len(), "a batch is in doubt");
                        answer_all(part, || Written::InDoubt(failure.reason.clone()));
                    }
                }
            }
        }
    }
    stats.batches.fetch_add(1, Ordering::Relaxed);
    stats.items.fetch_add(size, Ordering::Relaxed);
    stats.largest.fetch_max(size, Ordering::Relaxed);
    counter!("group_commit_batches_total", "writer" => name).increment(1);
    counter!("group_commit_items_total", "writer" => name).increment(size);
    histogram!("group_commit_seconds", "writer" => name).record(started.elapsed().as_secs_f64());
}

fn answer_all<W: BatchWriter>(part: Vec<Pending<W>>, written: impl Fn() -> Written<W::Answer>) {
    for pending in part {
        let _ = pending.reply.send(written());
    }
}

struct Failure {
    kind: Kind,
    reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Some value of the batch is to blame.
    Values,
    /// Nothing of it is there.
    NotWritten,
    /// It may be there.
    InDoubt,
}

/// Writes a batch, and again while only a race stands against it.
async fn write<W: BatchWriter>(
    connection: &mut Connection,
    writer: &W,
    items: &[W::Item],
) -> Result<Vec<W::Answer>, Failure> {
    let mut repeats = 0;
    loop {
        let error = match write_once(connection, writer, items).await {
            Ok(answers) => return Ok(answers),
            Err(Attempt::Commit(error)) => return Err(judge_commit(&error)),
            Err(Attempt::Work(error)) => error,
        };
        let lost_race = matches!(error.code(), Some(code)
            if [SqlState::UNIQUE_VIOLATION, SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE].contains(code));
        if !lost_race || repeats == MAX_REPEATS {
            return Err(judge_work(&error));
        }
        repeats += 1;
        let wait_ms = rand::rng().random_range(0..=REPEAT_JITTER_MS);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
}

enum Attempt {
    /// It failed before `commit` was sent.
    Work(tokio_postgres::Error),
    /// `commit` itself failed.
    Commit(tokio_postgres::Error),
}

async fn write_once<W: BatchWriter>(
    connection: &mut Connection,
    writer: &W,
    items: &[W::Item],
) -> Result<Vec<W::Answer>, Attempt> {
    let begin = connection.begin();
    // `begin` is polled first, so it is sent first; the first statement follows in the same trip.
    let (begun, written) = futures::future::join(begin, writer.write(connection, items)).await;
    let failed = match (begun, written) {
        (Ok(()), Ok(answers)) => {
            return match connection.end("commit").await {
                Ok(()) => Ok(answers),
                Err(error) => Err(Attempt::Commit(error)),
            };
        }
        (Err(error), _) | (_, Err(BatchError::Database(error))) => error,
    };
    // If this fails the connection is gone, and the transaction with it.
    let _ = connection.end("rollback").await;
    Err(Attempt::Work(failed))
}

fn judge_work(error: &tokio_postgres::Error) -> Failure {
    let blames_values = error.code().is_some_and(|code| matches!(code.code().get(..2), Some("22" | "23")));
    Failure { kind: if blames_values { Kind::Values } else { Kind::NotWritten }, reason: describe(error) }
}

/// A failed `commit` is known not to have happened only if the server itself said so and went on living.
fn judge_commit(error: &tokio_postgres::Error) -> Failure {
    let server_said_no =
        error.code().is_some_and(|code| !matches!(code.code().get(..2), Some("57" | "08" | "58" | "XX")));
    Failure { kind: if server_said_no { Kind::NotWritten } else { Kind::InDoubt }, reason: describe(error) }
}
