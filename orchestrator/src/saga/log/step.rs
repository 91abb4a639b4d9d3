//! One step of one saga: how far its action and its undoing are, and whether it may have happened.

use chrono::{DateTime, Utc};

use super::view::StepView;

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
    /// How many were sent by this owner.
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
}

/// How the state of a refused step is called.
const REFUSED: &str = "refused";

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
    pub(super) may_have_happened: bool,
    /// Whether an earlier owner had heard its refusal: for people, who would else see a refused step as one to come.
    pub(super) seen_refused: bool,
}

impl StepRecord {
    /// Takes over what people saw under an earlier owner; nothing is decided by it.
    pub(super) fn carry_over(&mut self, view: &StepView) {
        self.seen_refused = view.state == REFUSED;
        self.attempts = Attempts {
            count: view.attempts,
            started_at: view.started_at,
            finished_at: view.finished_at,
            error: view.error.clone(),
        };
        if let Some(undo) = &view.compensation {
            self.undo_attempts = Attempts {
                count: undo.attempts,
                started_at: undo.started_at,
                finished_at: None,
                error: undo.error.clone(),
            };
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns who does it.
    pub fn participant(&self) -> &'static str {
        self.participant
    }

    /// Returns its state as people see it: see [`StepView::state`].
    pub fn state(&self) -> &'static str {
        match (self.undo, self.action) {
            (Undo::Done, _) => "compensated",
            (Undo::Running | Undo::BackingOff, _) => "compensating",
            (Undo::None, Action::Pending) if self.seen_refused => REFUSED,
            (Undo::None, Action::Pending) => "pending",
            (Undo::None, Action::Running) => "running",
            (Undo::None, Action::BackingOff) => "backing_off",
            (Undo::None, Action::Done) => "done",
            (Undo::None, Action::Refused) => REFUSED,
            (Undo::None, Action::Unknown) => "unknown",
        }
    }

    pub(super) fn needs_undo(&self) -> bool {
        self.kind == Kind::Compensable && self.undo != Undo::Done && self.may_have_happened
    }
}
