//! State of one saga, and which events may follow. Pure: no clock, no I/O, no randomness.
//!
//! [`SagaLog::apply`] guards the protocol: an event that would break it (an effect before `begin` is durable, a
//! compensation before the turn is durable or out of order, an end that is not true) is an [`IllegalTransition`].
//! The durable part is one row of the saga log; [`SagaLog::recovered`] rebuilds the state from the row and assumes
//! that every step with an effect may have happened.

mod event;
mod known;
mod rules;
mod step;
mod view;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use smol_str::SmolStr;

pub use event::{Event, IllegalTransition, OutputsInLog};
pub use known::{KnownEffect, Undoing};
pub use step::{Action, Attempts, StepRecord, Undo};
pub use view::{CompensationView, StepView, stuck_because};

use self::step::{Kind, StartInLog};
use crate::Status;
use crate::definition::{Definition, Outputs, Refusal};
use crate::outcome::{Cause, Sent};
use crate::record::NAMES_ALL;
use crate::takeover::LeftBy;

/// Direction of a saga. It turns once, and never turns forward again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Running actions.
    Forward,
    /// Running compensations; durable before any compensation is sent.
    Compensating,
}

/// Progress of one saga.
#[derive(Clone, Debug)]
pub struct SagaLog {
    definition: Arc<Definition>,
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

/// The durable state from which a new owner starts.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The outputs in the row.
    pub outputs: Outputs,
    /// The direction in the row.
    pub direction: Direction,
    /// The steps whose start is in the row, see [`LogWrite::started`](crate::record::LogWrite::started).
    pub started: Vec<SmolStr>,
    /// Why it turned back, if it did.
    pub cause: Option<String>,
    /// The status in the row.
    pub status: Status,
    /// The timeline in the row, for display: what earlier owners knew of the steps.
    pub timeline: Vec<StepView>,
    /// How the last owner left the saga, and so whether steps may have run since the timeline was written.
    pub left_by: LeftBy,
}

