//! What can come of a call to a participant, and why a saga turns back.
//!
//! There are three outcomes and the difference is everything: only a participant's recorded decision is a refusal;
//! whatever else goes wrong, the work may have been done.

use std::fmt;
use std::time::Duration;

use crate::definition::Outputs;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and this is what it gave.
    Done(Outputs),
    /// A compensation is confirmed: what it found of its action, and what its answer names of what the action gave.
    Undone(Found, Outputs),
    /// The participant decided against it and has recorded that. Never retried.
    Refused(Failure),
    /// Anything else: it may have happened.
    Unknown(Unknown),
}

/// What a compensation found of its action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It had happened.
    Done,
    /// It had been refused.
    Refused,
    /// It had never run, and never will.
    Nothing,
    /// The participant does not say.
    NotSaid,
}

/// An attempt whose effect is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What clients are told.
    pub failure: Failure,
    /// What a person who looks should know beyond that; for logs and the timeline, never for clients.
    pub detail: String,
    /// Whether asking again with the same key can help.
    pub retry: Retry,
    /// Whether anything left this process.
    pub sent: Sent,
}

/// Whether asking again with the same key can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Yes, but not before this much time has passed (zero when the participant named none).
    After(Duration),
    /// Yes, but the participant is known to be down: nothing was sent, it was no attempt, and it is worth trying again
    /// after this time.
    Parked(Duration),
    /// No: the answer would be the same.
    Never,
    /// No, and a person should look: something else was done under this key.
    NeverAndRaise,
}

/// Whether a failed attempt can have reached the participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It failed before a byte of it was sent.
    Nothing,
    /// It may have arrived.
    Maybe,
}

/// A status and a sentence: how an error is shown to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// An HTTP status.
    pub status: u16,
    /// The sentence.
    pub message: String,
}

impl Failure {
    /// A participant decided against it.
    pub fn refused(status: u16, service: &str, message: &str) -> Failure {
        Failure { status, message: format!("{service} conflict: {message}") }
    }

    /// A participant could not be reached, or did not answer as a participant does.
    pub fn unavailable(service: &str) -> Failure {
        Failure { status: 503, message: format!("Service {service} unavailable") }
    }

    /// A participant did not answer in time.
    pub fn timeout(service: &str) -> Failure {
        Failure { status: 504, message: format!("Timeout while communicating with {service}") }
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
    /// A step's effect stayed unknown after all attempts.
    Unknown(Failure),
    /// Its time was up.
    DeadlinePassed,
    /// A client cancelled it.
    Cancelled,
    /// Read back from the log by a later owner.
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
