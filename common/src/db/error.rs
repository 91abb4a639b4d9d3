//! Database errors, in one line each.

use std::error::Error;

use thiserror::Error as ThisError;
use tokio_postgres::error::SqlState;

use super::Target;

/// A reason why the database cannot be used. Each message is one line, without a password.
#[derive(Debug, ThisError)]
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
    #[error("PostgreSQL at {place} is read-only: a standby, or configured so")]
    ReadOnly {
        /// Host and port, or socket.
        place: String,
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
    pub(super) fn of_connecting(target: &Target, error: &tokio_postgres::Error) -> Self {
        let (place, reason) = (target.place(), describe(error));
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
    pub(super) fn of_statement(target: &Target, error: &tokio_postgres::Error) -> Self {
        let sqlstate = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
        Self::Refused { place: target.place(), reason: describe(error), sqlstate }
    }

    /// Returns the reason, without the place.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Url(reason)
            | Self::Unreachable { reason, .. }
            | Self::Refused { reason, .. }
            | Self::Migration { reason, .. } => reason,
            Self::Busy { .. } => "all connections are in use",
            Self::ReadOnly { .. } => "it is read-only",
            Self::TransactionPooling { .. } => "it is a pooler in transaction mode",
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
