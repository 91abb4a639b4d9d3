//! A connection that prepares each statement once, bounds the time of each answer, and knows whether it can be reused.
//!
//! A connection with an unanswered statement or an open transaction is closed and not returned to the pool: the next
//! user would wait for another caller's statement or write into another caller's transaction. That covers a panic and a
//! dropped future too, since both leave the marks set.
//!
//! A commit that did not wait for its synchronous standby ([`super::notices`]) counts as one without an answer.
//!
//! Statements that do not need each other's answers are sent in one round trip, the commit with them
//! ([`Connection::finish`]): a transaction then costs one wait for the server, and the server process wakes up once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{MaybeDone, join, maybe_done, try_join_all};
use secrecy::SecretString;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::barrier::BARRIER_AND_COMMIT;
use super::notices::CancelledWait;
use super::session::{Origin, Session};
use super::{Bound, DbError, Target, Timeline};
use crate::config::DatabaseSettings;

/// Margin beyond the server's own statement limit before an answer counts as missing.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// A connection to one database. Its cache of statements is bounded, because statements are constants of the program.
pub struct Connection {
    pub(super) client: Arc<Client>,
    statements: HashMap<&'static str, Statement>,
    /// Time limit for an answer.
    limit: Duration,
    answer: Answer,
    transaction: Transaction,
    /// Whether `begin` was sent and is not answered yet.
    is_begin_open: bool,
    commit: Commit,
    origin: Origin,
    cancelled_wait: CancelledWait,
    /// Set by an error after which the session is unusable.
    is_spent: bool,
}

/// Whether the last statement was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Complete,
    Outstanding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// To be opened with the first statement. If that is the only one, it is a transaction by itself and needs no
    /// `begin`.
    Wanted,
    Open,
    /// Open, with a failed statement: the server would answer `commit` with a rollback and report success.
    Failed,
}

/// State of the commit of the last transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    NotSent,
    /// Sent and not confirmed, or refused.
    Sent,
    Done,
}

