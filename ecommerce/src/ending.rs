//! The outcomes of a command and their exit codes. The codes are documented in `--help`.

use std::process::ExitCode;

use common::{
    config::ConfigErrors,
    db::{DbError, SchemaError},
    reason::with_causes,
};
use ecommerce::{embedded_postgres::EmbeddedError, facts::FactsError};
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::output::in_plain_words;

/// Outcome of a command that ran as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Success.
    Done,
    /// A negative answer: a reverted purchase, an unhealthy service, an audit with findings.
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
    /// A server's error answer.
    #[error("{line}")]
    Answered {
        line: String,
        status: u16,
        /// The answer in JSON, as a rule of RFC 9457; `None` if it is something else.
        problem: Option<Box<RawValue>>,
    },
}

/// A failure as JSON.
#[derive(Serialize)]
struct Document<'a> {
    error: String,
    kind: &'static str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a RawValue>,
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    fn number(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Answered { status: 400 | 422, .. } => 2,
            Self::Unreachable(_) => 3,
            Self::Broken(_) | Self::Answered { .. } => 4,
            Self::WrongVersion(_) => 5,
        }
    }

    /// Formats the failure as a JSON object in one line: `error`, `kind` and `exit_code`, and for a server's error
    /// answer `status` and, if it is JSON, `problem`.
    pub(crate) fn to_json(&self) -> String {
        let (status, problem) = match self {
            Self::Answered { status, problem, .. } => (Some(*status), problem.as_deref()),
            Self::Usage(_) | Self::Unreachable(_) | Self::Broken(_) | Self::WrongVersion(_) => (None, None),
        };
        let kind = match self {
            Self::Usage(_) | Self::Answered { status: 400 | 422, .. } => "usage",
            Self::Unreachable(_) => "no_answer",
            Self::Broken(_) | Self::Answered { .. } => "failed",
            Self::WrongVersion(_) => "version",
        };
        let document =
            Document { error: in_plain_words(&self.to_string()), kind, exit_code: self.number(), status, problem };
        // A problem may be spread over several lines.
        let json = serde_json::to_string(&document).expect("texts, numbers and JSON can be serialized");
        json.replace(['\n', '\r'], " ")
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

impl From<FactsError> for Failure {
    fn from(error: FactsError) -> Self {
        match error {
            FactsError::Database { service, key, source } => Self::database(service, &key, &source),
            FactsError::Statement { .. } | FactsError::NeverUsed { .. } | FactsError::Client(_) => {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_failure_as_json_is_one_line_with_its_exit_code_and_the_servers_own_words() {
        let problem = RawValue::from_string("{\n\"detail\": \"no\"}".to_owned()).unwrap();
        let answered = Failure::Answered { line: "answered 403".to_owned(), status: 403, problem: Some(problem) };
        let refused = Failure::Unreachable("Connection refused (os error 111)".to_owned());
        for (failure, expected) in [
            (
                answered,
                json!({ "error": "answered 403", "kind": "failed", "exit_code": 4, "status": 403, "problem": { "detail": "no" } }),
            ),
            (refused, json!({ "error": "Connection refused", "kind": "no_answer", "exit_code": 3 })),
            (Failure::Usage("a\n\"b\"".to_owned()), json!({ "error": "a\n\"b\"", "kind": "usage", "exit_code": 2 })),
        ] {
            let line = failure.to_json();
            assert_eq!((line.lines().count(), serde_json::from_str::<Value>(&line).unwrap()), (1, expected));
        }
    }
}
