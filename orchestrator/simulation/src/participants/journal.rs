//! The journal of a participant in memory: the decisions of each transaction, tombstones included. Its verdicts are
//! those of the real participants; a separate test compares the answers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use common::request_hash::{HASH_VERSION, RequestHash};
use common::wire;
use domain_services::journal::{
    ActionSeen, ActionVerdict, CompensationVerdict, Found, Recorded, classify_action, classify_compensation,
};

use crate::mutation::{Mutation, is_mutated};
use orchestrator::invariants::{Decision, Entry, Facts, OperationKind, Participant};

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
    /// The value of `Saga-Action` in a compensation's reply: the state in which it found its action.
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

#[derive(Clone, Debug)]
struct Row {
    recorded: Recorded,
    origin: Option<Origin>,
    at: DateTime<Utc>,
}

impl Row {
    /// Makes a row; a tombstone and a compensation have no contents.
    fn new(ask: &Ask<'_>, status: u16, reply: String, hash: Option<RequestHash>) -> Row {
        let hash = hash.map(|hash| hash.as_bytes().to_vec());
        let status = i16::try_from(status).unwrap_or(i16::MAX);
        let recorded = Recorded { status, reply, hash, hash_version: HASH_VERSION, tombstone: false };
        Row { recorded, origin: ask.origin, at: ask.at }
    }
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

impl Page {
    fn found(&self) -> Found<'_> {
        Found {
            action: self.actions.last().map(|row| &row.recorded),
            compensation: self.compensations.first().map(|row| &row.recorded),
        }
    }

    /// Returns the verdict on an action, as a mutated participant gives it.
    fn verdict(&self, hash: &RequestHash) -> ActionVerdict<'_> {
        let mut found = self.found();
        let undone_may_run =
            [Mutation::UndoneActionReplays, Mutation::CompensateBeforeTurn, Mutation::ForwardAfterTurn];
        if undone_may_run.into_iter().any(is_mutated) {
            found.compensation = None;
        }
        match classify_action(hash, found) {
            ActionVerdict::Replay(action) if action.status == 409 && is_mutated(Mutation::TossAgain) => {
                ActionVerdict::New
            }
            ActionVerdict::Replay(_) | ActionVerdict::ContentsDiffer if is_mutated(Mutation::ForgetJournal) => {
                ActionVerdict::New
            }
            verdict => verdict,
        }
    }
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
        let hash = RequestHash::of("action", &contents);
        match page.verdict(&hash) {
            ActionVerdict::New => {}
            ActionVerdict::TooLate(_) => {
                self.tombstones_hit += 1;
                let body = too_late(page.compensations.first().map(|row| row.recorded.reply.as_str()));
                return Reply { decision: Some(wire::REFUSED), ..Reply::plain(409, body) };
            }
            ActionVerdict::ContentsDiffer => {
                return Reply::plain(422, r#"{"type":"about:blank","title":"other contents","status":422}"#);
            }
            ActionVerdict::Replay(action) => {
                self.replays += 1;
                return Reply { replayed: true, ..decided(action) };
            }
        }
        let Decided { status, body } = decide(ask.draw);
        let row = Row::new(ask, status, body, Some(hash));
        let reply = decided(&row.recorded);
        page.actions.push(row);
        reply
    }

    /// Undoes an action once, or leaves a tombstone so that it never happens; every repeat gets the same reply.
    pub(super) fn compensate(
        &mut self,
        ask: &Ask<'_>,
        transaction: &str,
        tombstone: impl FnOnce() -> String,
        undo: impl FnOnce(ActionSeen) -> String,
    ) -> Reply {
        let page = self.pages.entry(transaction.to_owned()).or_default();
        let action = |seen| {
            Some(match seen {
                ActionSeen::Done => wire::ACTION_DONE,
                ActionSeen::Refused => wire::REFUSED,
                ActionSeen::Never => wire::ACTION_NONE,
            })
        };
        let seen = match classify_compensation(page.found()) {
            CompensationVerdict::New(seen) => seen,
            CompensationVerdict::Replay(recorded, seen) => {
                self.replays += 1;
                return Reply { action: action(seen), replayed: true, ..decided(recorded) };
            }
        };
        let body = undo(seen);
        if seen == ActionSeen::Never {
            if is_mutated(Mutation::SkipTombstone) {
                return Reply::plain(200, body);
            }
            self.tombstones_left += 1;
            let mut row = Row::new(ask, 409, tombstone(), None);
            row.recorded.tombstone = true;
            page.actions.push(row);
        }
        page.compensations.push(Row::new(ask, 200, body.clone(), None));
        Reply { action: action(seen), ..Reply::plain(200, body) }
    }

    /// Adds its rows to the facts that the invariants are checked against.
    pub(super) fn add_to(&self, participant: Participant, facts: &mut Facts) {
        for (transaction, page) in &self.pages {
            let entries = &mut facts.transaction(transaction).journal;
            let rows = page.actions.iter().map(|row| (row, OperationKind::Action));
            for (row, kind) in rows.chain(page.compensations.iter().map(|row| (row, OperationKind::Compensation))) {
                entries.push(Entry {
                    participant,
                    kind,
                    decision: if row.recorded.status == 200 { Decision::Done } else { Decision::Refused },
                    tombstone: row.recorded.tombstone,
                    from_saga: row.origin.is_some(),
                    attempt: row.origin.map(|origin| i32::try_from(origin.attempt).unwrap_or(i32::MAX)),
                    epoch: row.origin.map(|origin| origin.epoch),
                    at: row.at,
                });
            }
        }
    }
}

/// Replies with a decision.
fn decided(recorded: &Recorded) -> Reply {
    let status = u16::try_from(recorded.status).unwrap_or(u16::MAX);
    let decision = (status == 409).then_some(wire::REFUSED);
    Reply { decision, ..Reply::plain(status, recorded.reply.clone()) }
}
