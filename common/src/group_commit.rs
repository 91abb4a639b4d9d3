//! Group commit: one actor writes everything that queued up while its last commit ran as one transaction.
//!
//! ```text
//!   write ──► queue ──► batch ──► BEGIN, the writer's statements, COMMIT ──► every item is answered
//!               ▲                                │
//!               └── what arrives meanwhile waits ┘
//! ```
//! There is no timer: idle, an item is written at once; under load, batches grow by themselves. One batch is in flight
//! per writer: that was measured to be faster than several. An answer never claims more than is known: [`Written`] tells
//! apart what is committed, what is certainly not, and what is in doubt because the connection went while it was
//! committing. The caller asks again with the same key; only it knows whether that is safe.

mod activity;
mod actor;
mod batch;
mod flush;
#[doc(hidden)]
pub mod in_memory;
mod meters;
mod reads;
mod spans;

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::{Mutex, oneshot};
use tokio::time::Instant;

use crate::config::GroupCommitSettings;
use crate::db::{self, Connection, Pool, describe};
use crate::http::TraceContext;
use crate::supervision::{ActorCard, ChildSpec, Handle, child};
use crate::traces::Tracer;

pub use reads::ReadError;

use activity::{Activity, Verdict};
use actor::{GroupCommit, Msg, Phase, Queue};
use batch::{Pending, Reply};
use flush::Stats;
use meters::Meters;
use reads::Reads;
use spans::Traced;

/// What a group commit writes.
pub trait BatchWriter: Send + Sync + 'static {
    /// One thing to write.
    type Item: Clone + Send + Sync + 'static;
    /// What its caller is told once it is committed.
    type Answer: Send + 'static;

    /// Returns what makes two items the same thing: such items never share a batch, and keep their order.
    fn key(item: &Self::Item) -> Cow<'_, str>;

    /// Tells whether an item is to be in a transaction of its own: one that is expected to fail would cost its batch a
    /// second try.
    fn goes_alone(item: &Self::Item) -> bool {
        let _ = item;
        false
    }

    /// Returns which part of which trace wants this item written, and what kind of write it is, if it is traced.
    fn traced(&self, item: &Self::Item) -> Option<(TraceContext, &'static str)> {
        let _ = item;
        None
    }

    /// Writes a batch inside an open transaction, and returns an answer for each item, in their order. It may commit by
    /// itself, with its last statements ([`Connection::finish`]); if it does not, that is done when it returns.
    ///
    /// It is called again, in a new transaction and with the next [`Try`], when the database asks for that (a deadlock, a
    /// lost race for a unique key), and with halves of the batch when a value is refused: so it must do nothing but write.
    ///
    /// # Errors
    /// The first that a statement gives: the transaction is rolled back. A statement's error must not be swallowed.
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
    /// It is.
    First,
    /// The transaction before lost a race.
    Again,
}

/// Why a batch was not written.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The database or the connection says so.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<A> {
    /// It is durable.
    Committed(A),
    /// The database does not accept its values (SQLSTATE class 22 or 23): it is not written, what came with it is.
    Rejected(ValueRefused),
    /// It is not written.
    NotWritten(String),
    /// The connection went while it was being committed: only asking again can tell.
    InDoubt(String),
}

/// What the database says of a value that it does not accept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct ValueRefused {
    /// The SQLSTATE.
    pub sqlstate: String,
    /// The same in words, with the SQLSTATE.
    pub reason: String,
}

/// The address of a group commit: it survives restarts, is cheap to clone, and bounds the queue.
pub struct Ledger<W: BatchWriter> {
    handle: Handle<Msg>,
    shared: Arc<Shared<W>>,
}

impl<W: BatchWriter> Clone for Ledger<W> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), shared: self.shared.clone() }
    }
}

