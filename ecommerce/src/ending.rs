//! The outcomes of a command and their exit codes. The codes are documented in `--help`.

use std::process::ExitCode;

use common::{
    config::ConfigErrors,
    db::{DbError, SchemaError},
    reason::with_causes,
};
use ecommerce::{books::BooksError, embedded_postgres::EmbeddedError};
use thiserror::Error;

/// Outcome of a command that ran as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Success.
    Done,
    /// A negative answer: a reverted purchase, an unhealthy service, books that do not agree.
    Refused,
    /// Ended by a second Ctrl-C during work.
    Forced,
}

impl Ended {
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Refused => ExitCode::from(1),
            // The code that shells use for a program ended by Ctrl-C.
            Self::Forced => ExitCode::from(130),
        }
    }
}

/// The reason why a command could not run as asked; each names the cause, the place and the remedy.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// Invalid usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// The server did not answer.
    #[error("{0}")]
    Unreachable(String),
    /// An error answer, or a service that could not start or gave up.
    #[error("{0}")]
    Broken(String),
    /// This version of the program and a database exclude each other.
    #[error("{0}")]
    WrongVersion(String),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Broken(_) => 4,
            Self::WrongVersion(_) => 5,
        })
    }

    /// Makes a failure of an error and all its causes, in one line.
    pub(crate) fn broken(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Broken(format!("{what}: {}", with_causes(error)))
    }

    /// Makes a failure of an error of a service's database, whose URL is the value of `key`.
    pub(crate) fn database(service: &str, key: &str, error: &DbError) -> Self {
        let line = format!("{service} ({key}): {error}");
        match error {
            DbError::Url(reason) => Self::Usage(format!("{service} ({key}): not a PostgreSQL URL: {reason}")),
            DbError::Unreachable { .. } => {
                Self::Unreachable(format!("{line}: is the server running, and the URL right?"))
            }
            DbError::Schema {
                reason: SchemaError::ProgramTooOld { .. } | SchemaError::WouldLockOut { .. }, ..
            } => Self::WrongVersion(line),
            _ => Self::Broken(line),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let lines = errors.to_string();
        Self::Usage(match errors.problems().len() {
            1 => format!("the configuration is wrong: {lines}"),
            count => format!("the configuration is wrong in {count} places:\n{lines}"),
        })
    }
}

impl From<BooksError> for Failure {
    fn from(error: BooksError) -> Self {
        match error {
            BooksError::Database { service, key, source } => Self::database(service, &key, &source),
            BooksError::Statement { .. } | BooksError::NeverUsed { .. } | BooksError::Client(_) => {
                Self::Broken(error.to_string())
            }
        }
    }
}

impl From<EmbeddedError> for Failure {
    fn from(error: EmbeddedError) -> Self {
        Self::Broken(error.to_string())
    }
}
