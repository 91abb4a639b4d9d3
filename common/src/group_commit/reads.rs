//! Reads on the pool of a group commit, beside its writes. There are three kinds, so that none waits for another:
//!
//! | kind | connections |
//! |---|---|
//! | rows | all but the writer's and one for the health check |
//! | a list or a count | at most two of those, for a third of the time, after a short wait |
//! | reserve | the pool's reserve connection, if it has one |

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bb8::PooledConnection;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::actor::Msg;
use super::meters::ReadMeters;
use super::{BatchSender, BatchWriter, Shared};
use crate::db::{Connection, DbError, Manager, Pool, describe};

/// Time limit for a read, including the wait for a connection.
const READ_TIMEOUT: Duration = Duration::from_secs(6);
/// Connections withheld from reads: one for the health check.
const NOT_FOR_READS: usize = 1;
/// Maximum number of connections used by lists.
const MAX_LISTS: usize = 2;
/// How long a list waits for a connection. A client that would wait longer should rather be told to come back.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a list's place stays occupied afterwards, in multiples of the list's duration: lists requested without a
/// pause would take processor time from purchases, on the server and in this process.
const LIST_REST: u32 = 2;
const MAX_LIST_REST: Duration = Duration::from_millis(100);

/// The reason why a read failed.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The actor that owns the pool is down.
    #[error("the writer is being restarted")]
    Down,
    /// The pool had no connection.
    #[error("no database connection: {0}")]
    NoConnection(DbError),
    /// Other lists use all connections for lists.
    #[error("too many lists are being read")]
    ListsBusy,
    /// An error of the database or the connection.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The read timed out.
    #[error("the database did not answer in time")]
    Timeout,
}

/// The limits of concurrent reads, per kind.
pub(super) struct Reads {
    all: Semaphore,
    lists: Arc<Semaphore>,
    /// Reads that wait for a connection.
    waiting: Arc<AtomicUsize>,
    meters: ReadMeters,
}

impl Reads {
    pub(super) fn of(pool: &Pool) -> Self {
        let all = (pool.size_for_reads() as usize).saturating_sub(NOT_FOR_READS).max(1);
        // At most half of the connections, if the pool is small.
        let lists = (all / 2).clamp(1, MAX_LISTS);
        let waiting = Arc::default();
        let meters = ReadMeters::of(pool.database(), &waiting);
        Self { all: Semaphore::new(all), lists: Arc::new(Semaphore::new(lists)), waiting, meters }
    }

    fn wait(&self) -> Wait<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Wait { reads: self, ended: Ended::GivenUp }
    }
}

/// The wait of one read for a connection.
struct Wait<'a> {
    reads: &'a Reads,
    ended: Ended,
}

/// How a wait ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The time limit drops the read while it waits.
    GivenUp,
    /// It has a connection, or the reason why there is none.
    Answered,
}

impl Wait<'_> {
    fn end(mut self) {
        self.ended = Ended::Answered;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.reads.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.ended == Ended::GivenUp {
            self.reads.meters.given_up();
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Rows,
    Display,
    List,
    InReserve,
}

impl<W: BatchWriter> BatchSender<W> {
    /// Reads rows that a decision depends on, or makes a single write, on the actor's pool beside its batches.
    ///
    /// # Errors
    /// [`ReadError`], also if the server accepts no writes.
    pub async fn read<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        self.read_as(Kind::Rows, job).await
    }

    /// Reads data that is only displayed; a read-only server is accepted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_for_display<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        self.read_as(Kind::Display, job).await
    }

    /// Reads a list or a count for display. Any number of concurrent lists leaves most connections to other reads.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_list<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        self.read_as(Kind::List, job).await
    }

    /// Reads, or writes something that belongs to no batch, on the reserve connection: it never waits for other reads.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_in_reserve<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        self.read_as(Kind::InReserve, job).await
    }

    async fn read_as<T, F>(&self, kind: Kind, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let shared = self.shared.clone();
        let job = async move {
            let read = timeout(READ_TIMEOUT, shared.read(kind, job));
            // An error means that the caller has gone.
            let _ = reply.send(read.await.unwrap_or(Err(ReadError::Timeout)));
        };
        let job = Box::pin(job.in_current_span());
        self.handle.cast(Msg::Read(job)).map_err(|_| ReadError::Down)?;
        answer.await.unwrap_or(Err(ReadError::Down))
    }
}

impl<W: BatchWriter> Shared<W> {
    async fn read<T, F>(&self, kind: Kind, job: F) -> Result<T, ReadError>
    where
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>>,
    {
        let Reads { all, lists, .. } = &self.reads;
        match kind {
            Kind::Rows => {
                let wait = self.reads.wait();
                let _place = all.acquire().await;
                let connection = self.pool.get().await;
                wait.end();
                run(connection, job).await
            }
            Kind::Display => {
                let wait = self.reads.wait();
                let _place = all.acquire().await;
                let connection = self.pool.get_for_display().await;
                wait.end();
                run(connection, job).await
            }
            Kind::List => {
                // The wait for another list is not one for the pool.
                let places = async {
                    let place = lists.clone().acquire_owned().await;
                    (place, self.reads.wait(), all.acquire().await)
                };
                let (place, wait, _place) = timeout(LIST_TIMEOUT, places).await.map_err(|_| ReadError::ListsBusy)?;
                let began = Instant::now();
                let connection = self.pool.get_for_display().await;
                wait.end();
                let read = run(connection, job).await;
                let rest = (began.elapsed() * LIST_REST).min(MAX_LIST_REST);
                tokio::spawn(async move {
                    sleep(rest).await;
                    drop(place);
                });
                read
            }
            Kind::InReserve => run(self.pool.reserve().await, job).await,
        }
    }
}

async fn run<T, F>(connection: Result<PooledConnection<'_, Manager>, DbError>, job: F) -> Result<T, ReadError>
where
    F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>>,
{
    let mut connection = connection.map_err(ReadError::NoConnection)?;
    Ok(job(&mut connection).await?)
}
