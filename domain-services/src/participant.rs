//! What the participants of a saga share. Each of them is one file beside this one that says *what* is done; *how* it
//! is done exactly once is here.
//!
//! ```text
//!            front ──────────────► ledger ───────────────► PostgreSQL
//!   parse, simulated faults   group commit: one batch,   business rows and step_journal,
//!   (participant/front)       one transaction            one transaction
//!                             (participant/ledger,        (the participant's SQL)
//!                              participant/journal)
//! ```
//! The promise (protocol in [`ledger`]): an operation of a transaction is decided once, under any number of concurrent
//! repeats, on any number of replicas, across crashes; a repeat is answered from the journal; once an action has been
//! compensated, even before it arrived, it can never happen.

pub(crate) mod answer;
pub(crate) mod columns;
pub(crate) mod describe;
pub(crate) mod front;
pub(crate) mod idempotency;
pub(crate) mod journal;
pub(crate) mod ledger;
pub(crate) mod pages;
pub(crate) mod request;
pub(crate) mod service;
pub(crate) mod step_journal;

use std::future::Future;

use common::{
    db::{BatchStatement, Connection, Parameter},
    faults::Coin,
    group_commit::Try,
    ids::TransactionId,
};
use serde::Serialize;

use self::journal::ActionSeen;

/// A service that takes part in sagas: its operations and what they do to its own tables.
pub(crate) trait Participant: Send + Sync + 'static {
    /// The name of the service.
    const NAME: &'static str;
    /// The journal's name of the action that a saga asks for.
    const ACTION: &'static str;
    /// The journal's name of what undoes it.
    const COMPENSATION: &'static str;
    /// The business fields of an action.
    type Action: Action;

    /// Does the new work of a batch inside the open transaction, with statements over whole sets, and says what was
    /// decided, in the order given. Both lists are sorted by transaction id, so that replicas lock in one order.
    fn perform<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, Self::Action>,
    ) -> impl Future<Output = Result<Decisions<'a>, tokio_postgres::Error>> + Send;

    /// Returns the body of the 409 for an action that comes after its compensation.
    /// `compensation` is the body that the compensation was answered with.
    fn too_late(transaction_id: &TransactionId, action: &Self::Action, compensation: &str) -> String;

    /// Returns the body that stands in the journal for an action that never ran.
    fn tombstone(transaction_id: &TransactionId) -> String;
}

/// The business fields of an action, as they came.
pub(crate) trait Action: Clone + Send + Sync + 'static {
    /// The journal's name of this action; [`Participant::ACTION`] unless it is one that no saga asks for.
    fn operation(&self) -> &'static str;

    /// The fields that make it the same request, in canonical form: amounts in cents, ids as text, absent as `None`.
    /// The list belongs to [`common::request_hash::HASH_VERSION`]; change both together.
    fn canonical_fields(&self) -> Vec<Option<String>>;
}

/// The new work of a batch: nothing in it was done before.
pub(crate) struct Work<'a, A> {
    pub(crate) actions: Vec<NewAction<'a, A>>,
    pub(crate) compensations: Vec<NewCompensation<'a>>,
    /// Whether it was tried before, in a transaction that was rolled back for a lost race.
    pub(crate) attempt: Try,
}

/// An action to decide.
pub(crate) struct NewAction<'a, A> {
    pub(crate) transaction_id: &'a TransactionId,
    pub(crate) action: &'a A,
    /// Whether the failure lab refuses it.
    pub(crate) coin: Coin,
}

/// A compensation to carry out.
pub(crate) struct NewCompensation<'a> {
    pub(crate) transaction_id: &'a TransactionId,
    pub(crate) action: ActionSeen,
}

/// What [`Participant::perform`] decided, in the order of its [`Work`].
pub(crate) struct Decisions<'a> {
    pub(crate) actions: Vec<Decision>,
    /// `None`: the action is done, but its effect was not there to be undone, and nothing here explains that.
    /// Such a compensation must not be confirmed.
    pub(crate) compensations: Vec<Option<Decision>>,
    /// What is still to be done for that.
    pub(crate) effect: Effect<'a>,
}

/// The statement that does what was decided and writes the journal: one, so that both cost one wait for the server.
///
/// It is made of [`step_journal::journal_rows!`] and [`step_journal::record!`]. It may return rows of transaction id,
/// operation and reply: replies that hold something which is known only once it has run.
pub(crate) struct Effect<'a> {
    pub(crate) statement: &'static BatchStatement,
    /// Those behind the journal's.
    pub(crate) parameters: Vec<Parameter<'a>>,
}

/// A decision as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) status: i16,
    /// The exact JSON body of the answer.
    pub(crate) reply: String,
}

impl Decision {
    /// It is done.
    pub(crate) fn done(reply: &impl Serialize) -> Self {
        Self { status: 200, reply: body(reply) }
    }

    /// It is refused, and stays refused.
    pub(crate) fn refused(reply: &impl Serialize) -> Self {
        Self { status: 409, reply: body(reply) }
    }
}

/// Writes a reply as JSON text.
pub(crate) fn body(reply: &impl Serialize) -> String {
    serde_json::to_string(reply).expect("replies are structs of strings and numbers")
}
