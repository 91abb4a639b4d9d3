//! Settings of a new session, and whether the session may write.
//!
//! Settings are set by a statement instead of startup options, because PgBouncer refuses most of those. One statement
//! sets them and reads whether the server accepts writes, and its timeline, so a new connection costs one round trip.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres_protocol::escape::escape_literal;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::DbError;
use super::hosts::Hosts;
use super::notices::CancelledWait;
use super::timeline::{TIMELINE, Timeline};

/// How long a read-only session is used: after that, there may be a writable server again.
const READ_ONLY_SESSION_LIFE: Duration = Duration::from_secs(1);

const READ_ACCESS: &str = "(pg_is_in_recovery() or current_setting('transaction_read_only')::bool
    or current_setting('default_transaction_read_only')::bool)::text";

/// The role of a server: primary or standby.
pub(super) struct Role {
    /// Whether the session may write: the server is not in recovery, and the session is not read-only by a setting.
    pub(super) is_writable: bool,
    /// The timeline of a primary, if the role of the session may read it, as any role may unless that was revoked.
    pub(super) timeline: Option<Timeline>,
}

/// Without it a server that crashes loses what it has confirmed. A weaker or stronger wait for standbys stays.
const DURABLE_COMMITS: &str = "case when current_setting('synchronous_commit') = 'off' then
    set_config('synchronous_commit', 'on', false) end";

/// Applies the settings to a new session and returns the role of its server.
pub(super) async fn prepare(client: &Client, settings: &[(String, String)]) -> Result<Role, Error> {
    let mut columns: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("set_config({}, {}, false)", escape_literal(name), escape_literal(value)))
        .collect();
    columns.extend([DURABLE_COMMITS.to_owned(), READ_ACCESS.to_owned()]);
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
    /// The timeline of the server, if it is a primary that reveals it.
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
pub(super) async fn last_value(client: &Client, sql: &str) -> Result<Option<String>, Error> {
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
