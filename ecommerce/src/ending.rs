//! How a command ends, and the exit code that says so. The codes are documented in `--help`.

use std::process::ExitCode;

use common::{config::ConfigErrors, db::DbError, reason::with_causes};
use ecommerce::{books::BooksError, embedded_postgres::EmbeddedError};
use thiserror::Error;

/// How a command ended that did what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All is well.
    Done,
    /// The answer is no: a purchase that was reverted, a service that is unhealthy, books that do not agree.
    Refused,
    /// By a second Ctrl-C, while something was at work.
    Forced,
}

impl Ended {
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Refused => ExitCode::from(1),
            // What shells give for a program that Ctrl-C ended.
            Self::Forced => ExitCode::from(130),
        }
    }
}

/// Why a command could not do what it was asked to: what, where, and what to do.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The user asked for something that cannot be, or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// What was asked for is broken.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Broken(_) => 4,
        })
    }

    /// Makes a failure of an error with all its causes, in one line.
    pub(crate) fn broken(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Broken(format!("{what}: {}", with_causes(error)))
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

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        let line = error.to_string();
        if matches!(error, DbError::Url(_)) {
            return Self::Usage(line);
        }
        if matches!(error, DbError::Unreachable { .. }) {
            return Self::Unreachable(format!(
                "{line}: is the server running, and database.url (--database-url) right?"
            ));
        }
        Self::Broken(line)
    }
}

impl From<BooksError> for Failure {
    fn from(error: BooksError) -> Self {
        match error {
            BooksError::Database(error) => error.into(),
            BooksError::Statement { .. } => Self::Broken(error.to_string()),
        }
    }
}

impl From<EmbeddedError> for Failure {
    fn from(error: EmbeddedError) -> Self {
        Self::Broken(error.to_string())
    }
}
