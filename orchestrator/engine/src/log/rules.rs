//! The rules of the protocol: which events are forbidden in a state, and why.

use super::step::{Action, Kind, StartInLog, Undo};
use super::{Direction, Event, OutputsInLog, SagaLog};
use crate::Status;
use crate::outcome::Cause;

impl SagaLog {
    /// Returns the rule of the protocol that the event would break, if any.
    pub(super) fn forbids(&self, event: &Event) -> Option<&'static str> {
        if self.ended.is_some() {
            return Some("the saga has ended");
        }
        let check = |allowed: bool, reason: &'static str| (!allowed).then_some(reason);
        let action_is =
            |index: &usize, action: Action| self.steps.get(*index).is_some_and(|step| step.action == action);
        let undo_is = |index: &usize, undo: Undo| self.steps.get(*index).is_some_and(|step| step.undo == undo);
        match event {
            Event::BeginWanted => None,
            Event::Begun { .. } => check(!self.begun, "begin is durable already"),
            Event::OutputsWritten => check(self.begun && self.reads_are_done(), "the reads have not answered"),
            Event::StartsWritten(steps) => check(
                self.begun && steps.iter().all(|index| *index < self.steps.len()),
                "begin is not durable, or a step does not exist",
            ),
            Event::ActionSent(index) => self.forbids_action(*index),
            Event::ActionDone(index, _)
            | Event::ActionRefused(index, _)
            | Event::ActionFailed(index, ..)
            | Event::ActionParked(index)
            | Event::ActionGivenUp(index, ..) => {
                check(action_is(index, Action::Running), "no call for it is in flight")
            }
            // A cancel is a flag in the row that forbids `end = COMPLETED`, so it counts even when every action is
            // done; a deadline then does not.
            Event::Interrupted(cause) => check(
                self.direction == Direction::Forward && (*cause == Cause::Cancelled || !self.all_actions_done()),
                "every action is done, or it turned back already",
            ),
            Event::TurnedBack => check(
                self.begun && self.cause.is_some() && self.direction == Direction::Forward,
                "it has no cause, is not in the log, or turned back already",
            ),
            Event::CompensationSent(index) => self.forbids_compensation(*index),
            Event::CompensationDone(index, ..)
            | Event::CompensationFailed(index, _)
            | Event::CompensationParked(index, _) => {
                check(undo_is(index, Undo::Running), "no call that undoes it is in flight")
            }
            Event::MarkedFailed => check(self.direction == Direction::Compensating, "only undoing can fail"),
            Event::Ended(Status::Completed) => check(
                self.begun && self.all_actions_done() && self.cause.is_none(),
                "a step is not done, or it turned back",
            ),
            Event::Ended(Status::Compensated) => {
                check(self.cause.is_some() && self.all_effects_are_undone(), "an effect may still be there")
            }
            Event::Ended(Status::Failed) => {
                check(self.marked_failed, "only a saga marked FAILED is resolved as FAILED")
            }
            Event::Ended(Status::Pending | Status::Compensating) => Some("the status is not an end"),
        }
    }

    fn forbids_action(&self, index: usize) -> Option<&'static str> {
        let Some(step) = self.steps.get(index) else { return Some("the step does not exist") };
        if self.cause.is_some() || self.direction == Direction::Compensating {
            return Some("the saga turns back");
        }
        if !matches!(step.action, Action::Pending | Action::BackingOff) {
            return Some("it is in flight or settled already");
        }
        if !self.predecessors_are_done(index) {
            return Some("a step before it is not done");
        }
        if step.kind != Kind::ReadOnly && !(self.begun && self.outputs_in_log == OutputsInLog::Complete) {
            return Some("begin is not durable with the outputs of the reads");
        }
        if step.start == StartInLog::Missing {
            return Some("its start is not durable");
        }
        None
    }

    fn forbids_compensation(&self, index: usize) -> Option<&'static str> {
        let Some(step) = self.steps.get(index) else { return Some("the step does not exist") };
        if self.direction == Direction::Forward {
            return Some("the turn is not durable");
        }
        if step.kind != Kind::Compensable {
            return Some("it has no compensation");
        }
        if matches!(step.undo, Undo::Running | Undo::Done) {
            return Some("it is in flight or confirmed already");
        }
        if step.is_open() {
            return Some("its action is in flight");
        }
        if !self.steps_behind_are_undone(index) {
            return Some("a step behind it is not undone yet");
        }
        None
    }
}
