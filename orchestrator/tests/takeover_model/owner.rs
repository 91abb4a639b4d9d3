//! An owner of the saga: an actor, what it knows, and what it wants next. It does not know whether it still is the owner.

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
    /// It has a reason to turn back, which is not durable yet.
    Turning,
    Back,
}

/// What an owner knows of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Step {
    is_asked: bool,
    is_done: bool,
    may_have_happened: bool,
    is_undone: bool,
}

/// What an owner wants to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Act(usize),
    Undo(usize),
    Write(Change),
}

impl Owner {
    /// The one that began the saga.
    pub(crate) fn first(process: Process) -> Self {
        Self { process, epoch: 1, way: Way::Forward, steps: [Step::default(); STEPS] }
    }

    /// One that has just claimed the row. Earlier owners may have done anything.
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

    /// A call for this step has left, or leaves again.
    pub(crate) fn asked(&mut self, step: usize) {
        self.steps[step].is_asked = true;
    }

    /// Whether it may still change its mind: once every step is done, deadline and failures no longer count.
    pub(crate) fn may_turn(&self) -> bool {
        self.way == Way::Forward && self.steps.iter().any(|step| !step.is_done)
    }

    /// Attempts are spent, the deadline has passed, or somebody cancelled. What was asked may have happened.
    pub(crate) fn turn(&mut self) {
        self.way = Way::Turning;
        for step in &mut self.steps {
            step.may_have_happened |= step.is_asked;
        }
    }

    /// An answer to an action. A late one is taken note of and does not steer.
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
