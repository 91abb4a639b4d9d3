//! A connection that prepares each statement once, bounds each answer in time, and knows whether it may be used again.
//!
//! A connection whose last statement was not waited for, or whose transaction was not ended, is thrown away and not
//! handed on: whoever got it next would wait for a stranger's statement or write into a stranger's transaction. That
//! covers a panic and a dropped future too, since they leave the marks set.
//!
//! Statements whose answers nobody needs in between go in one trip, the commit with them ([`Connection::finish`]): a
//! transaction then costs one wait for the server, and the server wakes up once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{MaybeDone, join, maybe_done, try_join_all};
use secrecy::SecretString;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::session::{Access, Session, is_current};
use super::{Bound, DbError, Target};
use crate::config::DatabaseSettings;

/// How long after the server's own limit a statement's answer is still waited for.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// A connection to one database. Statements are constants of the program, so there are only so many to remember.
pub struct Connection {
    client: Arc<Client>,
    statements: HashMap<&'static str, Statement>,
    /// How long an answer is waited for.
    limit: Duration,
    answer: Answer,
    transaction: Transaction,
    /// Whether `begin` was sent and not answered.
    is_begin_open: bool,
    commit: Commit,
    access: Access,
    opened_at: Instant,
    /// A statement was answered with an error after which the session is of no use.
    is_spent: bool,
}

/// Whether the last statement was waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Complete,
    Outstanding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// To be opened with the first statement, unless that is the only one: it is a transaction by itself.
    Wanted,
    Open,
    /// Open, and a statement of it failed: the server would answer `commit` with a rollback, and call that success.
    Failed,
}

/// What is known of the commit of the last transaction that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    NotSent,
    /// On its way, or refused.
    Sent,
    Done,
}

