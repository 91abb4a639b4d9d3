//! Knowledge of a step's effect, of all owners of the saga together. It is for display only: more may have happened
//! than an owner knows, and decisions assume [`StepRecord::may_have_happened`](super::step::StepRecord).
//!
//! A durable timeline is as old as the last awaited write, so an owner that takes over a running saga knows less than
//! the owner before it did: an action that may have been sent meanwhile is [`KnownEffect::Unknown`] until it is sent
//! again, or until the reply of its compensation shows it. A step runs once the steps before it are done, so the effect
//! of one implies that of others: if a step is done or refused, all steps before it are done; if a step did not happen,
//! no step behind it did.

use super::step::{Kind, StepRecord};
use super::view::StepView;
use super::{Direction, SagaLog};
use crate::outcome::Found;
use crate::takeover::LeftBy;

/// Known effect of a step's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownEffect {
    /// It did not happen: it was not sent, or the participant has confirmed that it never ran.
    NotDone,
    /// It is done.
    Done,
    /// The participant has recorded that it refused.
    Refused,
    /// It may have happened.
    Unknown,
}

/// Known state of a step's compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undoing {
    /// Not requested.
    None,
    /// Requested, or a lost owner may have requested it.
    Asked,
    /// Confirmed.
    Confirmed,
}

impl StepRecord {
    /// Takes over the knowledge of earlier owners from the timeline.
    pub(super) fn carry_over(&mut self, view: &StepView, direction: Direction, left_by: LeftBy) {
        self.effect = match &*view.action {
            "done" => KnownEffect::Done,
            "refused" => KnownEffect::Refused,
            _ if !self.may_have_happened => KnownEffect::NotDone,
            // A saga that turned back sends no more actions.
            "pending" if direction == Direction::Compensating || left_by == LeftBy::Sleep => KnownEffect::NotDone,
            _ => KnownEffect::Unknown,
        };
        self.attempts.carry_over(view.attempts, view.started_at, view.finished_at, &view.error);
        if let Some(undo) = &view.compensation {
            self.undoing = if undo.finished_at.is_some() { Undoing::Confirmed } else { Undoing::Asked };
            self.undo_attempts.carry_over(undo.attempts, undo.started_at, undo.finished_at, &undo.error);
        } else if direction == Direction::Compensating
            && left_by == LeftBy::Loss
            && self.kind == Kind::Compensable
            && matches!(self.effect, KnownEffect::Done | KnownEffect::Unknown)
        {
            self.undoing = Undoing::Asked;
        }
    }
}

impl SagaLog {
    /// Records the effect of a step, and what it implies for the steps before and behind it.
    pub(super) fn learn(&mut self, index: usize, effect: KnownEffect) {
        self.steps[index].effect = effect;
        let definition = self.definition.clone();
        if matches!(effect, KnownEffect::Done | KnownEffect::Refused) {
            self.imply(definition.before(index), KnownEffect::Done);
        }
        if matches!(effect, KnownEffect::Refused | KnownEffect::NotDone) {
            self.imply(definition.behind(index), KnownEffect::NotDone);
        }
    }

    fn imply(&mut self, steps: impl Iterator<Item = usize>, effect: KnownEffect) {
        for index in steps {
            let step = &mut self.steps[index];
            if step.effect == KnownEffect::Unknown {
                step.effect = effect;
            }
        }
    }

    /// Records the state in which a compensation found its action.
    pub(super) fn learn_from_undo(&mut self, index: usize, found: Found) {
        match found {
            Found::Done => self.learn(index, KnownEffect::Done),
            Found::Refused => self.learn(index, KnownEffect::Refused),
            Found::Nothing => self.learn(index, KnownEffect::NotDone),
            Found::NotSaid => {}
        }
    }
}
