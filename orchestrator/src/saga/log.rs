//! What has happened in one saga, and which events may follow. Pure: no clock, no I/O, no dice.
//!
//! [`SagaLog::apply`] is the guard of the protocol: an event that would break it (an effect before `begin` is durable,
//! a compensation before the turn is durable or out of order, an end that is not true) is an [`IllegalTransition`],
//! whatever asked for it. The durable part of this lives in one row of the saga log; [`SagaLog::recovered`] rebuilds a
//! log from such a row and assumes the worst about everything that the row does not hold.

use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;

use crate::saga::Status;
use crate::saga::definition::{Definition, Effect, Outputs};
use crate::saga::outcome::{Cause, Failure, Sent};

/// Which way a saga runs. It turns once, and never turns forward again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Doing.
    Forward,
    /// Undoing; durable before any compensation leaves.
    Compensating,
}

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
enum Kind {
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
    fn sent(&mut self, at: DateTime<Utc>) {
        self.count += 1;
        self.started_at.get_or_insert(at);
    }

    fn not_sent(&mut self) {
        self.count -= 1;
    }
}

/// One step of one saga.
#[derive(Clone, Debug)]
pub struct StepRecord {
    name: &'static str,
    participant: &'static str,
    kind: Kind,
    /// How far its action is.
    pub action: Action,
    /// How far its undoing is.
    pub undo: Undo,
    /// The attempts at its action.
    pub attempts: Attempts,
    /// The attempts at undoing it.
    pub undo_attempts: Attempts,
    may_have_happened: bool,
}

impl StepRecord {
    /// Takes over what people saw under an earlier owner; nothing is decided by it.
    fn carry_over(&mut self, view: &StepView) {
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
            (Undo::None, Action::Pending) => "pending",
            (Undo::None, Action::Running) => "running",
            (Undo::None, Action::BackingOff) => "backing_off",
            (Undo::None, Action::Done) => "done",
            (Undo::None, Action::Refused) => "refused",
            (Undo::None, Action::Unknown) => "unknown",
        }
    }

    fn needs_undo(&self) -> bool {
        self.kind == Kind::Compensable && self.undo != Undo::Done && self.may_have_happened
    }
}

/// Something that happened to a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client does not want to wait: the saga must be in the log before anything else.
    BeginWanted,
    /// `begin` is durable, with the outputs known when it was written.
    Begun {
        /// Whether every read had answered by then.
        outputs: OutputsInLog,
    },
    /// The outputs of the reads are durable.
    OutputsWritten,
    /// A call for this step's action left.
    ActionSent(usize),
    /// It is done.
    ActionDone(usize, Outputs),
    /// The participant decided against it.
    ActionRefused(usize, Failure),
    /// An attempt failed; another follows.
    ActionFailed(usize, String, Sent),
    /// It was not sent, since the participant is known to be down: it was no attempt, and one follows.
    ActionParked(usize),
    /// The last attempt failed.
    ActionGivenUp(usize, Failure, String, Sent),
    /// The deadline passed or a client cancelled.
    Interrupted(Cause),
    /// The turn is durable.
    TurnedBack,
    /// A call that undoes this step left.
    CompensationSent(usize),
    /// Undoing is confirmed.
    CompensationDone(usize),
    /// Undoing is not confirmed; another attempt follows.
    CompensationFailed(usize, String),
    /// The call that undoes this step was not sent, since the participant is known to be down; one follows.
    CompensationParked(usize),
    /// The row says FAILED: undoing takes too long. It goes on.
    MarkedFailed,
    /// The end is durable.
    Ended(Status),
}

/// Whether the log holds what the reads gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputsInLog {
    /// All of it.
    Complete,
    /// Not yet.
    Missing,
}

