//! The common parts of the participants. Each participant is one file beside this one and defines *what* is done; this
//! module ensures that it is done exactly once.
//!
//! ```text
//!            api ────────────────► ledger ───────────────► PostgreSQL
//!   parse, simulated faults   group commit: one batch,   one row an action, which is its
//!   (participant/api)         one transaction            journal row; step_journal
//!                             (participant/ledger,       (the participant's SQL)
//!                              participant/journal)
//! ```
//! The guarantee (protocol in [`ledger`]): an operation of a transaction is decided once, under any number of
//! concurrent repeats, on any number of replicas, across crashes. A repeat is answered from the journal. An action that
//! has been compensated, even before it arrived, can never happen.

pub(crate) mod answer;
pub(crate) mod api;
pub(crate) mod columns;
pub(crate) mod describe;
pub(crate) mod idempotency;
pub mod journal;
pub(crate) mod ledger;
pub(crate) mod request;
pub(crate) mod service;
pub(crate) mod step_journal;

use std::future::Future;

use common::{
    db::{BatchStatement, Bound, Connection, Parameter},
    faults::FailureDraw,
    group_commit::Try,
    ids::TransactionId,
};
use serde::Serialize;
use tokio_postgres::Row;

use self::journal::ActionSeen;

/// A service that takes part in sagas: its operations and what they do to its own tables.
pub(crate) trait Participant: Send + Sync + 'static {
    const NAME: &'static str;
    /// The action's name in the journal.
    const ACTION: &'static str;
    /// The compensation's name in the journal.
    const COMPENSATION: &'static str;
    type Action: Action;
    /// Selects decisions by [`step_journal::look_up!`].
    const LOOK_UP: &'static str;

    /// Returns the statement that records tombstones, made by [`step_journal::tombstones!`].
    fn tombstones() -> &'static BatchStatement;

    /// Does the new work of a batch inside the open transaction, with set-based statements, and returns the decisions
    /// in the order of the work. Both lists are sorted by transaction id, so that all replicas lock in the same order.
    fn perform<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, Self::Action>,
    ) -> impl Future<Output = Result<Decisions<'a>, tokio_postgres::Error>> + Send;

    /// Returns the body of the answer to an action that was decided just now. `number` is what the recording returned for
    /// its row (an id, or the stock after it); 0 if that is null.
    fn answer(transaction_id: &TransactionId, action: &Self::Action, outcome: &Outcome, number: i64) -> String;

    /// Returns the body of the answer to an action of a look-up's row: what [`Participant::answer`] returned first.
    fn answer_of(row: &Row) -> String;

    /// Returns the body of the 409 for an action that arrives after its compensation. `compensation` is the recorded
    /// body of the compensation.
    fn too_late(transaction_id: &TransactionId, action: &Self::Action, compensation: &str) -> String;

    /// Returns the body of the answer of a tombstone.
    fn tombstone(transaction_id: &TransactionId) -> String;
}

/// The business fields of an action, as received.
pub(crate) trait Action: Clone + Send + Sync + 'static {
    /// The action's name in the journal: [`Participant::ACTION`], unless no saga uses the action.
    fn operation(&self) -> &'static str;

    /// The fields that identify the request's contents, in canonical form: amounts in cents, ids as text, absent as
    /// `None`. The list is part of [`common::request_hash::HASH_VERSION`]; change both together.
    fn canonical_fields(&self) -> Vec<Option<String>>;
}

/// The new work of a batch: none of it is in the journal yet.
pub(crate) struct Work<'a, A> {
    pub(crate) actions: Vec<NewAction<'a, A>>,
    pub(crate) compensations: Vec<NewCompensation<'a>>,
    /// Whether the batch was rolled back before because of a lost race.
    pub(crate) attempt: Try,
}

pub(crate) struct NewAction<'a, A> {
    pub(crate) action: &'a A,
    /// Whether the failure lab refuses the action.
    pub(crate) draw: FailureDraw,
}

pub(crate) struct NewCompensation<'a> {
    pub(crate) transaction_id: &'a TransactionId,
    pub(crate) action: ActionSeen,
}

/// The decisions of [`Participant::perform`], in the order of its [`Work`].
pub(crate) struct Decisions<'a> {
    pub(crate) actions: Vec<Outcome>,
    /// The body of the 200. `None`: the action is recorded as done, but its effect was not found, for no known reason. Such a compensation
    /// must not be confirmed.
    pub(crate) compensations: Vec<Option<String>>,
    /// Further statements of the batch, sent before the recording.
    pub(crate) before: Vec<Bound<'a>>,
    pub(crate) recording: Recording<'a>,
}

/// The outcome of a new action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Refused, with the reason in words.
    Refused(String),
}

impl Outcome {
    /// Returns the outcome of an action that only the failure lab refuses.
    pub(crate) fn drawn(draw: FailureDraw, reason: &str) -> Self {
        match draw {
            FailureDraw::Accept => Self::Done,
            FailureDraw::Refuse => Self::Refused(reason.to_owned()),
        }
    }

    /// Returns the HTTP status of the answer, as the view `journal` has it.
    pub(crate) fn status(&self) -> i16 {
        match self {
            Self::Done => 200,
            Self::Refused(_) => 409,
        }
    }
}

/// The statement that carries the actions out: it writes the row of each, which is its journal row as well. Nearly
/// every batch is this statement alone, and so a transaction in one round trip.
///
/// It is composed of [`step_journal::decided_actions!`] and [`step_journal::columns_of_actions!`], and returns the
/// transaction id of each row with the number that its answer shows.
pub(crate) struct Recording<'a> {
    pub(crate) statement: &'static BatchStatement,
    /// Parameters that follow the common columns.
    pub(crate) parameters: Vec<Parameter<'a>>,
}

/// The answer to an operation: the first one and all repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) status: i16,
    /// The JSON body.
    pub(crate) reply: String,
}

/// Serializes a reply as JSON text.
pub(crate) fn body(reply: &impl Serialize) -> String {
    serde_json::to_string(reply).expect("replies are structs of strings and numbers")
}
