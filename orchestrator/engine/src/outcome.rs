//! Outcomes of a call to a participant, and causes for which a saga turns back.
//!
//! A call is done, refused or unknown. Only a decision that the participant has recorded is a refusal; after any other
//! failure the work may have been done.

use std::fmt;
use std::time::Duration;

use crate::definition::Outputs;

/// Outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The action is done, with these outputs.
    Done(Outputs),
    /// The compensation is confirmed, with the state in which it found its action, and the outputs of the action in its
    /// reply.
    Undone(Found, Outputs),
    /// The participant has recorded a refusal. Never retried.
    Refused(Failure),
    /// Any other failure: the operation may have happened.
    Unknown(Unknown),
}

/// The state in which a compensation found its action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The action was done.
    Done,
    /// The action was refused.
    Refused,
    /// The action never ran, and never will.
    Nothing,
    /// The participant does not say.
    NotSaid,
}

/// An attempt whose effect is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The error for clients.
    pub failure: Failure,
    /// Details for operators: logs and the timeline, never an answer to a client.
    pub detail: String,
    /// Whether a repeat with the same key can help.
    pub retry: Retry,
    /// Whether the request can have reached the participant.
    pub sent: Sent,
}

/// Whether a repeat with the same key can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after at least this time (zero if the participant named none).
    After(Duration),
    /// Yes, after this time: the participant is known to be down, or takes no requests. Nothing was sent, and it does not
    /// count as an attempt.
    Parked(Duration),
    /// Yes, after this time: the participant is still at work, or is being replaced. It does not count as an attempt.
    Ongoing(Duration),
    /// No: the reply would be the same.
    Never,
    /// No, and a person should look: other work was done under this key.
    NeverAndRaise,
}

/// Whether a failed attempt can have reached the participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It failed before a byte was sent.
    Nothing,
    /// It may have arrived.
    Maybe,
}

/// An error for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// The message.
    pub message: String,
}

/// The status of a participant that did not answer in time.
const GATEWAY_TIMEOUT: u16 = 504;

impl Failure {
    /// Makes the error of a refusal by the participant `service`.
    pub fn refused(status: u16, service: &str, message: &str) -> Failure {
        Failure { status, message: format!("{service} conflict: {message}") }
    }

    /// Makes a 503: the participant `service` was not reached, or its reply is not that of a participant.
    pub fn unavailable(service: &str) -> Failure {
        Failure { status: 503, message: format!("Service {service} unavailable") }
    }

    /// Returns whether the participant did not answer in time.
    pub fn is_timeout(&self) -> bool {
        self.status == GATEWAY_TIMEOUT
    }

    /// Makes a 504: the participant `service` did not answer in time.
    pub fn timeout(service: &str) -> Failure {
        Failure { status: GATEWAY_TIMEOUT, message: format!("Timeout while communicating with {service}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.message)
    }
}

/// Why a saga turned back, or ended without an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A participant refused a step.
    Refused(Failure),
    /// The effect of a step was still unknown after all attempts.
    Unknown(Failure),
    /// The deadline passed.
    DeadlinePassed,
    /// A client cancelled the saga.
    Cancelled,
    /// The text in the row, as a later owner reads it.
    Recorded(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Refused(failure) | Cause::Unknown(failure) => failure.fmt(f),
            Cause::DeadlinePassed => f.write_str("408: Deadline passed"),
            Cause::Cancelled => f.write_str("409: Cancelled"),
            Cause::Recorded(text) => f.write_str(text),
        }
    }
}
