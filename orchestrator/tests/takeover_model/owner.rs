//! An owner of the saga: an actor, its knowledge, and its next action. It does not know whether it is still the owner.

use crate::graph::{Graph, MOST_STEPS};
use crate::row::{Change, Direction, End, Process, Row, Write};
use crate::rules::Rules;

/// An actor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) process: Process,
    pub(crate) epoch: u8,
    way: Way,
    steps: [Step; MOST_STEPS],
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
        Self { process, epoch: 1, way: Way::Forward, steps: [Step::default(); MOST_STEPS] }
    }

    /// An owner that has just claimed the row. Earlier owners may have called any step.
    pub(crate) fn successor(row: &Row, rules: &Rules) -> Self {
        let way = match row.direction {
            Direction::Forward => Way::Forward,
            Direction::Compensating => Way::Back,
        };
        let step = Step { may_have_happened: rules.successors_undo_every_step, ..Step::default() };
        Self { process: row.owner, epoch: row.epoch, way, steps: [step; MOST_STEPS] }
    }

    /// Returns all that is due: calls, or one write.
    pub(crate) fn wants(&self, graph: &Graph, rules: &Rules) -> Vec<Want> {
        let steps = || 0..graph.before.len();
        if self.way == Way::Forward {
            let is_ready = |step: &usize| {
                let is_its_turn = graph.before[*step].iter().all(|earlier| self.steps[*earlier].is_done);
                !self.steps[*step].is_done && (is_its_turn || !rules.steps_wait_for_those_before)
            };
            let ready: Vec<Want> = steps().filter(is_ready).map(Want::Act).collect();
            return if ready.is_empty() { vec![Want::Write(Change::End(End::Completed))] } else { ready };
        }
        let is_left = |step: &usize| self.steps[*step].may_have_happened && !self.steps[*step].is_undone;
        if !steps().any(|step| is_left(&step)) {
            return vec![Want::Write(Change::End(End::Compensated))];
        }
        if self.way == Way::Turning && rules.undo_waits_for_the_durable_turn {
            return vec![Want::Write(Change::TurnBack)];
        }
        let is_due = |step: &usize| {
            let is_its_turn = !graph.behind(*step).any(|later| is_left(&later));
            is_left(step) && (is_its_turn || !rules.steps_behind_are_undone_first)
        };
        steps().filter(is_due).map(Want::Undo).collect()
    }

    /// Returns its write, if one is due.
    pub(crate) fn wants_to_write(&self, graph: &Graph, rules: &Rules) -> Option<Change> {
        self.wants(graph, rules).into_iter().find_map(|want| match want {
            Want::Write(change) => Some(change),
            Want::Act(_) | Want::Undo(_) => None,
        })
    }

    pub(crate) fn write(&self, change: Change) -> Write {
        Write { owner: self.process, epoch: self.epoch, change }
    }

    /// Records that a call for this step was sent.
    pub(crate) fn asked(&mut self, step: usize) {
        self.steps[step].is_asked = true;
    }

    /// Whether it may still turn back: once every step is done, deadline and failures no longer count.
    pub(crate) fn may_turn(&self, graph: &Graph) -> bool {
        self.way == Way::Forward && self.steps[..graph.before.len()].iter().any(|step| !step.is_done)
    }

    /// Turns back: attempts are spent, the deadline has passed, or a client cancelled. Called steps may have happened.
    pub(crate) fn turn(&mut self) {
        self.way = Way::Turning;
        for step in &mut self.steps {
            step.may_have_happened |= step.is_asked;
        }
    }

    /// Records the answer to an action. A late answer is ignored.
    pub(crate) fn hears_of_action(&mut self, step: usize, is_done: bool, rules: &Rules) {
        if self.way != Way::Forward || self.steps[step].is_done {
            return;
        }
        if is_done {
            let known = &mut self.steps[step];
            (known.is_done, known.may_have_happened) = (true, true);
        } else {
            self.way = Way::Turning;
            let is_called = |(other, known): &(usize, &mut Step)| *other != step && known.is_asked;
            if rules.steps_beside_a_refused_one_may_have_happened {
                let called = self.steps.iter_mut().enumerate().filter(is_called);
                called.for_each(|(_, known)| known.may_have_happened = true);
            }
        }
    }

    pub(crate) fn hears_of_undo(&mut self, step: usize) {
        self.steps[step].is_undone = true;
    }

    pub(crate) fn turn_is_durable(&mut self) {
        self.way = Way::Back;
    }
}
