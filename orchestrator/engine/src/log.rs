//! What has happened in one saga, and which events may follow. Pure: no clock, no I/O, no dice.
//!
//! [`SagaLog::apply`] is the guard of the protocol: an event that would break it (an effect before `begin` is durable,
//! a compensation before the turn is durable or out of order, an end that is not true) is an [`IllegalTransition`],
//! whatever asked for it. The durable part of this lives in one row of the saga log; [`SagaLog::recovered`] rebuilds a
//! log from such a row and assumes the worst about everything that the row does not hold.

mod event;
mod known;
mod rules;
mod step;
mod view;

use chrono::{DateTime, Utc};

pub use event::{Event, IllegalTransition, OutputsInLog};
pub use known::{KnownEffect, Undoing};
pub use step::{Action, Attempts, StepRecord, Undo};
pub use view::{CompensationView, StepView, stuck_because};

use self::step::Kind;
use crate::Status;
use crate::definition::{Definition, Effect, Outputs};
use crate::outcome::{Cause, Sent};
use crate::takeover::LeftBy;

/// Which way a saga runs. It turns once, and never turns forward again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Doing.
    Forward,
    /// Undoing; durable before any compensation leaves.
    Compensating,
}

/// Everything that is known about one saga's progress.
#[derive(Clone, Debug)]
pub struct SagaLog {
    steps: Vec<StepRecord>,
    outputs: Outputs,
    begin_wanted: bool,
    begun: bool,
    outputs_in_log: OutputsInLog,
    direction: Direction,
    cause: Option<Cause>,
    marked_failed: bool,
    ended: Option<Status>,
}

/// The durable state that a later owner starts from.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The outputs that the row holds.
    pub outputs: Outputs,
    /// The direction that the row holds.
    pub direction: Direction,
    /// Why it turned back, if it did.
    pub cause: Option<String>,
    /// The status that the row shows.
    pub status: Status,
    /// The steps as the row's timeline has them, so that people see what earlier owners knew.
    pub timeline: Vec<StepView>,
    /// How the last owner left it: how much may have happened since that timeline was written.
    pub left_by: LeftBy,
}

impl SagaLog {
    /// Starts the log of a new saga.
    pub fn new(definition: &Definition) -> SagaLog {
        let steps = definition
            .steps
            .iter()
            .map(|step| StepRecord {
                name: step.name,
                participant: step.participant,
                kind: match step.effect {
                    Effect::ReadOnly { .. } => Kind::ReadOnly,
                    Effect::Compensable(_) => Kind::Compensable,
                    Effect::Uncompensated => Kind::Uncompensated,
                },
                action: Action::Pending,
                undo: Undo::None,
                attempts: Attempts::default(),
                undo_attempts: Attempts::default(),
                may_have_happened: false,
                effect: KnownEffect::NotDone,
                undoing: Undoing::None,
            })
            .collect();
        SagaLog {
            steps,
            outputs: Outputs::default(),
            begin_wanted: false,
            begun: false,
            outputs_in_log: OutputsInLog::Missing,
            direction: Direction::Forward,
            cause: None,
            marked_failed: false,
            ended: None,
        }
    }

