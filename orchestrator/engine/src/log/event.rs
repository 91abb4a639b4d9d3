//! What may happen to a saga.

use thiserror::Error;

use crate::Status;
use crate::definition::Outputs;
use crate::outcome::{Cause, Failure, Found, Sent};

/// Something that happened to a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client does not want to wait: the saga must be in the log before anything else.
    BeginWanted,
    /// `begin` is durable, with the outputs known when it was written.
    Begun {
        /// Whether every read had answered by then.
        outputs: OutputsInLog,
    },
    /// The outputs of the reads are durable.
    OutputsWritten,
    /// A call for this step's action left.
    ActionSent(usize),
    /// It is done.
    ActionDone(usize, Outputs),
    /// The participant decided against it.
    ActionRefused(usize, Failure),
    /// An attempt failed; another follows.
    ActionFailed(usize, String, Sent),
    /// It was not sent, since the participant is known to be down: it was no attempt, and one follows.
    ActionParked(usize),
    /// The last attempt failed.
    ActionGivenUp(usize, Failure, String, Sent),
    /// The deadline passed or a client cancelled.
    Interrupted(Cause),
    /// A call that was given up was answered after all: its step had been done. For people; it steers nothing.
    HeardLate(usize, Outputs),
    /// A call that was given up was answered after all: its step had been refused. For people; it steers nothing.
    RefusedLate(usize),
    /// The turn is durable.
    TurnedBack,
    /// A call that undoes this step left.
    CompensationSent(usize),
    /// Undoing is confirmed, with what it found of the action, and what its answer names of what the action gave.
    CompensationDone(usize, Found, Outputs),
    /// Undoing is not confirmed; another attempt follows.
    CompensationFailed(usize, String),
    /// The call that undoes this step was not sent, since the participant is known to be down; one follows.
    CompensationParked(usize, String),
    /// The row says FAILED: undoing takes too long. It goes on.
    MarkedFailed,
    /// The end is durable.
    Ended(Status),
}

/// Whether the log holds what the reads gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputsInLog {
    /// All of it.
    Complete,
    /// Not yet.
    Missing,
}

/// An event that the protocol does not allow in this state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{event} is not allowed: {reason}")]
pub struct IllegalTransition {
    /// The event.
    pub event: String,
    /// What it would break.
    pub reason: &'static str,
}
