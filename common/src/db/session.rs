//! Settings of a new session, and whether the session may write.
//!
//! Settings are set by a statement instead of startup options, because PgBouncer refuses most of those. One statement
//! sets them and reads whether the server accepts writes, and its timeline, so a new connection costs one round trip.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres_protocol::escape::escape_literal;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::hosts::Hosts;
use super::notices::CancelledWait;
use super::timeline::{TIMELINE, Timeline};
use super::{DbError, Target};

/// How long a read-only session is used: after that, there may be a writable server again.
const READ_ONLY_SESSION_LIFE: Duration = Duration::from_secs(1);
/// How long [`check_pooling`] waits for a session whose server connection may be held by another session.
const POOLING_CHECK_LIMIT: Duration = Duration::from_secs(2);

const READ_ACCESS: &str = "(pg_is_in_recovery() or current_setting('transaction_read_only')::bool
    or current_setting('default_transaction_read_only')::bool)::text";

/// The part of a server.
pub(super) struct Role {
    /// Whether the session may write: the server is not in recovery, and the session is not read-only by a setting.
    pub(super) is_writable: bool,
    /// The timeline of a primary, if the role of the session may read it, as any role may unless that was revoked.
    pub(super) timeline: Option<Timeline>,
}

/// Applies the settings to a new session and returns the part of its server.
pub(super) async fn prepare(client: &Client, settings: &[(String, String)]) -> Result<Role, Error> {
    let mut columns: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("set_config({}, {}, false)", escape_literal(name), escape_literal(value)))
        .collect();
    columns.push(READ_ACCESS.to_owned());
    let columns = columns.join(", ");
    let mut row = last_row(client, &format!("select {columns}, {TIMELINE}")).await;
    if let Err(error) = &row
        && matches!(error.code(), Some(&(SqlState::INSUFFICIENT_PRIVILEGE | SqlState::UNDEFINED_FUNCTION)))
    {
        row = last_row(client, &format!("select {columns}, null")).await;
    }
    let from_the_end = |index: usize| {
        let row = row.as_ref().ok()?.as_ref()?;
        row.get(row.len().checked_sub(index)?).map(str::to_owned)
    };
    let (read_only, timeline) = (from_the_end(2), from_the_end(1));
    row?;
    let is_writable = read_only.as_deref() == Some("false");
    Ok(Role { is_writable, timeline: timeline.and_then(|timeline| timeline.parse().ok()) })
}

/// A session with its settings applied.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) origin: Origin,
    pub(super) cancelled_wait: CancelledWait,
}

impl Session {
    /// Converts an error of a statement.
    pub(super) fn failed(&self, error: &Error) -> DbError {
        DbError::of_statement(&self.origin.place, error)
    }
}

/// Where and when a session was opened.
pub(super) struct Origin {
    /// The address of the server, for messages.
    pub(super) place: String,
    /// Why the session cannot write, with the reasons of all other hosts; `None` if it can.
    pub(super) read_only: Option<DbError>,
    /// The timeline of the server, if it is a primary that tells it.
    pub(super) timeline: Option<Timeline>,
    pub(super) hosts: Arc<Hosts>,
    pub(super) generation: u64,
    pub(super) opened_at: Instant,
}

impl Origin {
    /// Returns whether the session may still be handed out.
    pub(super) fn is_current(&self) -> bool {
        let is_trusted = self.generation == self.hosts.generation();
        is_trusted && (self.read_only.is_none() || self.opened_at.elapsed() < READ_ONLY_SESSION_LIFE)
    }

    /// Returns whether the server was replaced: another one is on a newer timeline.
    pub(super) fn is_superseded(&self) -> bool {
        self.timeline.is_some_and(|timeline| self.hosts.fence.check(timeline).is_err())
    }

    /// Distrusts all sessions opened so far, since a write was refused although this session could write when it was
    /// opened.
    pub(super) fn is_read_only_now(&self) {
        if self.read_only.is_none() {
            self.hosts.distrust(self.generation);
        }
    }
}

/// Runs a simple query and returns the last column of its last row.
async fn last_value(client: &Client, sql: &str) -> Result<Option<String>, Error> {
    let row = last_row(client, sql).await?;
    Ok(row.and_then(|row| row.get(row.len().checked_sub(1)?).map(str::to_owned)))
}

/// Runs a simple query and returns its last row.
async fn last_row(client: &Client, sql: &str) -> Result<Option<SimpleQueryRow>, Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages.into_iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }))
}

/// Detects a pooler in transaction mode (PgBouncer's `pool_mode = transaction`), which breaks all state of a session:
/// settings, prepared statements, advisory locks.
///
/// The first session makes a setting. A second session opens a transaction; if server connections are shared, it takes
/// the one used last. Then the first session reads its setting. If it gets no answer, both share the only connection.
///
/// # Errors
/// [`DbError::TransactionPooling`], or an error of the check itself.
pub async fn check_pooling(server: &secrecy::SecretString, database: Option<&str>) -> Result<(), DbError> {
    const MARK: &str = "select set_config('ecommerce.session_check', 'kept', false)";
    const LOOK: &str = "select coalesce(current_setting('ecommerce.session_check', true), '')";
    let target = Target::new(server, database, None)?;
    let (first, second) = (target.connect().await?, target.connect().await?);
    let failed = |error: Error| first.failed(&error);
    last_value(&first.client, MARK).await.map_err(failed)?;
    // A second session that gets no server connection is waiting for the first one's: each session has its own then.
    let Ok(begun) = timeout(POOLING_CHECK_LIMIT, second.client.batch_execute("begin")).await else { return Ok(()) };
    begun.map_err(failed)?;
    let kept = match timeout(POOLING_CHECK_LIMIT, last_value(&first.client, LOOK)).await {
        Ok(kept) => kept.map_err(failed)?,
        Err(_) => None,
    };
    match kept.as_deref() {
        Some("kept") => Ok(()),
        _ => Err(DbError::TransactionPooling { place: first.origin.place.clone() }),
    }
}