/// The parameters of a statement.
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Connection {
    /// Connects outside of any pool, for a caller that needs its own session.
    ///
    /// # Errors
    /// [`DbError`] if the server does not answer, or refuses the session.
    pub async fn open(server: &SecretString, database: &str, settings: &DatabaseSettings) -> Result<Self, DbError> {
        let target = Target::new(server, Some(database), Some(settings))?;
        Self::to(&target, statement_limit(settings)).await
    }

    /// Like [`Connection::open`], for writes.
    ///
    /// # Errors
    /// See [`Connection::open`]; also [`DbError::ReadOnly`].
    pub async fn open_writable(
        server: &SecretString,
        database: &str,
        settings: &DatabaseSettings,
    ) -> Result<Self, DbError> {
        let connection = Self::open(server, database, settings).await?;
        connection.require_writable()?;
        Ok(connection)
    }

    /// Connects. `limit` bounds the wait for every answer.
    pub(super) async fn to(target: &Target, limit: Duration) -> Result<Self, DbError> {
        let Session { client, origin, cancelled_wait } = target.connect().await?;
        Ok(Self {
            client: Arc::new(client),
            statements: HashMap::new(),
            limit,
            answer: Answer::Complete,
            transaction: Transaction::None,
            is_begin_open: false,
            commit: Commit::NotSent,
            origin,
            cancelled_wait,
            is_spent: false,
        })
    }

    /// Returns all rows.
    ///
    /// # Errors
    /// An error of the database or the connection, or a timeout if no answer comes in time.
    pub async fn query(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.query(&statement, parameters)).await
    }

    /// Returns the row, or `None` if there is none.
    ///
    /// # Errors
    /// See [`Connection::query`]; also if there is more than one row.
    pub async fn query_opt(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Option<Row>, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.query_opt(&statement, parameters)).await
    }

    /// Returns the only row.
    ///
    /// # Errors
    /// See [`Connection::query`]; also unless there is exactly one row.
    pub async fn query_one(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Row, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.query_one(&statement, parameters)).await
    }

    /// Returns the number of rows changed.
    ///
    /// # Errors
    /// See [`Connection::query`].
    pub async fn execute(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.execute(&statement, parameters)).await
    }

    /// Runs statements without parameters and discards their rows.
    ///
    /// # Errors
    /// See [`Connection::query`].
    pub async fn batch_execute(&mut self, sql: &str) -> Result<(), Error> {
        let client = self.client.clone();
        self.run(client.batch_execute(sql)).await
    }

    /// Returns the client, for calls that this type does not offer. The client gives none of the guarantees of this
    /// type; in a [`crate::group_commit::BatchWriter`] a statement that fails here must fail the batch.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Begins a transaction: `begin` is sent in one round trip with the first statement.
    pub(crate) fn begin(&mut self) {
        self.transaction = Transaction::Wanted;
        self.is_begin_open = false;
        self.commit = Commit::NotSent;
    }

    /// Returns whether `begin` was sent and its success is unknown. The statement sent with it may have run all the
    /// same, outside of a transaction, and then it has committed by itself.
    pub(crate) fn is_begin_in_doubt(&self) -> bool {
        self.is_begin_open
    }

    /// Runs statements in this order in one round trip, and returns the rows of each.
    ///
    /// # Errors
    /// See [`Connection::query`]; the error of the first statement that failed.
    pub async fn query_all(&mut self, statements: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        self.run_all(statements, None).await
    }

    /// Runs the last statements of a transaction like [`Connection::query_all`] and commits in the same round trip. The
    /// server runs them in order, so a failed statement turns the commit into a rollback. If an earlier statement of
    /// the transaction failed, nothing is committed, and this call does not report it.
    ///
    /// # Errors
    /// See [`Connection::query`]; also an error of the commit. Unless the server refused plainly, the commit is in
    /// doubt.
    pub async fn finish(&mut self, statements: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let mut prepared = None;
        if let [only] = statements {
            prepared = Some(self.prepared(only.sql()).await?);
        }
        match (self.transaction, statements, prepared) {
            (Transaction::Wanted, [], _) => {
                (self.transaction, self.commit) = (Transaction::None, Commit::Done);
                Ok(Vec::new())
            }
            (Transaction::Wanted, [only], Some((client, statement))) => {
                (self.transaction, self.commit) = (Transaction::None, Commit::Sent);
                let rows = self.run(only.run(&client, &statement)).await?;
                self.commit = Commit::Done;
                Ok(vec![rows])
            }
            (Transaction::None | Transaction::Wanted | Transaction::Open | Transaction::Failed, ..) => {
                self.run_all(statements, Some("commit")).await
            }
        }
    }

    /// Like [`Connection::finish`], for a transaction that answers from what it has read and may have written nothing:
    /// its commit is a barrier behind its reads.
    ///
    /// # Errors
    /// See [`Connection::finish`].
    pub async fn finish_behind_barrier(&mut self, statements: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        self.run_all(statements, Some(BARRIER_AND_COMMIT)).await
    }

    /// Returns whether the last transaction was committed. For [`Commit::Sent`], [`is_refusal`] tells whether an error
    /// means that nothing was committed.
    pub(crate) fn commit_state(&self) -> Commit {
        self.commit
    }

    /// Rolls back. If that fails, the connection is closed, which ends the transaction too.
    pub(crate) async fn rollback(&mut self) {
        if self.batch_execute("rollback").await.is_ok() {
            self.transaction = Transaction::None;
        }
    }

    /// Runs statements and then the commit, if the transaction has not failed.
    async fn run_all(&mut self, statements: &[Bound<'_>], end: Option<&str>) -> Result<Vec<Vec<Row>>, Error> {
        let end = end.filter(|_| self.transaction != Transaction::Failed);
        let prepared = self.prepare_all(statements).await?;
        let client = self.client.clone();
        let rows = statements.iter().zip(&prepared).map(|(statement, prepared)| statement.run(&client, prepared));
        let mut rows = Box::pin(maybe_done(try_join_all(rows)));
        let mut commit = Commit::NotSent;
        let work = async {
            // One poll encodes and sends each statement, in this order. If one could not be encoded it was not sent,
            // and the commit must not be sent either.
            let _ = futures::poll!(rows.as_mut());
            let has_failed = matches!(rows.as_mut().output_mut(), Some(Err(_)));
            let Some(end) = end.filter(|_| !has_failed) else {
                rows.as_mut().await;
                return taken(rows.as_mut());
            };
            commit = Commit::Sent;
            let ((), said) = join(rows.as_mut(), client.batch_execute(end)).await;
            if said.is_ok() {
                // The transaction has ended; if a statement failed, with a rollback.
                commit = Commit::Done;
            }
            let rows = taken(rows.as_mut())?;
            said.map(|()| rows)
        };
        let result = self.run(work).await;
        if commit == Commit::Done {
            self.transaction = Transaction::None;
        }
        self.commit = if commit == Commit::Done && result.is_err() { Commit::Sent } else { commit };
        result
    }

    /// Returns whether a statement of the open transaction has failed.
    pub(crate) fn transaction_failed(&self) -> bool {
        self.transaction == Transaction::Failed
    }

    /// Returns whether the connection can be used for further work: nothing is open on it, and its server is still the
    /// one that this process uses.
    pub fn is_reusable(&self) -> bool {
        self.answer == Answer::Complete
            && self.transaction == Transaction::None
            && !self.is_spent
            && self.origin.is_current()
            && !self.client.is_closed()
    }

    /// Fails if the session could not write when it was opened.
    pub(super) fn require_writable(&self) -> Result<(), DbError> {
        self.origin.read_only.clone().map_or(Ok(()), Err)
    }

    /// Returns the timeline of the server, if it is a primary that reveals it.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        self.origin.timeline
    }

    /// Returns the address of the server, for messages.
    pub(super) fn place(&self) -> &str {
        &self.origin.place
    }

    /// Prepares statements that are sent together.
    pub(super) async fn prepare_all(&mut self, statements: &[Bound<'_>]) -> Result<Vec<Statement>, Error> {
        let mut prepared = Vec::with_capacity(statements.len());
        for statement in statements {
            prepared.push(self.prepared(statement.sql()).await?.1);
        }
        Ok(prepared)
    }

    async fn prepared(&mut self, sql: &'static str) -> Result<(Arc<Client>, Statement), Error> {
        let client = self.client.clone();
        if let Some(statement) = self.statements.get(sql) {
            return Ok((client, statement.clone()));
        }
        let statement = self.run(client.prepare(sql)).await?;
        self.statements.insert(sql, statement.clone());
        Ok((client, statement))
    }

    pub(super) async fn run<T>(&mut self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.answer = Answer::Outstanding;
        let client = self.client.clone();
        let begins = self.transaction == Transaction::Wanted;
        if begins {
            self.transaction = Transaction::Open;
            self.is_begin_open = true;
        }
        let work = async {
            if !begins {
                return (Ok(()), work.await);
            }
            // `join` polls `begin` first, so it is sent first.
            join(client.batch_execute("begin"), work).await
        };
        let Ok((begun, result)) = timeout(self.limit, work).await else { return Err(no_answer()) };
        self.answer = Answer::Complete;
        if self.origin.is_superseded() {
            // Its answer is about a history that has ended; it is unknown whether the new one contains a commit.
            self.is_spent = true;
            return Err(no_answer());
        }
        begun?;
        self.is_begin_open = false;
        let is_replicated = !self.cancelled_wait.take();
        if let Err(error) = &result {
            if self.transaction == Transaction::Open {
                self.transaction = Transaction::Failed;
            }
            if is_stale_plan(error) {
                self.statements.clear();
            }
            self.is_spent |= ends_session(error);
            if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                self.origin.is_read_only_now();
            }
        }
        // The statement has done its work, but a success would claim more than the server does.
        result.and_then(|value| if is_replicated { Ok(value) } else { Err(no_answer()) })
    }
}

