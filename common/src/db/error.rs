//! Database errors, in one line each.

use std::error::Error;

use thiserror::Error as ThisError;
use tokio_postgres::error::SqlState;

use super::{SchemaError, Timeline};

/// A reason why the database cannot be used. Each message is one line, without a password.
#[derive(Clone, Debug, ThisError)]
pub enum DbError {
    /// The URL is invalid.
    #[error("database.url is not a PostgreSQL URL: {0}")]
    Url(String),
    /// The server does not answer.
    #[error("cannot reach PostgreSQL at {place}: {reason}")]
    Unreachable {
        /// Host and port, or socket.
        place: String,
        /// The reason.
        reason: String,
    },
    /// All connections of the pool stayed in use for as long as the caller may wait.
    #[error("all connections to PostgreSQL at {place} are in use")]
    Busy {
        /// Host and port, or socket.
        place: String,
    },
    /// The server answered with an error.
    #[error("PostgreSQL at {place} returned an error: {reason}")]
    Refused {
        /// Host and port, or socket.
        place: String,
        /// The server's message.
        reason: String,
        /// Its SQLSTATE; empty if there is none.
        sqlstate: String,
    },
    /// The server accepts no writes.
    #[error("PostgreSQL at {place} is read-only: a standby, or configured so{others}")]
    ReadOnly {
        /// Host and port, or socket.
        place: String,
        /// Why the other hosts of the URL cannot be used, to follow the message; empty if there are none.
        others: String,
    },
    /// Another server has replaced this one.
    #[error("PostgreSQL at {place} is not used: {reason}")]
    Superseded {
        /// Host and port, or socket.
        place: String,
        /// Its timeline and the newer one.
        reason: String,
    },
    /// A pooler gives each transaction a different session.
    #[error(
        "{place} is a pooler in transaction mode, which keeps no sessions: settings, locks and prepared statements are \
         lost. Use PgBouncer's `pool_mode = session`, or PostgreSQL itself"
    )]
    TransactionPooling {
        /// Host and port, or socket.
        place: String,
    },
    /// The program and the database do not fit together.
    #[error("database {database} {reason}")]
    Schema {
        /// The database.
        database: String,
        /// The reason.
        reason: SchemaError,
    },
    /// A migration failed.
    #[error("migration of database {database} failed: {reason}")]
    Migration {
        /// The database.
        database: String,
        /// The reason.
        reason: String,
    },
}

impl DbError {
    /// Converts an error of connecting.
    pub(super) fn of_connecting(place: String, error: &tokio_postgres::Error) -> Self {
        let reason = describe(error);
        match error.code() {
            // PgBouncer's message for a database missing on its server.
            Some(code) if code.code() == "08P01" && reason.contains("does not exist") => {
                Self::Refused { place, reason, sqlstate: SqlState::INVALID_CATALOG_NAME.code().to_owned() }
            }
            // The server is starting up, shutting down or out of connections: treated as unreachable.
            Some(code) if is_temporary(code) => Self::Unreachable { place, reason },
            Some(code) => Self::Refused { place, reason, sqlstate: code.code().to_owned() },
            None => Self::Unreachable { place, reason },
        }
    }

    /// Converts an error of an established connection.
    pub(super) fn of_statement(place: &str, error: &tokio_postgres::Error) -> Self {
        let sqlstate = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
        Self::Refused { place: place.to_owned(), reason: describe(error), sqlstate }
    }

    /// The error of a server that another one has replaced.
    pub(super) fn superseded(place: String, timeline: Timeline, newest: Timeline) -> Self {
        let reason = format!("it is on timeline {timeline}, and a server on timeline {newest} has replaced it");
        Self::Superseded { place, reason }
    }

    /// Combines the failures of several hosts into one error: that of the host which decides what the caller does next,
    /// followed by the reasons of the others. A missing database is created; an unreachable host may come back.
    pub(super) fn of_hosts(mut failures: Vec<Self>) -> Self {
        let rank = |error: &Self| match error {
            error if error.is_missing_database() => 0,
            Self::Unreachable { .. } => 1,
            Self::ReadOnly { .. } => 2,
            _ => 3,
        };
        let first = (0..failures.len()).min_by_key(|index| rank(&failures[*index])).unwrap_or_default();
        let error = failures.remove(first);
        error.with_others(&failures)
    }

    /// Adds the reasons of other hosts to the message.
    pub(super) fn with_others(mut self, failures: &[Self]) -> Self {
        if let Self::Unreachable { reason: text, .. }
        | Self::Refused { reason: text, .. }
        | Self::Superseded { reason: text, .. }
        | Self::ReadOnly { others: text, .. } = &mut self
        {
            for failure in failures {
                let (place, reason) = failure.place_and_reason();
                text.push_str(&format!("; {place}: {reason}"));
            }
        }
        self
    }

    fn place_and_reason(&self) -> (&str, &str) {
        match self {
            Self::Unreachable { place, reason }
            | Self::Refused { place, reason, .. }
            | Self::Superseded { place, reason } => (place, reason),
            Self::Busy { place } => (place, "all connections are in use"),
            Self::ReadOnly { place, .. } => (place, "read-only"),
            Self::TransactionPooling { place } => (place, "a pooler in transaction mode"),
            Self::Url(reason) => ("database.url", reason),
            Self::Migration { database, reason } => (database, reason),
            Self::Schema { database, .. } => (database, "of another version"),
        }
    }

    /// Returns whether the server answered but the database is missing.
    pub(super) fn is_missing_database(&self) -> bool {
        matches!(self, Self::Refused { sqlstate, .. } if sqlstate == SqlState::INVALID_CATALOG_NAME.code())
    }
}

fn is_temporary(code: &SqlState) -> bool {
    matches!(code.code().get(..2), Some("57" | "53" | "08"))
}

/// Returns the message of an error with its cause, in one line.
pub fn describe(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(database), _) => format!("{} ({})", database.message(), database.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
