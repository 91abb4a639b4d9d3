//! Group commit: one actor writes everything that queued up while its last commit ran as one transaction.
//!
//! ```text
//!   write ──► queue ──► batch ──► BEGIN, the writer's statements, COMMIT ──► every item is answered
//!               ▲                                │
//!               └── what arrives meanwhile waits ┘
//! ```
//! There is no timer: idle, an item is written at once; under load, batches grow by themselves. One batch is in flight
//! per writer. An answer never claims more than is known: [`Written`] tells apart what is committed, what is certainly
//! not, and what is in doubt because the connection went while it was committing.

mod actor;
mod flush;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::config::GroupCommitSettings;
use crate::db::{Connection, Pool, describe};
use crate::supervision::{ActorCard, ChildSpec, Handle, child};

use actor::{Arguments, GroupCommit, Msg};

/// How long a read may take, waiting for a connection included.
const READ_TIMEOUT: Duration = Duration::from_secs(6);

/// What a group commit writes.
pub trait BatchWriter: Send + Sync + 'static {
    /// One thing to write.
    type Item: Clone + Send + Sync + 'static;
    /// What its caller is told once it is committed.
    type Answer: Send + 'static;

    /// Returns what makes two items the same thing: such items never share a batch, and keep their order.
    fn key(item: &Self::Item) -> Cow<'_, str>;

    /// Writes a batch inside an open transaction, and returns an answer for each item, in their order.
    fn write(
        &self,
        connection: &mut Connection,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, BatchError>> + Send;
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
    /// The database does not accept its values (SQLSTATE class 22 or 23); it is not written, whatever came with it is.
    Rejected(String),
    /// It is not written.
    NotWritten(String),
    /// The connection went while it was being committed: only asking again can tell.
    InDoubt(String),
}

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The actor that owns the pool is down.
    #[error("the ledger is being restarted")]
    Down,
    /// The pool gave no connection.
    #[error("no database connection: {0}")]
    NoConnection(String),
    /// The database says so.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// It took too long.
    #[error("the database did not answer in time")]
    Timeout,
}

/// The address of a group commit: it survives restarts, is cheap to clone, and bounds the queue.
pub struct Ledger<W: BatchWriter> {
    handle: Handle<Msg<W>>,
    waiting: Arc<AtomicUsize>,
    max_queue: usize,
}

impl<W: BatchWriter> Clone for Ledger<W> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), waiting: self.waiting.clone(), max_queue: self.max_queue }
    }
}

/// One place in the bounded queue, given back when the item is answered or dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An item on its way.
pub(crate) struct Pending<W: BatchWriter> {
    pub(crate) item: W::Item,
    pub(crate) reply: oneshot::Sender<Written<W::Answer>>,
    _place: Place,
}

/// A read that the actor runs on its pool.
pub(crate) type ReadJob = Box<dyn FnOnce(Pool) -> BoxFuture<'static, ()> + Send>;

impl<W: BatchWriter> Ledger<W> {
    /// Makes a group commit and the child that a supervisor starts. `name` labels its metrics.
    pub fn new(
        card: Arc<ActorCard>,
        name: &'static str,
        pool: Pool,
        writer: W,
        settings: &GroupCommitSettings,
    ) -> (Self, ChildSpec) {
        let ledger = Self { handle: Handle::new(), waiting: Arc::default(), max_queue: settings.max_queue };
        let waiting = ledger.waiting.clone();
        card.set_queue_depth(move || waiting.load(Ordering::Relaxed));
        let writer = Arc::new(writer);
        let max_batch = settings.max_batch.max(1);
        let shared = card.clone();
        let spec = child(card, ledger.handle.clone(), move || {
            let arguments =
                Arguments { card: shared.clone(), name, pool: pool.clone(), writer: writer.clone(), max_batch };
            (GroupCommit::new(), arguments)
        });
        (ledger, spec)
    }

    /// Writes an item, and returns once it is known what became of it.
    pub async fn write(&self, item: W::Item) -> Written<W::Answer> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.waiting.clone());
        if waiting >= self.max_queue {
            return Written::NotWritten("the queue is full".to_owned());
        }
        let (reply, answer) = oneshot::channel();
        if self.handle.cast(Msg::Write(Pending { item, reply, _place: place })).is_err() {
            return Written::NotWritten("the ledger is being restarted".to_owned());
        }
        // The actor, or the batch it sent, died with the item: nobody knows how far it got.
        answer.await.unwrap_or_else(|_| Written::InDoubt("the ledger died".to_owned()))
    }

    /// Reads on the actor's pool, beside its writes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |pool| {
            Box::pin(async move {
                let read = async {
                    let mut connection =
                        pool.get().await.map_err(|error| ReadError::NoConnection(error.to_string()))?;
                    Ok(job(&mut connection).await?)
                };
                let read = tokio::time::timeout(READ_TIMEOUT, read).await.unwrap_or(Err(ReadError::Timeout));
                // Nobody waits any more: the answer is for nobody.
                let _ = reply.send(read);
            })
        });
        self.handle.cast(Msg::Read(job)).map_err(|_| ReadError::Down)?;
        answer.await.unwrap_or(Err(ReadError::Down))
    }
}