impl SagaLog {
    /// Starts the log of a new saga.
    pub fn new(definition: &Arc<Definition>) -> SagaLog {
        let mut steps: Vec<StepRecord> = definition.steps().iter().map(StepRecord::new).collect();
        // A row that names steps names all that may have started: the others from the begin.
        if steps.iter().any(|step| step.start == StartInLog::Missing) {
            let others = steps.iter_mut().filter(|step| step.kind != Kind::ReadOnly);
            others
                .filter(|step| step.start == StartInLog::NotRecorded)
                .for_each(|step| step.start = StartInLog::Written);
        }
        SagaLog {
            definition: definition.clone(),
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

    /// Rebuilds a log from its row. Reads whose outputs are in the row are done. Every step with an effect may have
    /// happened, since an earlier owner may have sent it after its last write; decisions assume this, except of steps
    /// whose start would be in the row, and of all steps if the outputs of the reads would be. Which starts are recorded
    /// is the row's to tell: the participants may be judged in another way since it was begun. The earlier owners'
    /// knowledge of the steps is kept for display.
    pub fn recovered(definition: &Arc<Definition>, row: Recovered) -> SagaLog {
        let mut log = SagaLog::new(definition);
        log.begun = true;
        // Outputs are written together, before the first effect: if one is in the row, all are.
        log.outputs_in_log =
            if row.outputs == Outputs::default() { OutputsInLog::Missing } else { OutputsInLog::Complete };
        let no_effect_started = definition.reads_yield_outputs && log.outputs_in_log == OutputsInLog::Missing;
        let names_all = row.started.iter().any(|name| name == NAMES_ALL);
        for (step, named) in log.steps.iter_mut().zip(definition.steps()) {
            if step.kind != Kind::ReadOnly {
                step.start = if row.started.is_empty() {
                    StartInLog::NotRecorded
                } else if row.started.contains(&named.name) {
                    StartInLog::Written
                } else if names_all || step.start == StartInLog::Missing {
                    StartInLog::Missing
                } else {
                    // An earlier version wrote the row, and named only those that must be recorded.
                    StartInLog::Written
                };
            }
            if step.kind != Kind::ReadOnly && step.start != StartInLog::Missing && !no_effect_started {
                step.may_have_happened = true;
                step.effect = KnownEffect::Unknown;
            }
            if let Some(view) = row.timeline.iter().find(|view| view.step == named.name) {
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

    /// Applies an event, which happened at `at`.
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
            Event::StartsWritten(steps) => {
                for index in steps {
                    self.steps[index].start = StartInLog::Written;
                }
            }
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
                if self.definition.steps()[index].refusal == Refusal::Compensated {
                    step.may_have_happened = true;
                }
                self.learn(index, KnownEffect::Refused);
                self.turn(Cause::Refused(failure), at);
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
                self.turn(Cause::Unknown(failure), at);
            }
            Event::Interrupted(cause) => self.turn(cause, at),
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
                // If a later owner repeats a confirmed undo, the time of the first confirmation stays.
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

    /// Records why the saga turns back, unless it does already. Steps between two attempts are given up, and so are reads
    /// in flight: nothing waits for them.
    fn turn(&mut self, cause: Cause, at: DateTime<Utc>) {
        for step in &mut self.steps {
            if step.action == Action::Running && step.kind == Kind::ReadOnly {
                step.failed(Sent::Maybe);
                step.abandoned(&cause, at);
            } else if step.action == Action::BackingOff {
                step.abandoned(&cause, at);
            }
        }
        self.cause.get_or_insert(cause);
    }

    /// Tells whether every step is done.
    pub fn all_actions_done(&self) -> bool {
        self.steps.iter().all(|step| step.action == Action::Done)
    }

    /// Tells whether no effect is possible, or every one is confirmed undone.
    pub fn all_effects_are_undone(&self) -> bool {
        !self.steps.iter().any(|step| step.is_open() || step.needs_undo())
    }

    /// Tells whether all steps that the step at `index` comes directly after are done.
    pub(crate) fn predecessors_are_done(&self, index: usize) -> bool {
        self.definition.predecessors(index).iter().all(|&earlier| self.steps[earlier].action == Action::Done)
    }

    /// Tells whether every step behind the step at `index` is undone, or never had an effect.
    pub(crate) fn steps_behind_are_undone(&self, index: usize) -> bool {
        !self.definition.behind(index).any(|later| self.steps[later].is_open() || self.steps[later].needs_undo())
    }

    /// Tells whether the start of the step at `index` must be durable before its first call, and is not.
    pub fn start_is_missing(&self, index: usize) -> bool {
        self.steps[index].start == StartInLog::Missing
    }

    /// Tells whether the row names the steps that may have started.
    pub fn names_starts(&self) -> bool {
        self.steps.iter().any(|step| step.start != StartInLog::NotRecorded)
    }

    /// Returns the steps whose start is durable, or which count as started from the begin.
    pub fn started(&self) -> impl Iterator<Item = usize> {
        let written = |(index, step): (usize, &StepRecord)| (step.start == StartInLog::Written).then_some(index);
        self.steps.iter().enumerate().filter_map(written)
    }

    /// Tells whether every read is done.
    pub fn reads_are_done(&self) -> bool {
        self.steps.iter().all(|step| step.kind != Kind::ReadOnly || step.action == Action::Done)
    }

    /// Returns the step at `index`.
    ///
    /// # Panics
    /// If the definition has no step at `index`.
    pub fn step(&self, index: usize) -> &StepRecord {
        &self.steps[index]
    }

    /// Returns all steps, in the order of the definition.
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// Tells whether the step at `index` is a read.
    pub fn is_read_only(&self, index: usize) -> bool {
        self.steps[index].kind == Kind::ReadOnly
    }

    /// Returns the definition.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Returns the outputs of the steps so far.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Returns the outputs that a write to the log carries: none until every read is done, since a later owner takes a
    /// row with outputs for one with the outputs of all reads.
    pub fn outputs_for_the_row(&self) -> Outputs {
        if self.reads_are_done() { self.outputs.clone() } else { Outputs::default() }
    }

    /// Returns whether the outputs of the reads are durable.
    pub fn outputs_in_log(&self) -> OutputsInLog {
        self.outputs_in_log
    }

    /// Tells whether `begin` must be written before the reads have answered.
    pub fn begin_is_wanted(&self) -> bool {
        self.begin_wanted
    }

    /// Tells whether `begin` is durable, that is, the saga is accepted.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Returns the durable direction.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns why the saga turns back, if it does; durable once [`SagaLog::direction`] is `Compensating`.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Tells whether the row is marked FAILED.
    pub fn is_marked_failed(&self) -> bool {
        self.marked_failed
    }

    /// Returns the final status, if the saga has ended.
    pub fn ended(&self) -> Option<Status> {
        self.ended
    }

    /// Returns the durable status.
    pub fn status(&self) -> Status {
        match (self.ended, self.marked_failed, self.direction) {
            (Some(status), _, _) => status,
            (None, true, _) => Status::Failed,
            (None, false, Direction::Compensating) => Status::Compensating,
            (None, false, Direction::Forward) => Status::Pending,
        }
    }

    /// Returns every step as the status endpoint shows it.
    pub fn timeline(&self) -> Vec<StepView> {
        self.definition.steps().iter().zip(&self.steps).map(|(step, record)| StepView::of(step, record)).collect()
    }
}

#[cfg(test)]
mod tests;
