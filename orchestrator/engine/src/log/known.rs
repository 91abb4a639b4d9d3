//! What all owners of a saga together know of a step. For people: nothing is decided by it, since an owner knows less than
//! what may have happened. What decisions assume is [`StepRecord::may_have_happened`](super::step::StepRecord).
//!
//! A durable timeline is as old as the last awaited write, so a later owner that finds its saga in the middle of its work
//! knows less than the owner before it did: an action that may have been asked for meanwhile is [`KnownEffect::Unknown`] until
//! it is asked again, or until its compensation tells. Steps run one after the other, so what is learnt of one tells of
//! others too: a step that was decided had everything before it done, and one that did not happen had nothing behind it.

use super::step::{Kind, StepRecord};
use super::view::StepView;
use super::{Direction, SagaLog};
use crate::outcome::Found;
use crate::takeover::LeftBy;

/// What is known of a step's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownEffect {
    /// It did not happen: it was not asked for, or the participant has confirmed that it never ran.
    NotDone,
    /// It happened.
    Done,
    /// The participant has recorded that it refused.
    Refused,
    /// It may have happened.
    Unknown,
}

/// What is known of the undoing of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undoing {
    /// Not asked for.
    None,
    /// Asked for, or a lost owner may have asked for it.
    Asked,
    /// Confirmed.
    Confirmed,
}

impl StepRecord {
    /// Takes over what earlier owners knew.
    pub(super) fn carry_over(&mut self, view: &StepView, direction: Direction, left_by: LeftBy) {
        let is_read = self.kind == Kind::ReadOnly;
        self.effect = match &*view.action {
            "done" => KnownEffect::Done,
            "refused" => KnownEffect::Refused,
            _ if is_read => KnownEffect::NotDone,
            // A saga that turned back asks for no action any more.
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
    /// Takes in what a step turned out to be, and what follows from it for the others.
    pub(super) fn learn(&mut self, index: usize, effect: KnownEffect) {
        self.steps[index].effect = effect;
        let (earlier, later) = self.steps.split_at_mut(index);
        let learn = |steps: &mut [StepRecord], effect| {
            for step in steps.iter_mut().filter(|step| step.effect == KnownEffect::Unknown) {
                step.effect = effect;
            }
        };
        if matches!(effect, KnownEffect::Done | KnownEffect::Refused) {
            learn(earlier, KnownEffect::Done);
        }
        if matches!(effect, KnownEffect::Refused | KnownEffect::NotDone) {
            learn(&mut later[1..], KnownEffect::NotDone);
        }
    }

    /// Takes in what a compensation found.
    pub(super) fn learn_from_undo(&mut self, index: usize, found: Found) {
        match found {
            Found::Done => self.learn(index, KnownEffect::Done),
            Found::Refused => self.learn(index, KnownEffect::Refused),
            Found::Nothing => self.learn(index, KnownEffect::NotDone),
            Found::NotSaid => {}
        }
    }
}
