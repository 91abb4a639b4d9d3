//! One step of one saga: the state of its action and of its compensation, and whether it may have happened.

use chrono::{DateTime, Utc};

use super::known::{KnownEffect, Undoing};
use crate::definition::{Effect, Start, Step};
use crate::outcome::{Cause, Sent};

/// State of a step's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Not sent yet.
    Pending,
    /// A call is in flight.
    Running,
    /// The last attempt failed or was not sent; another follows.
    BackingOff,
    /// Done.
    Done,
    /// Refused by the participant.
    Refused,
    /// Given up or interrupted: it may have happened.
    Unknown,
}

/// State of a step's compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Not sent.
    None,
    /// A call is in flight.
    Running,
    /// The last attempt failed or was not sent; another follows.
    BackingOff,
    /// Confirmed.
    Done,
}

/// Kind of a step's effect: [`Effect`](crate::definition::Effect) without its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ReadOnly,
    Compensable,
    Uncompensated,
}

/// Whether the saga log shows that a step started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartInLog {
    /// The log does not say: a later owner assumes it.
    NotRecorded,
    /// It did not start: its start must be written first.
    Missing,
    /// Its start is in the log.
    Written,
}

/// Attempts at an action or a compensation, for display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Number sent by all owners, as far as the log shows.
    pub count: u32,
    /// Time of the first.
    pub started_at: Option<DateTime<Utc>>,
    /// Time at which the action or compensation was settled.
    pub finished_at: Option<DateTime<Utc>>,
    /// The last error.
    pub error: Option<String>,
}

impl Attempts {
    pub(super) fn sent(&mut self, at: DateTime<Utc>) {
        self.count += 1;
        self.started_at.get_or_insert(at);
    }

    pub(super) fn not_sent(&mut self) {
        self.count -= 1;
    }

    pub(super) fn carry_over(
        &mut self,
        count: u32,
        started_at: Option<DateTime<Utc>>,
        finished_at: Option<DateTime<Utc>>,
        error: &Option<String>,
    ) {
        *self = Attempts { count, started_at, finished_at, error: error.clone() };
    }
}

/// One step of one saga.
#[derive(Clone, Debug)]
pub struct StepRecord {
    pub(super) kind: Kind,
    /// Whether it may have started, as far as an owner that takes the saga over can tell.
    pub(super) start: StartInLog,
    /// State of its action.
    pub action: Action,
    /// State of its compensation.
    pub undo: Undo,
    /// Attempts at its action.
    pub attempts: Attempts,
    /// Attempts at its compensation.
    pub undo_attempts: Attempts,
    /// For decisions: an owner that took the saga over assumes that every step with an effect may have happened.
    pub(super) may_have_happened: bool,
    /// Effect of its action, as all owners together know it.
    pub(super) effect: KnownEffect,
    /// State of its compensation, as all owners together know it.
    pub(super) undoing: Undoing,
}

impl StepRecord {
    /// Returns the known effect of its action, for display.
    pub fn effect(&self) -> KnownEffect {
        self.effect
    }

    /// Returns the value of [`StepView::action`](super::StepView::action).
    pub fn action_state(&self) -> &'static str {
        match (self.effect, self.action) {
            (KnownEffect::Done, _) => "done",
            (KnownEffect::Refused, _) => "refused",
            (_, Action::Running) => "running",
            (_, Action::BackingOff) => "backing_off",
            (KnownEffect::Unknown, _) => "unknown",
            (KnownEffect::NotDone, _) => "pending",
        }
    }

    /// Returns the value of [`StepView::state`](super::StepView::state).
    pub fn state(&self) -> &'static str {
        match (self.undoing, self.effect) {
            (Undoing::Asked, KnownEffect::Done | KnownEffect::Unknown) => "compensating",
            (Undoing::Confirmed, KnownEffect::Done) => "compensated",
            // Not requested, nothing to undo, or confirmed without a known effect.
            (Undoing::None | Undoing::Asked | Undoing::Confirmed, _) => self.action_state(),
        }
    }

    /// Returns the attempts in the direction that its state names.
    pub fn shown_attempts(&self) -> &Attempts {
        match self.state() {
            "compensating" | "compensated" => &self.undo_attempts,
            _ => &self.attempts,
        }
    }

    /// Records a failed attempt at its action.
    pub(super) fn failed(&mut self, sent: Sent) {
        if sent == Sent::Maybe {
            self.may_have_happened = true;
            if self.effect == KnownEffect::NotDone {
                self.effect = KnownEffect::Unknown;
            }
        }
    }

    pub(super) fn new(step: &Step) -> StepRecord {
        let start = match (step.start, &step.effect) {
            (Start::Recorded, Effect::Compensable(_)) => StartInLog::Missing,
            (Start::Recorded | Start::Assumed, _) => StartInLog::NotRecorded,
        };
        StepRecord {
            kind: match step.effect {
                Effect::ReadOnly { .. } => Kind::ReadOnly,
                Effect::Compensable(_) => Kind::Compensable,
                Effect::Uncompensated => Kind::Uncompensated,
            },
            start,
            action: Action::Pending,
            undo: Undo::None,
            attempts: Attempts::default(),
            undo_attempts: Attempts::default(),
            may_have_happened: false,
            effect: KnownEffect::NotDone,
            undoing: Undoing::None,
        }
    }

    /// Gives the step up between two attempts, since its saga turns back.
    pub(super) fn abandoned(&mut self, cause: &Cause, at: DateTime<Utc>) {
        self.action = Action::Unknown;
        self.attempts.finished_at = Some(at);
        self.attempts.error.get_or_insert_with(|| cause.to_string());
    }

    /// Tells whether a call with an effect is in flight.
    pub(super) fn is_open(&self) -> bool {
        self.kind != Kind::ReadOnly && self.action == Action::Running
    }

    /// Tells whether it may have happened and is not confirmed undone.
    pub fn needs_undo(&self) -> bool {
        self.kind == Kind::Compensable && self.undo != Undo::Done && self.may_have_happened
    }
}
