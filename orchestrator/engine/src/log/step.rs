//! One step of one saga: the state of its action and of its compensation, and whether it may have happened.

use chrono::{DateTime, Utc};

use super::known::{KnownEffect, Undoing};
use crate::outcome::Sent;

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

/// Attempts at an action or a compensation, for display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Number sent by all owners, as far as the log tells.
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
    pub(super) name: &'static str,
    pub(super) participant: &'static str,
    pub(super) kind: Kind,
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
    /// Returns the name of the step.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the name of the participant.
    pub fn participant(&self) -> &'static str {
        self.participant
    }

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

    pub(super) fn needs_undo(&self) -> bool {
        self.kind == Kind::Compensable && self.undo != Undo::Done && self.may_have_happened
    }
}
