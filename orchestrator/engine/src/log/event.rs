//! Events of a saga.

use thiserror::Error;

use crate::Status;
use crate::definition::Outputs;
use crate::outcome::{Cause, Failure, Found, Sent};

/// An event of a saga. A `usize` is the index of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `begin` must be written now: the client does not wait for the end, or the begin limit is near.
    BeginWanted,
    /// `begin` is durable, with the outputs known when it was written.
    Begun {
        /// Whether `begin` holds the outputs of every read.
        outputs: OutputsInLog,
    },
    /// The outputs of the reads are durable.
    OutputsWritten,
    /// The starts of these steps are durable.
    StartsWritten(Vec<usize>),
    /// A call for this step's action was sent.
    ActionSent(usize),
    /// The action is done, with these outputs.
    ActionDone(usize, Outputs),
    /// The participant refused the action.
    ActionRefused(usize, Failure),
    /// An attempt failed with this error; another follows.
    ActionFailed(usize, String, Sent),
    /// The call was not sent, since the participant is known to be down. It does not count as an attempt; one follows.
    ActionParked(usize),
    /// The last attempt failed; the effect of the action is unknown.
    ActionGivenUp(usize, Failure, String, Sent),
    /// The deadline passed or a client cancelled. Calls in flight go on to their end; reads in flight and steps between
    /// two attempts are given up.
    Interrupted(Cause),
    /// The direction Compensating is durable.
    TurnedBack,
    /// A call for this step's compensation was sent.
    CompensationSent(usize),
    /// The compensation is confirmed, with the state in which it found the action, and the outputs of the action in its
    /// reply.
    CompensationDone(usize, Found, Outputs),
    /// An attempt at the compensation failed with this error; another follows.
    CompensationFailed(usize, String),
    /// The compensation was not sent, since the participant is known to be down; an attempt follows.
    CompensationParked(usize, String),
    /// The row is marked FAILED: undoing takes too long. It is retried.
    MarkedFailed,
    /// The end is durable.
    Ended(Status),
}

/// Whether the outputs of the reads are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputsInLog {
    /// They are.
    Complete,
    /// They are not, or not all.
    Missing,
}

/// An event that the protocol does not allow in this state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{event} is not allowed: {reason}")]
pub struct IllegalTransition {
    /// The event.
    pub event: String,
    /// The rule that it would break.
    pub reason: &'static str,
}
