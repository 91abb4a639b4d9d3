//! Group commit: an actor writes all items queued during its last commit as one transaction.
//!
//! ```text
//!   write ──► queue ──► batch ──► BEGIN, the writer's statements, COMMIT ──► every item is answered
//!               ▲                                │
//!               └──── items arriving meanwhile ──┘
//! ```
//! There is no timer: an idle writer writes an item at once, and under load batches grow by themselves. Each writer has
//! one batch in flight; measured, that is faster than several. An answer never claims more than is known: [`Written`]
//! separates committed items, items certainly not written, and items in doubt because the connection was lost during
//! the commit. The caller retries with the same key; only the caller knows whether that is safe.

mod activity;
mod actor;
mod batch;
mod flush;
mod history;
#[doc(hidden)]
pub mod in_memory;
mod meters;
mod reads;
mod spans;

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::{Mutex, oneshot};
use tokio::time::Instant;
use tracing::warn;

use crate::config::GroupCommitSettings;
use crate::db::{self, Connection, LostCommits, Pool, describe};
use crate::http::TraceContext;
use crate::supervision::{ActorEntry, ChildSpec, Handle, child};
use crate::traces::Tracer;

pub use history::Receipt;
pub use reads::ReadError;

use activity::{Activity, Verdict};
use actor::{GroupCommit, Msg, Phase, Queue};
use batch::Traced;
use batch::{Pending, Reply};
use flush::Stats;
use history::{History, Kept};
use meters::Meters;
use reads::Reads;

/// Writes the batches of a group commit.
pub trait BatchWriter: Send + Sync + 'static {
    /// One item to write.
    type Item: Clone + Send + Sync + 'static;
    /// The answer to an item's caller after the commit.
    type Answer: Send + 'static;

    /// Returns the key of an item: items with equal keys never share a batch and keep their order.
    fn key(item: &Self::Item) -> Cow<'_, str>;

    /// Returns whether an item gets its own transaction: an item expected to fail would cost its batch a second
    /// attempt.
    fn goes_alone(item: &Self::Item) -> bool {
        let _ = item;
        false
    }

    /// Returns the trace context of an item and the kind of write, if the item is traced.
    fn traced(&self, item: &Self::Item) -> Option<(TraceContext, &'static str)> {
        let _ = item;
        None
    }

    /// Returns what a confirmed item has left in the database; `None` if it has left nothing.
    fn receipt(item: &Self::Item, answer: &Self::Answer) -> Option<Receipt> {
        let _ = (item, answer);
        None
    }

    /// Writes a batch inside an open transaction, and returns one answer per item, in order. It may commit with its
    /// last statements ([`Connection::finish`]); otherwise the commit follows when it returns.
    ///
    /// It is called again, in a new transaction and with the next [`Try`], if the database asks for that (a deadlock, a
    /// lost race for a unique key), and with halves of the batch if a value is refused. So it must have no effects
    /// other than its writes.
    ///
    /// # Errors
    /// The first error of a statement; the transaction is rolled back. No statement's error may be swallowed.
    fn write(
        &self,
        connection: &mut Connection,
        items: &[Self::Item],
        attempt: Try,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, BatchError>> + Send;
}

/// Whether a batch is written for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// The first attempt.
    First,
    /// A retry after the previous transaction lost a race.
    Again,
}

/// The reason why a batch was not written.
#[derive(Debug, Error)]
pub enum BatchError {
    /// An error of the database or the connection.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// The outcome of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<A> {
    /// The item is durable.
    Committed(A),
    /// The database refused its values (SQLSTATE class 22 or 23). It is not written; the rest of its batch is.
    Rejected(ValueRefused),
    /// The item is not written, for this reason.
    NotWritten(String),
    /// The connection was lost during the commit: only a retry can tell whether the item is written.
    InDoubt(String),
}

/// The database's error for a refused value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct ValueRefused {
    /// The SQLSTATE.
    pub sqlstate: String,
    /// The error message, with the SQLSTATE.
    pub reason: String,
}

/// A handle to a group commit. It survives restarts of the actor, is cheap to clone, and bounds the queue.
pub struct BatchSender<W: BatchWriter> {
    handle: Handle<Msg>,
    shared: Arc<Shared<W>>,
}

impl<W: BatchWriter> Clone for BatchSender<W> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), shared: self.shared.clone() }
    }
}

/// State shared by the handles, the actor and its batches, across restarts.
struct Shared<W: BatchWriter> {
    entry: Arc<ActorEntry>,
    name: &'static str,
    pool: Pool,
    writer: W,
    max_batch: usize,
    max_queue: usize,
    /// The queue of the current actor.
    queue: ArcSwap<Queue<W>>,
    /// Number of items not yet in a batch.
    waiting: Arc<AtomicUsize>,
    hasher: RandomState,
    reads: Reads,
    /// Locked by the batch in flight. A batch may outlive a killed actor: the first batch of the next actor waits for
    /// it, so that items with equal keys keep their order.
    turn: Mutex<()>,
    stats: Stats,
    activity: Activity,
    history: History,
    meters: Meters,
    tracer: Tracer,
}