/// An event that the protocol does not allow in this state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{event} is not allowed: {reason}")]
pub struct IllegalTransition {
    /// The event.
    pub event: String,
    /// What it would break.
    pub reason: &'static str,
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
    /// The steps as the row's timeline has them, so that people see the attempts of earlier owners too.
    pub timeline: Vec<StepView>,
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
    /// happened, since an earlier owner may have asked for it without anybody knowing.
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
                Kind::ReadOnly if log.outputs_in_log == OutputsInLog::Complete => step.action = Action::Done,
                Kind::ReadOnly => {}
                Kind::Compensable | Kind::Uncompensated => step.may_have_happened = true,
            }
        }
        for view in &row.timeline {
            if let Some(step) = log.steps.iter_mut().find(|step| step.name == view.step) {
                step.carry_over(view);
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
            }
            Event::ActionRefused(index, failure) => {
                let step = &mut self.steps[index];
                step.action = Action::Refused;
                step.attempts.finished_at = Some(at);
                step.attempts.error = Some(failure.to_string());
                self.cause.get_or_insert(Cause::Refused(failure));
            }
            Event::ActionFailed(index, error, sent) => {
                let step = &mut self.steps[index];
                step.action = Action::BackingOff;
                step.may_have_happened |= sent == Sent::Maybe;
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
                step.may_have_happened |= sent == Sent::Maybe;
                step.attempts.finished_at = Some(at);
                step.attempts.error = Some(error);
                self.cause.get_or_insert(Cause::Unknown(failure));
            }
            Event::Interrupted(cause) => {
                for step in &mut self.steps {
                    if matches!(step.action, Action::Running | Action::BackingOff) {
                        step.may_have_happened |= step.action == Action::Running;
                        step.action = Action::Unknown;
                        step.attempts.finished_at = Some(at);
                        step.attempts.error = Some(cause.to_string());
                    }
                }
                self.cause.get_or_insert(cause);
            }
            Event::TurnedBack => self.direction = Direction::Compensating,
            Event::CompensationSent(index) => {
                let step = &mut self.steps[index];
                step.undo = Undo::Running;
                step.undo_attempts.sent(at);
            }
            Event::CompensationDone(index) => {
                let step = &mut self.steps[index];
                step.undo = Undo::Done;
                step.undo_attempts.finished_at = Some(at);
                step.undo_attempts.error = None;
            }
            Event::CompensationFailed(index, error) => {
                let step = &mut self.steps[index];
                step.undo = Undo::BackingOff;
                step.undo_attempts.error = Some(error);
            }
            Event::CompensationParked(index) => {
                let step = &mut self.steps[index];
                step.undo = Undo::BackingOff;
                step.undo_attempts.not_sent();
            }
            Event::MarkedFailed => self.marked_failed = true,
            Event::Ended(status) => self.ended = Some(status),
        }
        Ok(())
    }

    /// Says which rule of the protocol the event would break, if it would.
    fn forbids(&self, event: &Event) -> Option<&'static str> {
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
            Event::ActionSent(index) => self.forbids_action(*index),
            Event::ActionDone(index, _)
            | Event::ActionRefused(index, _)
            | Event::ActionFailed(index, ..)
            | Event::ActionParked(index)
            | Event::ActionGivenUp(index, ..) => {
                check(action_is(index, Action::Running), "no call for it is in flight")
            }
            // A cancel is a flag in the row, which `end = COMPLETED` respects; the deadline is nobody's flag.
            Event::Interrupted(cause) => check(
                self.direction == Direction::Forward && (*cause == Cause::Cancelled || !self.all_actions_done()),
                "every action is done, or it turned back already",
            ),
            Event::TurnedBack => check(
                self.begun && self.cause.is_some() && self.direction == Direction::Forward,
                "it has no cause, is not in the log, or turned back already",
            ),
            Event::CompensationSent(index) => self.forbids_compensation(*index),
            Event::CompensationDone(index) | Event::CompensationFailed(index, _) | Event::CompensationParked(index) => {
                check(undo_is(index, Undo::Running), "no call that undoes it is in flight")
            }
            Event::MarkedFailed => check(self.direction == Direction::Compensating, "only undoing can fail"),
            Event::Ended(Status::Completed) => check(
                self.begun && self.all_actions_done() && self.cause.is_none(),
                "a step is not done, or it turned back",
            ),
            Event::Ended(Status::Compensated) => {
                check(self.cause.is_some() && self.next_to_undo().is_none(), "an effect may still be there")
            }
            Event::Ended(Status::Failed) => {
                check(self.marked_failed, "only a saga marked FAILED is resolved as FAILED")
            }
            Event::Ended(Status::Pending | Status::Compensating) => Some("that is no end"),
        }
    }

    fn forbids_action(&self, index: usize) -> Option<&'static str> {
        let Some(step) = self.steps.get(index) else { return Some("there is no such step") };
        if self.cause.is_some() || self.direction == Direction::Compensating {
            return Some("the saga turns back");
        }
        if !matches!(step.action, Action::Pending | Action::BackingOff) {
            return Some("it is in flight or settled already");
        }
        if !self.steps[..index].iter().all(|earlier| earlier.action == Action::Done) {
            return Some("an earlier step is not done");
        }
        if step.kind != Kind::ReadOnly && !(self.begun && self.outputs_in_log == OutputsInLog::Complete) {
            return Some("begin is not durable with what the reads gave");
        }
        None
    }

    fn forbids_compensation(&self, index: usize) -> Option<&'static str> {
        let Some(step) = self.steps.get(index) else { return Some("there is no such step") };
        if self.direction == Direction::Forward {
            return Some("the turn is not durable");
        }
        if step.kind != Kind::Compensable {
            return Some("it has no compensation");
        }
        if matches!(step.undo, Undo::Running | Undo::Done) {
            return Some("it is in flight or confirmed already");
        }
        if self.steps[index + 1..].iter().any(StepRecord::needs_undo) {
            return Some("a later step is not undone yet");
        }
        None
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