/// What the addresses, the actor and its batches share, across restarts.
struct Shared<W: BatchWriter> {
    card: Arc<ActorCard>,
    name: &'static str,
    pool: Pool,
    writer: W,
    max_batch: usize,
    max_queue: usize,
    /// That of the actor that is there now.
    queue: ArcSwap<Queue<W>>,
    /// Items that are in no batch yet.
    waiting: Arc<AtomicUsize>,
    hasher: RandomState,
    reads: Reads,
    /// Held by the batch that is out. A batch may outlive its actor, when that is killed: the next actor's first batch
    /// waits for it, so that items of one key keep their order.
    turn: Mutex<()>,
    stats: Stats,
    activity: Activity,
    meters: Meters,
    tracer: Tracer,
    panic_next: AtomicBool,
}

impl<W: BatchWriter> Ledger<W> {
    /// Makes a group commit: its address, and the child that a supervisor starts. `name` labels its metrics.
    pub fn new(
        card: Arc<ActorCard>,
        name: &'static str,
        pool: Pool,
        writer: W,
        settings: &GroupCommitSettings,
        tracer: Tracer,
    ) -> (Self, ChildSpec) {
        let reads = Reads::of(&pool);
        let waiting = Arc::default();
        let shared = Arc::new(Shared {
            card: card.clone(),
            name,
            pool,
            writer,
            max_batch: settings.max_batch.max(1),
            max_queue: settings.max_queue,
            queue: ArcSwap::from_pointee(Queue::new(Phase::Closed)),
            meters: Meters::of(name, &waiting),
            waiting,
            hasher: RandomState::new(),
            reads,
            turn: Mutex::new(()),
            stats: Stats::default(),
            activity: Activity::default(),
            tracer,
            panic_next: AtomicBool::new(false),
        });
        let waiting = shared.waiting.clone();
        card.set_queue_depth(move || waiting.load(Ordering::Relaxed));
        let ledger = Self { handle: Handle::new(), shared };
        let shared = ledger.shared.clone();
        let make = move || (GroupCommit::new(), shared.clone());
        let spec = child(card, ledger.handle.clone(), make);
        (ledger, spec)
    }

    /// Puts an item into the queue, at its end, and returns once it is known what became of it: at once if the queue is
    /// full or the actor down. The item is in the queue when the call returns, whether the future is polled or not: calls
    /// one after the other are written in that order.
    pub fn write(&self, item: W::Item) -> impl Future<Output = Written<W::Answer>> + Send + use<W> {
        let (sender, written) = oneshot::channel();
        self.write_then(item, move |written| {
            // An error means that nobody waits any more.
            let _ = sender.send(written);
        });
        async move { written.await.unwrap_or_else(|_| Written::InDoubt("the ledger died".to_owned())) }
    }

    /// As [`Ledger::write`], for whoever waits for nothing: `then` is told what became of the item, once. It may be called
    /// before this returns, must not wait, and holds up the other answers of its batch.
    pub fn write_then(&self, item: W::Item, then: impl FnOnce(Written<W::Answer>) + Send + 'static) {
        let reply = Reply::new(then);
        let Some(place) = self.shared.place_in_queue() else {
            return reply.give(Written::NotWritten("the queue is full".to_owned()));
        };
        let key = self.shared.hasher.hash_one(W::key(&item).as_ref());
        let traced = Traced::of(&self.shared.tracer, &self.shared.writer, &item);
        if self.shared.queue.load().push(Pending { item, key, reply, place, traced }).is_ok() {
            self.shared.card.handled();
        }
    }

    /// Tells whether batches come through. One that has been under way for `stalled_after` does not; where they failed and
    /// none was tried for a while, something small is written to find out.
    ///
    /// # Errors
    /// In words, for a health check.
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

    /// Makes the next batch panic: how the tests of supervision break a ledger.
    #[doc(hidden)]
    pub fn panic_next_batch(&self) {
        self.shared.panic_next.store(true, Ordering::Relaxed);
    }
}

impl<W: BatchWriter> Shared<W> {
    fn place_in_queue(&self) -> Option<Place> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.waiting.clone());
        (before < self.max_queue).then_some(place)
    }
}

/// A place in the bounded queue, given back when the item enters a batch, or is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