impl<W: BatchWriter> BatchSender<W> {
    /// Creates a group commit: its handle, and the child for a supervisor. `name` labels its metrics.
    pub fn new(
        entry: Arc<ActorEntry>,
        name: &'static str,
        pool: Pool,
        writer: W,
        settings: &GroupCommitSettings,
        tracer: Tracer,
    ) -> (Self, ChildSpec) {
        let reads = Reads::of(&pool);
        let waiting = Arc::default();
        let shared = Arc::new(Shared {
            entry: entry.clone(),
            name,
            pool,
            writer,
            max_batch: settings.max_batch.max(1),
            max_queue: settings.max_queue,
            queue: ArcSwap::from_pointee(Queue::new(Phase::Closed)),
            meters: Meters::of(name, &waiting, settings.max_queue),
            waiting,
            hasher: RandomState::new(),
            reads,
            turn: Mutex::new(()),
            stats: Stats::default(),
            activity: Activity::default(),
            history: History::default(),
            tracer,
        });
        let waiting = shared.waiting.clone();
        entry.set_queue_depth(move || waiting.load(Ordering::Relaxed));
        let ledger = Self { handle: Handle::new(), shared };
        let shared = ledger.shared.clone();
        let make = move || (GroupCommit::new(), shared.clone());
        let spec = child(entry, ledger.handle.clone(), make);
        (ledger, spec)
    }

    /// Appends an item to the queue and resolves to its outcome; at once if the queue is full or the actor is down. The
    /// item is queued when the call returns, even if the future is never polled: successive calls are written in order.
    pub fn write(&self, item: W::Item) -> impl Future<Output = Written<W::Answer>> + Send + use<W> {
        let (sender, written) = oneshot::channel();
        self.write_then(item, move |written| {
            // An error means that the caller has gone.
            let _ = sender.send(written);
        });
        async move { written.await.unwrap_or_else(|_| Written::InDoubt("the writer died".to_owned())) }
    }

    /// Like [`BatchSender::write`], for callers that do not await: `then` receives the outcome, exactly once. It may run
    /// before this call returns, must not block, and delays the other answers of its batch.
    pub fn write_then(&self, item: W::Item, then: impl FnOnce(Written<W::Answer>) + Send + 'static) {
        let reply = Reply::new(then);
        let Some(place) = self.shared.place_in_queue() else {
            return reply.give(Written::NotWritten("the queue is full".to_owned()));
        };
        let key = self.shared.hasher.hash_one(W::key(&item).as_ref());
        let traced = Traced::of(&self.shared.tracer, &self.shared.writer, &item);
        if self.shared.queue.load().push(Pending { item, key, reply, place, traced }).is_ok() {
            self.shared.entry.handled();
        }
    }

    /// Checks that batches are written. A batch under way for `stalled_after` counts as stalled. If the last batches
    /// failed and none was tried for a while, a small probe is written.
    ///
    /// # Errors
    /// The reason in words, for a health check.
    pub async fn check_writer(&self, stalled_after: Duration) -> Result<(), String> {
        let activity = &self.shared.activity;
        match activity.judge(Instant::now(), stalled_after) {
            Verdict::Works => Ok(()),
            Verdict::Fails(reason) => Err(reason),
            Verdict::Unclear => {
                let tried = db::try_write(&self.shared.pool).await;
                match &tried {
                    Ok(()) => activity.worked(),
                    Err(reason) => activity.failed(Instant::now(), reason),
                }
                tried
            }
        }
    }

    /// Returns the last loss of commits that this process had confirmed. After a failover it looks for them, also where
    /// nothing is written at present; if it cannot, the next call does.
    pub async fn lost_commits(&self) -> Option<Arc<LostCommits>> {
        let shared = &self.shared;
        if shared.history.is_elsewhere(shared.pool.timeline())
            && let Ok(mut connection) = shared.pool.get().await
            && let Err(error) = shared.look_back(&mut connection).await
        {
            warn!(writer = shared.name, reason = %describe(&error), "confirmed commits cannot be looked for now");
        }
        shared.pool.lost_commits()
    }
}

impl<W: BatchWriter> Shared<W> {
    /// Looks for the last confirmed batch if a connection leads to another timeline.
    async fn look_back(&self, connection: &mut Connection) -> Result<(), tokio_postgres::Error> {
        if let (Kept::Lost { before }, Some(now)) = (self.history.look(connection).await?, connection.timeline()) {
            self.pool.report_loss(before, now);
        }
        Ok(())
    }

    fn place_in_queue(&self) -> Option<Place> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.waiting.clone());
        (before < self.max_queue).then_some(place)
    }
}

/// A place in the bounded queue, released when the item enters a batch or is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
