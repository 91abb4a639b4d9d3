//! An owner of the saga: an actor, its knowledge, and its next action. It does not know whether it is still the owner.

use crate::row::{Change, Direction, End, Process, Row, Write};
use crate::rules::Rules;

/// The steps of the saga.
pub(crate) const STEPS: usize = 2;

/// An actor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) process: Process,
    pub(crate) epoch: u8,
    way: Way,
    steps: [Step; STEPS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Forward,
    /// It has a reason to turn back that is not durable yet.
    Turning,
    Back,
}

/// An owner's knowledge of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Step {
    is_asked: bool,
    is_done: bool,
    may_have_happened: bool,
    is_undone: bool,
}

/// An owner's next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Act(usize),
    Undo(usize),
    Write(Change),
}

impl Owner {
    /// The owner that began the saga.
    pub(crate) fn first(process: Process) -> Self {
        Self { process, epoch: 1, way: Way::Forward, steps: [Step::default(); STEPS] }
    }

    /// An owner that has just claimed the row. Earlier owners may have called any step.
    pub(crate) fn successor(row: &Row, rules: &Rules) -> Self {
        let way = match row.direction {
            Direction::Forward => Way::Forward,
            Direction::Compensating => Way::Back,
        };
        let step = Step { may_have_happened: rules.successors_undo_every_step, ..Step::default() };
        Self { process: row.owner, epoch: row.epoch, way, steps: [step; STEPS] }
    }

    pub(crate) fn wants(&self, rules: &Rules) -> Want {
        let last_to_undo = self.steps.iter().rposition(|step| step.may_have_happened && !step.is_undone);
        match (self.way, last_to_undo) {
            (Way::Forward, _) => match self.steps.iter().position(|step| !step.is_done) {
                Some(step) => Want::Act(step),
                None => Want::Write(Change::End(End::Completed)),
            },
            (Way::Turning | Way::Back, None) => Want::Write(Change::End(End::Compensated)),
            (Way::Turning, Some(_)) if rules.undo_waits_for_the_durable_turn => Want::Write(Change::TurnBack),
            (Way::Turning | Way::Back, Some(step)) => Want::Undo(step),
        }
    }

    pub(crate) fn write(&self, change: Change) -> Write {
        Write { owner: self.process, epoch: self.epoch, change }
    }

    /// Records that a call for this step was sent.
    pub(crate) fn asked(&mut self, step: usize) {
        self.steps[step].is_asked = true;
    }

    /// Whether it may still turn back: once every step is done, deadline and failures no longer count.
    pub(crate) fn may_turn(&self) -> bool {
        self.way == Way::Forward && self.steps.iter().any(|step| !step.is_done)
    }

    /// Turns back: attempts are spent, the deadline has passed, or a client cancelled. Called steps may have happened.
    pub(crate) fn turn(&mut self) {
        self.way = Way::Turning;
        for step in &mut self.steps {
            step.may_have_happened |= step.is_asked;
        }
    }

    /// Records the answer to an action. A late answer is ignored.
    pub(crate) fn hears_of_action(&mut self, step: usize, is_done: bool) {
        if self.way != Way::Forward || self.steps[step].is_done {
            return;
        }
        if is_done {
            let known = &mut self.steps[step];
            (known.is_done, known.may_have_happened) = (true, true);
        } else {
            self.way = Way::Turning;
        }
    }

    pub(crate) fn hears_of_undo(&mut self, step: usize) {
        self.steps[step].is_undone = true;
    }

    pub(crate) fn turn_is_durable(&mut self) {
        self.way = Way::Back;
    }
}
