//! One step of one saga: how far its action and its undoing are, and whether it may have happened.

use chrono::{DateTime, Utc};

use super::known::{KnownEffect, Undoing};
use crate::outcome::Sent;

/// How far a step's action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Not asked for yet.
    Pending,
    /// A call is in flight.
    Running,
    /// The last attempt failed and another one will follow.
    BackingOff,
    /// Done.
    Done,
    /// Decided against, by the participant.
    Refused,
    /// Given up or interrupted: it may have happened.
    Unknown,
}

/// How far the undoing of a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Not asked for.
    None,
    /// A call is in flight.
    Running,
    /// The last attempt failed and another one will follow.
    BackingOff,
    /// Confirmed.
    Done,
}

/// What the protocol needs to know about a step's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ReadOnly,
    Compensable,
    Uncompensated,
}

/// The attempts at an action or at its undoing, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many were sent, by all owners as far as the log tells.
    pub count: u32,
    /// When the first was sent.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was settled.
    pub finished_at: Option<DateTime<Utc>>,
    /// What went wrong last.
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
    /// How far its action is.
    pub action: Action,
    /// How far its undoing is.
    pub undo: Undo,
    /// The attempts at its action.
    pub attempts: Attempts,
    /// The attempts at undoing it.
    pub undo_attempts: Attempts,
    /// What decisions assume: an owner that did not see all of the saga assumes the worst.
    pub(super) may_have_happened: bool,
    /// What is known of its action, by all owners together.
    pub(super) effect: KnownEffect,
    /// What is known of its undoing, by all owners together.
    pub(super) undoing: Undoing,
}

impl StepRecord {
    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns who does it.
    pub fn participant(&self) -> &'static str {
        self.participant
    }

    /// Returns what is known of its action.
    pub fn effect(&self) -> KnownEffect {
        self.effect
    }

    /// Returns the state of its action alone: see [`StepView::action`](super::StepView::action).
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

    /// Returns its state as people see it: see [`StepView::state`](super::StepView::state).
    pub fn state(&self) -> &'static str {
        match (self.undoing, self.effect) {
            (Undoing::Asked, KnownEffect::Done | KnownEffect::Unknown) => "compensating",
            (Undoing::Confirmed, KnownEffect::Done) => "compensated",
            // Nothing happened that could be undone, or it is not known whether something did.
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

    /// An attempt at its action failed.
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