    /// Rebuilds a log from what is durable. Reads whose output is there are done; every step with an effect may have
    /// happened, since an earlier owner may have asked for it without anybody knowing. That is what decisions rest on;
    /// what earlier owners knew is kept beside it, for people.
    pub fn recovered(definition: &Definition, row: Recovered) -> SagaLog {
        let mut log = SagaLog::new(definition);
        log.begun = true;
        // Outputs are written all at once, before the first effect: some of them means all of them.
        log.outputs_in_log = match row.outputs == Outputs::default() {
            true => OutputsInLog::Missing,
            false => OutputsInLog::Complete,
        };
        for step in &mut log.steps {
            match step.kind {
                Kind::ReadOnly => {}
                Kind::Compensable | Kind::Uncompensated => {
                    step.may_have_happened = true;
                    step.effect = KnownEffect::Unknown;
                }
            }
            if let Some(view) = row.timeline.iter().find(|view| view.step == step.name) {
                step.carry_over(view, row.direction, row.left_by);
            }
            if step.kind == Kind::ReadOnly && log.outputs_in_log == OutputsInLog::Complete {
                (step.action, step.effect) = (Action::Done, KnownEffect::Done);
            }
        }
        log.outputs = row.outputs;
        log.direction = row.direction;
        log.marked_failed = row.status == Status::Failed;
        if row.direction == Direction::Compensating {
            log.cause = Some(Cause::Recorded(row.cause.unwrap_or_default()));
        }
        log
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the protocol does not allow the event now; the log is then unchanged.
    pub fn apply(&mut self, event: Event, at: DateTime<Utc>) -> Result<(), IllegalTransition> {
        if let Some(reason) = self.forbids(&event) {
            return Err(IllegalTransition { event: format!("{event:?}"), reason });
        }
        match event {
            Event::BeginWanted => self.begin_wanted = true,
            Event::Begun { outputs } => {
                self.begun = true;
                self.outputs_in_log = outputs;
            }
            Event::OutputsWritten => self.outputs_in_log = OutputsInLog::Complete,
            Event::ActionSent(index) => {
                let step = &mut self.steps[index];
                step.action = Action::Running;
                step.attempts.sent(at);
            }
            Event::ActionDone(index, outputs) => {
                let step = &mut self.steps[index];
                step.action = Action::Done;
                step.may_have_happened = true;
                step.attempts.finished_at = Some(at);
                step.attempts.error = None;
                self.outputs.merge(outputs);
                self.learn(index, KnownEffect::Done);
            }
            Event::ActionRefused(index, failure) => {
                let step = &mut self.steps[index];
                step.action = Action::Refused;
                step.attempts.finished_at = Some(at);
                step.attempts.error = Some(failure.to_string());
                self.learn(index, KnownEffect::Refused);
                self.cause.get_or_insert(Cause::Refused(failure));
            }
            Event::ActionFailed(index, error, sent) => {
                let step = &mut self.steps[index];
                step.action = Action::BackingOff;
                step.failed(sent);
                step.attempts.error = Some(error);
            }
            Event::ActionParked(index) => {
                let step = &mut self.steps[index];
                step.action = Action::BackingOff;
                step.attempts.not_sent();
            }
            Event::ActionGivenUp(index, failure, error, sent) => {
                let step = &mut self.steps[index];
                step.action = Action::Unknown;
                step.failed(sent);
                step.attempts.finished_at = Some(at);
                step.attempts.error = Some(error);
                self.cause.get_or_insert(Cause::Unknown(failure));
            }
            Event::Interrupted(cause) => {
                for step in &mut self.steps {
                    if matches!(step.action, Action::Running | Action::BackingOff) {
                        step.failed(if step.action == Action::Running { Sent::Maybe } else { Sent::Nothing });
                        step.action = Action::Unknown;
                        step.attempts.finished_at = Some(at);
                        step.attempts.error = Some(cause.to_string());
                    }
                }
                self.cause.get_or_insert(cause);
            }
            Event::HeardLate(index, outputs) => {
                self.outputs.merge(outputs);
                self.learn(index, KnownEffect::Done);
            }
            Event::RefusedLate(index) => self.learn(index, KnownEffect::Refused),
            Event::TurnedBack => self.direction = Direction::Compensating,
            Event::CompensationSent(index) => {
                let step = &mut self.steps[index];
                step.undo = Undo::Running;
                if step.undoing == Undoing::None {
                    step.undoing = Undoing::Asked;
                }
                step.undo_attempts.sent(at);
            }
            Event::CompensationDone(index, found, outputs) => {
                let step = &mut self.steps[index];
                step.undo = Undo::Done;
                step.undoing = Undoing::Confirmed;
                // What a later owner repeats was confirmed before.
                step.undo_attempts.finished_at.get_or_insert(at);
                step.undo_attempts.error = None;
                self.outputs.merge(outputs);
                self.learn_from_undo(index, found);
            }
            Event::CompensationFailed(index, error) => {
                let step = &mut self.steps[index];
                step.undo = Undo::BackingOff;
                step.undo_attempts.error = Some(error);
            }
            Event::CompensationParked(index, error) => {
                let step = &mut self.steps[index];
                step.undo = Undo::BackingOff;
                step.undo_attempts.not_sent();
                step.undo_attempts.error = Some(error);
            }
            Event::MarkedFailed => self.marked_failed = true,
            Event::Ended(status) => self.ended = Some(status),
        }
        Ok(())
    }

    /// Returns the first step that is not done, if there is one.
    pub fn next_to_do(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.action != Action::Done)
    }

    /// Returns the last step that may have happened and is not confirmed undone, if there is one.
    pub fn next_to_undo(&self) -> Option<usize> {
        self.steps.iter().rposition(StepRecord::needs_undo)
    }

    /// Tells whether every step is done.
    pub fn all_actions_done(&self) -> bool {
        self.next_to_do().is_none()
    }

    /// Tells whether every read has answered.
    pub fn reads_are_done(&self) -> bool {
        self.steps.iter().all(|step| step.kind != Kind::ReadOnly || step.action == Action::Done)
    }

    /// Returns the step of that index.
    pub fn step(&self, index: usize) -> &StepRecord {
        &self.steps[index]
    }

    /// Returns all steps, in their order.
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// Tells whether that step leaves the world as it was.
    pub fn is_read_only(&self, index: usize) -> bool {
        self.steps[index].kind == Kind::ReadOnly
    }

    /// Returns what the steps gave so far.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Returns whether the log holds what the reads gave.
    pub fn outputs_in_log(&self) -> OutputsInLog {
        self.outputs_in_log
    }

    /// Tells whether the client wants to leave before the end.
    pub fn begin_is_wanted(&self) -> bool {
        self.begin_wanted
    }

    /// Tells whether `begin` is durable: the saga is accepted.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Returns the direction that is durable.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns why the saga turns back, if it does; durable only once [`SagaLog::direction`] says so.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Tells whether the row says FAILED.
    pub fn is_marked_failed(&self) -> bool {
        self.marked_failed
    }

    /// Returns how it ended, if it has.
    pub fn ended(&self) -> Option<Status> {
        self.ended
    }

    /// Returns the status that may be shown: never one that is not durable.
    pub fn status(&self) -> Status {
        match (self.ended, self.marked_failed, self.direction) {
            (Some(status), _, _) => status,
            (None, true, _) => Status::Failed,
            (None, false, Direction::Compensating) => Status::Compensating,
            (None, false, Direction::Forward) => Status::Pending,
        }
    }

    /// Returns every step as people and the status endpoint see it.
    pub fn timeline(&self) -> Vec<StepView> {
        self.steps.iter().map(StepView::of).collect()
    }
}

#[cfg(test)]
mod tests;