/// Takes the rows of completed statements.
fn taken<F>(mut rows: Pin<&mut MaybeDone<F>>) -> Result<Vec<Vec<Row>>, Error>
where
    F: Future<Output = Result<Vec<Vec<Row>>, Error>>,
{
    rows.as_mut().take_output().unwrap_or_else(|| Err(no_answer()))
}

/// The error for an answer that did not come in time: a vanished machine or a paused server never answers. The
/// connection keeps its marks and is closed. It also stands for a commit that was reported without its standby.
fn no_answer() -> Error {
    // tokio-postgres offers no other constructor for a timeout; its own blocking client uses this one.
    Error::__private_api_timeout()
}

/// Time limit for the answer to a statement.
pub(super) fn statement_limit(settings: &DatabaseSettings) -> Duration {
    Duration::from_millis(settings.statement_timeout_ms) + ANSWER_MARGIN
}

/// Returns whether an error of `commit` means that nothing was committed. Only the server can say so, and only while it
/// keeps the session: an error that ends the session (FATAL), a shutdown or a cancel (57), a connection error (08), or
/// an internal error (58, XX) may come after the commit.
pub(crate) fn is_refusal(error: &Error) -> bool {
    use tokio_postgres::error::Severity;
    error.as_db_error().is_some_and(|said| {
        said.parsed_severity() == Some(Severity::Error)
            && !matches!(said.code().code().get(..2), Some("57" | "08" | "58" | "XX"))
    })
}

/// Returns whether a prepared statement no longer fits the tables, because a migration ran meanwhile.
fn is_stale_plan(error: &Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
}

/// Returns whether an error makes the session unusable: it cannot write (25006: the server is read-only now, or was
/// when the session was opened), the server ends it (57P0x), its connection is broken (08), or its prepared statements
/// are lost (26000), as behind a pooler.
fn ends_session(error: &Error) -> bool {
    let Some(code) = error.code().map(SqlState::code) else { return false };
    matches!(code, "25006" | "26000") || code.starts_with("08") || code.starts_with("57P0")
}