/// What parameters of a statement are.
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Connection {
    /// Connects outside of any pool, for what needs a session of its own.
    ///
    /// # Errors
    /// [`DbError`] if nobody answers, or not as wanted.
    pub async fn open(server: &SecretString, database: &str, settings: &DatabaseSettings) -> Result<Self, DbError> {
        let target = Target::new(server, Some(database), Some(settings))?;
        Self::to(&target, statement_limit(settings)).await
    }

    /// Connects as [`Connection::open`], for writes.
    ///
    /// # Errors
    /// As [`Connection::open`], and [`DbError::ReadOnly`].
    pub async fn open_writable(
        server: &SecretString,
        database: &str,
        settings: &DatabaseSettings,
    ) -> Result<Self, DbError> {
        let target = Target::new(server, Some(database), Some(settings))?;
        let connection = Self::to(&target, statement_limit(settings)).await?;
        match connection.access {
            Access::ReadWrite => Ok(connection),
            Access::ReadOnly => Err(DbError::ReadOnly { place: target.place() }),
        }
    }

    /// Connects; every answer is waited for no longer than `limit`.
    pub(super) async fn to(target: &Target, limit: Duration) -> Result<Self, DbError> {
        let Session { client, access, opened_at } = target.connect().await?;
        Ok(Self {
            client: Arc::new(client),
            statements: HashMap::new(),
            limit,
            answer: Answer::Complete,
            transaction: Transaction::None,
            is_begin_open: false,
            commit: Commit::NotSent,
            access,
            opened_at,
            is_spent: false,
        })
    }

    /// Returns all rows.
    ///
    /// # Errors
    /// What the database or the connection says. An answer that does not come in time is one too.
    pub async fn query(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.query(&statement, parameters)).await
    }

    /// Returns the row, if there is one.
    ///
    /// # Errors
    /// As [`Connection::query`], or more than one row.
    pub async fn query_opt(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Option<Row>, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.query_opt(&statement, parameters)).await
    }

    /// Returns the one row.
    ///
    /// # Errors
    /// As [`Connection::query`], or no row, or more than one.
    pub async fn query_one(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Row, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.query_one(&statement, parameters)).await
    }

    /// Returns how many rows changed.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn execute(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Error> {
        let (client, statement) = self.prepared(sql).await?;
        self.run(client.execute(&statement, parameters)).await
    }

    /// Runs statements that have no parameters and whose rows nobody wants.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn batch_execute(&mut self, sql: &str) -> Result<(), Error> {
        let client = self.client.clone();
        self.run(client.batch_execute(sql)).await
    }

    /// Returns the client, for what none of these does. It keeps none of the promises of this type; in a
    /// [`crate::group_commit::BatchWriter`] a statement that fails here must fail the batch.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Begins a transaction: `begin` goes in one trip with the first statement.
    pub(crate) fn begin(&mut self) {
        self.transaction = Transaction::Wanted;
        self.is_begin_open = false;
        self.commit = Commit::NotSent;
    }

    /// Tells whether it is unknown that a transaction was begun. The statement behind may have run all the same, and then
    /// it has committed by itself.
    pub(crate) fn is_begin_in_doubt(&self) -> bool {
        self.is_begin_open
    }

    /// Runs statements in this order, sent in one trip, and returns the rows of each.
    ///
    /// # Errors
    /// As [`Connection::query`]; the first of them in that order.
    pub async fn query_all(&mut self, statements: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        self.run_all(statements, false).await
    }

    /// Runs the last statements of a transaction as [`Connection::query_all`], and commits it in the same trip. The server
    /// takes them one after the other, so that a statement which fails takes the commit with it. Where a statement has
    /// failed before, nothing is committed, and nothing is said of that here.
    ///
    /// # Errors
    /// As [`Connection::query`], or what the commit says. An error that is not a plain refusal leaves it in doubt.
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
            (transaction, ..) => self.run_all(statements, transaction != Transaction::Failed).await,
        }
    }

    /// Tells whether the last transaction was committed. Where that is [`Commit::Sent`] only [`is_refusal`] tells whether
    /// an error says that nothing was committed.
    pub(crate) fn commit_state(&self) -> Commit {
        self.commit
    }

    /// Rolls back. If that fails, the connection goes, and the transaction with it.
    pub(crate) async fn rollback(&mut self) {
        if self.batch_execute("rollback").await.is_ok() {
            self.transaction = Transaction::None;
        }
    }

    async fn run_all(&mut self, statements: &[Bound<'_>], commits: bool) -> Result<Vec<Vec<Row>>, Error> {
        let mut prepared = Vec::with_capacity(statements.len());
        for statement in statements {
            prepared.push(self.prepared(statement.sql()).await?.1);
        }
        let client = self.client.clone();
        let rows = statements.iter().zip(&prepared).map(|(statement, prepared)| statement.run(&client, prepared));
        let mut rows = Box::pin(maybe_done(try_join_all(rows)));
        let mut commit = Commit::NotSent;
        let work = async {
            // Polled once, each statement is encoded and on its way, in this order. One that could not be encoded is not:
            // then the commit must not be either.
            let _ = futures::poll!(rows.as_mut());
            let has_failed = matches!(rows.as_mut().output_mut(), Some(Err(_)));
            if !commits || has_failed {
                rows.as_mut().await;
                return taken(rows.as_mut());
            }
            commit = Commit::Sent;
            let ((), said) = join(rows.as_mut(), client.batch_execute("commit")).await;
            if said.is_ok() {
                // The transaction has ended. Had a statement failed, it would have ended with a rollback.
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

    /// Tells whether a statement of the open transaction has failed.
    pub(crate) fn transaction_failed(&self) -> bool {
        self.transaction == Transaction::Failed
    }

    /// Tells whether the next user of this connection can rely on it.
    pub(crate) fn is_reusable(&self) -> bool {
        self.answer == Answer::Complete
            && self.transaction == Transaction::None
            && !self.is_spent
            && is_current(self.access, self.opened_at)
            && !self.client.is_closed()
    }

    /// Returns whether it could write when it was opened.
    pub fn access(&self) -> Access {
        self.access
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

    async fn run<T>(&mut self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
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
            // Polled first and so sent first.
            join(client.batch_execute("begin"), work).await
        };
        let Ok((begun, result)) = timeout(self.limit, work).await else { return Err(no_answer()) };
        self.answer = Answer::Complete;
        begun?;
        self.is_begin_open = false;
        if let Err(error) = &result {
            if self.transaction == Transaction::Open {
                self.transaction = Transaction::Failed;
            }
            if is_stale_plan(error) {
                self.statements.clear();
            }
            self.is_spent |= ends_session(error);
        }
        result
    }
}

/// Takes the rows of statements that have answered.
fn taken<F>(mut rows: Pin<&mut MaybeDone<F>>) -> Result<Vec<Vec<Row>>, Error>
where
    F: Future<Output = Result<Vec<Vec<Row>>, Error>>,
{
    rows.as_mut().take_output().unwrap_or_else(|| Err(no_answer()))
}

/// What is said when no answer came in time: a machine that has vanished, or a server that was paused, never answers. The
/// connection keeps its marks and is thrown away.
fn no_answer() -> Error {
    // The only way to make such an error; the blocking client of the same makers does it too.
    Error::__private_api_timeout()
}

/// How long a statement's answer is waited for.
pub(super) fn statement_limit(settings: &DatabaseSettings) -> Duration {
    Duration::from_millis(settings.statement_timeout_ms) + ANSWER_MARGIN
}

/// Tells whether an error of `commit` says that nothing was committed. Only the server can say so, and only while it goes
/// on serving this session: an error that ends the session (FATAL), of a shutdown or a cancel (57), of the connection
/// (08), or of the server's inside (58, XX) may come after the commit.
pub(crate) fn is_refusal(error: &Error) -> bool {
    use tokio_postgres::error::Severity;
    error.as_db_error().is_some_and(|said| {
        said.parsed_severity() == Some(Severity::Error)
            && !matches!(said.code().code().get(..2), Some("57" | "08" | "58" | "XX"))
    })
}

/// Tells whether a prepared statement does not fit the tables any more: a migration ran meanwhile.
fn is_stale_plan(error: &Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
}

/// Tells whether a session is of no use after an error: it may not write (25006: the server is read-only now, or was when
/// the session was opened), the server ends it (57P0x), its connection is broken (08), or it has lost its prepared
/// statements (26000), as behind a pooler.
fn ends_session(error: &Error) -> bool {
    let Some(code) = error.code().map(SqlState::code) else { return false };
    matches!(code, "25006" | "26000") || code.starts_with("08") || code.starts_with("57P0")
}
