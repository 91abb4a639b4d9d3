//! Reads on the pool of a group commit, beside its writes. There are three kinds, so that none has to wait for another:
//!
//! | kind | connections |
//! |---|---|
//! | a look at a few rows | all but the writer's and one for the health check |
//! | a list, a count | at most two of those, for a third of the time, and a short wait for them |
//! | in reserve | one that is beside the pool's own, where the pool has one |

use std::sync::Arc;
use std::time::Duration;

use bb8::PooledConnection;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::actor::Msg;
use super::{BatchWriter, Ledger, Shared};
use crate::db::{Connection, DbError, Manager, Pool, describe};

/// How long a read may take, waiting for a connection included.
const READ_TIMEOUT: Duration = Duration::from_secs(6);
/// Connections that reads leave alone: one for the health check.
const NOT_FOR_READS: usize = 1;
/// Most connections that lists use at once.
const MAX_LISTS: usize = 2;
/// How long a list waits for a connection. A client that would wait longer is better told to come back.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the place of a list rests, in times that the list took: lists that are asked for without a pause would take
/// processors from purchases, on the server as in this process.
const LIST_REST: u32 = 2;
/// The longest rest.
const MAX_LIST_REST: Duration = Duration::from_millis(100);

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The actor that owns the pool is down.
    #[error("the ledger is being restarted")]
    Down,
    /// The pool gave no connection.
    #[error("no database connection: {0}")]
    NoConnection(DbError),
    /// Other lists have all connections that lists may use.
    #[error("other lists are being read")]
    ListsBusy,
    /// The database says so.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// It took too long.
    #[error("the database did not answer in time")]
    Timeout,
}

/// Reads at work: each kind has its places.
pub(super) struct Reads {
    all: Semaphore,
    lists: Arc<Semaphore>,
}

impl Reads {
    pub(super) fn of(pool: &Pool) -> Self {
        let all = (pool.size_for_reads() as usize).saturating_sub(NOT_FOR_READS).max(1);
        // Half of them at most, where a pool is small.
        let lists = (all / 2).clamp(1, MAX_LISTS);
        Self { all: Semaphore::new(all), lists: Arc::new(Semaphore::new(lists)) }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Rows,
    Display,
    List,
    InReserve,
}

impl<W: BatchWriter> Ledger<W> {
    /// Reads on the actor's pool, beside its writes, what something is decided by; or makes a single write there.
    ///
    /// # Errors
    /// [`ReadError`]; a server that takes no writes is one.
    pub async fn read<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        self.read_as(Kind::Rows, job).await
    }

    /// Reads what is only shown: from a server that takes no writes too.
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

    /// Reads a list or a count, to be shown: any number of them at once leaves most connections to other reads.
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

    /// Reads, or writes what belongs to no batch, on the connection in reserve: however many reads there are, this waits
    /// for none of them.
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
            // An error means that nobody waits any more.
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
        let Reads { all, lists } = &self.reads;
        match kind {
            Kind::Rows => {
                let _place = all.acquire().await;
                run(self.pool.get().await, job).await
            }
            Kind::Display => {
                let _place = all.acquire().await;
                run(self.pool.get_for_display().await, job).await
            }
            Kind::List => {
                let places = async { (lists.clone().acquire_owned().await, all.acquire().await) };
                let (place, _place) = timeout(LIST_TIMEOUT, places).await.map_err(|_| ReadError::ListsBusy)?;
                let began = Instant::now();
                let read = run(self.pool.get_for_display().await, job).await;
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
