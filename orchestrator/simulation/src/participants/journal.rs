//! The journal of a participant in memory: the decisions of each transaction, tombstones included. It follows the rules
//! of the contract; a separate test compares it with the real participants.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use common::wire;

use crate::mutation::{Mutation, is_mutated};
use orchestrator::invariants::{Books, Decision, Entry, OperationKind, Participant};

/// A request to a participant.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The request.
    pub request: &'a saga_engine::definition::Request,
    /// The orchestrator's call, if the request is one.
    pub origin: Option<Origin>,
    /// The outcome of a new decision.
    pub draw: FailureDraw,
    /// Time of a new decision.
    pub at: DateTime<Utc>,
}

/// A call of an orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the attempt.
    pub attempt: u32,
    /// Epoch of the saga's owner.
    pub epoch: i32,
}

/// Outcome of a new decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureDraw {
    /// The action is done, if the participant's own rules allow it.
    Accept,
    /// The action is refused.
    Refuse,
}

/// Reply of a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Saga-Decision`, if it has one.
    pub decision: Option<&'static str>,
    /// The value of `Saga-Action` in a compensation's reply: what it found of its action.
    pub action: Option<&'static str>,
    /// Whether it is repeated from the journal.
    pub replayed: bool,
    /// The body.
    pub body: String,
}

impl Reply {
    /// Makes a reply without a recorded decision.
    pub fn plain(status: u16, body: impl Into<String>) -> Reply {
        Reply { status, decision: None, action: None, replayed: false, body: body.into() }
    }
}

/// A new decision of a participant.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) status: u16,
    pub(super) body: String,
}

/// The state of its action that a compensation finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Done,
    Refused,
    Never,
}

#[derive(Clone, Debug)]
struct Row {
    status: u16,
    body: String,
    /// The business fields; a tombstone has none.
    contents: Option<Vec<Option<String>>>,
    origin: Option<Origin>,
    at: DateTime<Utc>,
}

#[derive(Clone, Debug, Default)]
struct Page {
    actions: Vec<Row>,
    compensations: Vec<Row>,
}

/// The journal of one participant.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    pages: BTreeMap<String, Page>,
    pub(super) tombstones_left: u64,
    pub(super) tombstones_hit: u64,
    pub(super) replays: u64,
}

impl Journal {
    /// Decides an action once; every repeat gets the same reply.
    pub(super) fn act(
        &mut self,
        ask: &Ask<'_>,
        transaction: &str,
        contents: Vec<Option<String>>,
        too_late: impl FnOnce(Option<&str>) -> String,
        decide: impl FnOnce(FailureDraw) -> Decided,
    ) -> Reply {
        let page = self.pages.entry(transaction.to_owned()).or_default();
        let undone = page.compensations.first();
        let action = page.actions.last();
        let undone_is_refused = !is_mutated(Mutation::UndoneActionReplays)
            && !is_mutated(Mutation::CompensateBeforeTurn)
            && !is_mutated(Mutation::ForwardAfterTurn);
        if (undone.is_some() && undone_is_refused) || action.is_some_and(|action| action.contents.is_none()) {
            self.tombstones_hit += 1;
            let body = too_late(undone.map(|row| row.body.as_str()));
            return Reply { status: 409, decision: Some(wire::REFUSED), action: None, replayed: false, body };
        }
        if let Some(action) = action
            && !(is_mutated(Mutation::TossAgain) && action.status == 409)
            && !is_mutated(Mutation::ForgetJournal)
        {
            if action.contents.as_ref() != Some(&contents) {
                return Reply::plain(422, r#"{"type":"about:blank","title":"other contents","status":422}"#);
            }
            self.replays += 1;
            let decision = (action.status == 409).then_some(wire::REFUSED);
            return Reply { status: action.status, decision, action: None, replayed: true, body: action.body.clone() };
        }
        let Decided { status, body } = decide(ask.draw);
        let row = Row { status, body: body.clone(), contents: Some(contents), origin: ask.origin, at: ask.at };
        page.actions.push(row);
        let decision = (status == 409).then_some(wire::REFUSED);
        Reply { status, decision, action: None, replayed: false, body }
    }

    /// Undoes an action once, or leaves a tombstone so that it never happens; every repeat gets the same reply.
    pub(super) fn compensate(
        &mut self,
        ask: &Ask<'_>,
        transaction: &str,
        tombstone: impl FnOnce() -> String,
        undo: impl FnOnce(Seen) -> String,
    ) -> Reply {
        let page = self.pages.entry(transaction.to_owned()).or_default();
        let seen = match page.actions.last() {
            None => Seen::Never,
            Some(action) if action.contents.is_none() => Seen::Never,
            Some(action) if action.status == 200 => Seen::Done,
            Some(_) => Seen::Refused,
        };
        let action = Some(match seen {
            Seen::Done => wire::ACTION_DONE,
            Seen::Refused => wire::REFUSED,
            Seen::Never => wire::ACTION_NONE,
        });
        if let Some(done) = page.compensations.first() {
            self.replays += 1;
            return Reply { status: done.status, decision: None, action, replayed: true, body: done.body.clone() };
        }
        let body = undo(seen);
        if seen == Seen::Never {
            if is_mutated(Mutation::SkipTombstone) {
                return Reply::plain(200, body);
            }
            self.tombstones_left += 1;
            let row = Row { status: 409, body: tombstone(), contents: None, origin: ask.origin, at: ask.at };
            page.actions.push(row);
        }
        let row = Row { status: 200, body: body.clone(), contents: None, origin: ask.origin, at: ask.at };
        page.compensations.push(row);
        Reply { action, ..Reply::plain(200, body) }
    }

    /// Adds its rows to the books that the invariants are checked against.
    pub(super) fn add_to(&self, participant: Participant, books: &mut Books) {
        for (transaction, page) in &self.pages {
            let entries = &mut books.page(transaction).journal;
            let rows = page.actions.iter().map(|row| (row, OperationKind::Action));
            for (row, kind) in rows.chain(page.compensations.iter().map(|row| (row, OperationKind::Compensation))) {
                entries.push(Entry {
                    participant,
                    kind,
                    decision: if row.status == 200 { Decision::Done } else { Decision::Refused },
                    tombstone: kind == OperationKind::Action && row.contents.is_none(),
                    from_saga: row.origin.is_some(),
                    attempt: row.origin.map(|origin| i32::try_from(origin.attempt).unwrap_or(i32::MAX)),
                    epoch: row.origin.map(|origin| origin.epoch),
                    at: row.at,
                });
            }
        }
    }
}