/// One step as the status endpoint and the row's timeline show it.
#[derive(Clone, Debug, Serialize, serde::Deserialize, utoipa::ToSchema, PartialEq, Eq)]
#[schema(as = Step)]
pub struct StepView {
    /// The step.
    pub step: String,
    /// Who does it.
    pub participant: String,
    /// `pending`, `running`, `backing_off`, `done`, `refused`, `unknown`, `compensating` or `compensated`.
    #[schema(
        pattern = "^(pending|running|backing_off|done|refused|unknown|compensating|compensated)$",
        example = "done"
    )]
    pub state: String,
    /// How often its action was asked for.
    pub attempts: u32,
    /// When it was first asked for.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// When its action was settled.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    #[schema(required)]
    pub error: Option<String>,
    /// Its undoing, once that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub compensation: Option<CompensationView>,
}

/// The undoing of a step as people see it.
#[derive(Clone, Debug, Serialize, serde::Deserialize, utoipa::ToSchema, PartialEq, Eq)]
#[schema(as = Compensation)]
pub struct CompensationView {
    /// How often it was asked for.
    pub attempts: u32,
    /// When it was first asked for.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it was confirmed.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    #[schema(required)]
    pub error: Option<String>,
}

impl StepView {
    fn of(step: &StepRecord) -> StepView {
        let compensation = (step.undo != Undo::None).then(|| CompensationView {
            attempts: step.undo_attempts.count,
            started_at: step.undo_attempts.started_at,
            finished_at: step.undo_attempts.finished_at,
            error: step.undo_attempts.error.clone(),
        });
        StepView {
            step: step.name.to_owned(),
            participant: step.participant.to_owned(),
            state: step.state().to_owned(),
            attempts: step.attempts.count,
            started_at: step.attempts.started_at,
            finished_at: step.attempts.finished_at,
            error: step.attempts.error.clone(),
            compensation,
        }
    }
}

#[cfg(test)]
mod tests;
