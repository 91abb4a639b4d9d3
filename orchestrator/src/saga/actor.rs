//! One saga: an actor that does what [`plan::next`] decides, one thing at a time, and never waits inside a handler.
//!
//! ```text
//!            ┌──────────── Advance ◄─────────────┐
//!            ▼                                   │
//!   plan::next(log) ──► write ──► LogWritten ────┤
//!            │                                   │
//!            └────────► call ───► CallFinished ──┤
//!                         ▲                      │
//!                         └── RetryDue ◄─ timer ─┘
//! ```
//!
//! Every wait of a saga that runs forward is cut at its deadline, so it needs no timer of its own for that. While a write
//! to the log is in flight nothing else is decided. A reply that comes late (its attempt is not the one awaited) is noted
//! and steers nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::saga::definition::Context;
use crate::saga::log::{Action, Direction, Event, OutputsInLog, SagaLog, Undo};
use crate::saga::outcome::{Cause, Failure, Outcome, Retry, Sent, Unknown};
use crate::saga::plan::{self, AfterFailure, Decision, Patience};
use crate::saga::running::{RunningSaga, WaitingFor};
use crate::saga::{SagaId, Status};
use crate::store::record::{Change, IdempotencyKey, LogWrite, NewSaga, WriteReport};
use crate::world::{Answer, Call, Purpose, World};

/// How patient sagas are: the knobs of the configuration that an actor needs.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Attempts at actions.
    pub action: Patience,
    /// Attempts at compensations.
    pub compensation: Patience,
    /// How long one attempt may take.
    pub call_timeout: Duration,
    /// How long a saga may run forward.
    pub deadline: Duration,
    /// How many attempts at one compensation before a person is called.
    pub attention_after_attempts: u32,
    /// How long undoing may take before a person is called.
    pub attention_after: Duration,
}

/// How a saga ended, or stands, when its client is answered.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The saga.
    pub saga: Arc<RunningSaga>,
    /// Its status, as the log holds it.
    pub status: Status,
    /// Why it did not complete.
    pub error: Option<String>,
    /// When that was written.
    pub at: DateTime<Utc>,
}

/// What whoever started a saga is told.
#[derive(Clone, Debug)]
pub enum StartAnswer {
    /// It ended, or stands in the attention list.
    Settled(Standing),
    /// It is in the log and goes on.
    Accepted(SagaId),
    /// Another saga holds the key.
    KeyHeld(SagaId),
    /// Nothing was written and nothing was done.
    NotStarted(String),
    /// As many sagas run as may run.
    Overloaded,
    /// Whether it is in the log is not known.
    InDoubt(SagaId),
    /// This node no longer runs it: the row tells.
    AskTheRow(SagaId),
}

/// Where that is told.
pub type Waiter = oneshot::Sender<StartAnswer>;

/// How a saga comes to an actor.
pub enum Origin {
    /// A client started it.
    New {
        /// Its key, if it sent one.
        key: Option<IdempotencyKey>,
        /// Who waits.
        waiter: Waiter,
    },
    /// It was in the log already.
    Recovered {
        /// How much of its time is left.
        remaining: Duration,
        /// Whether somebody has asked for a cancel.
        cancel_requested: bool,
    },
}

/// What a saga actor is made from.
pub struct SagaArguments {
    /// Its public state.
    pub saga: Arc<RunningSaga>,
    /// Where it comes from.
    pub origin: Origin,
    /// The world.
    pub world: Arc<dyn World>,
    /// How patient it is.
    pub policy: Policy,
}

/// What a saga actor hears.
pub enum SagaMsg {
    /// Go on.
    Advance,
    /// A call came back (`None`: whoever made it died).
    CallFinished {
        /// Which attempt it was.
        attempt: Attempt,
        /// What came of it.
        outcome: Option<Outcome>,
    },
    /// A write to the log came back (`None`: whoever wrote it died).
    LogWritten(Option<WriteReport>),
    /// It is time to try again.
    RetryDue(Attempt),
    /// It is time to write again.
    WriteAgain,
    /// Its client leaves: answer it as soon as the saga is in the log.
    Detach(Waiter),
    /// The row says that a cancel was asked for.
    CancelRequested,
    /// Another client waits for its end.
    Attach(Waiter),
    /// Somebody wants it to be tried again at once.
    RetryNow,
    /// Its row is another node's now.
    Lost,
}

/// Names one attempt, so that a late answer is told from the awaited one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    step: usize,
    direction: Direction,
    number: u32,
}

/// The actor.
pub struct SagaActor;

/// Its state. All that matters is in the saga log; the rest can be lost at any time.
pub struct SagaState {
    saga: Arc<RunningSaga>,
    world: Arc<dyn World>,
    policy: Policy,
    nonce: uuid::Uuid,
    key: Option<IdempotencyKey>,
    deadline: Instant,
    turned_at: Option<Instant>,
    waiters: Vec<Waiter>,
    leaving: Vec<Waiter>,
    attention: Option<String>,
    write: Option<LogWrite>,
    write_attempts: u32,
    write_was_in_doubt: bool,
    cancel_is_waiting: bool,
    awaited: Option<Attempt>,
    tries: u32,
}

impl Actor for SagaActor {
    type Msg = SagaMsg;
    type State = SagaState;
    type Arguments = SagaArguments;

    async fn pre_start(&self, myself: ActorRef<SagaMsg>, args: SagaArguments) -> Result<SagaState, ActorProcessingErr> {
        let SagaArguments { saga, origin, world, policy } = args;
        let (key, waiters, remaining, cancel_is_waiting) = match origin {
            Origin::New { key, waiter } => (key, vec![waiter], policy.deadline, false),
            Origin::Recovered { remaining, cancel_requested } => (None, Vec::new(), remaining, cancel_requested),
        };
        let turned = saga.progress().log.direction() == Direction::Compensating;
        let state = SagaState {
            nonce: world.new_nonce(),
            deadline: Instant::now() + remaining,
            turned_at: turned.then(Instant::now),
            saga,
            world,
            policy,
            key,
            waiters,
            leaving: Vec::new(),
            attention: None,
            write: None,
            write_attempts: 0,
            write_was_in_doubt: false,
            cancel_is_waiting,
            awaited: None,
            tries: 0,
        };
        myself.cast(SagaMsg::Advance)?;
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<SagaMsg>,
        message: SagaMsg,
        state: &mut SagaState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SagaMsg::Advance => {}
            SagaMsg::CallFinished { attempt, outcome } => call_finished(&me, state, attempt, outcome)?,
            SagaMsg::LogWritten(report) => log_written(&me, state, report)?,
            SagaMsg::RetryDue(attempt) => retry_due(&me, state, attempt)?,
            SagaMsg::WriteAgain => write_again(&me, state),
            SagaMsg::Detach(waiter) => detach(state, waiter)?,
            SagaMsg::CancelRequested => state.cancel_is_waiting = true,
            SagaMsg::Attach(waiter) => state.waiters.push(waiter),
            SagaMsg::RetryNow => retry_now(&me, state)?,
            SagaMsg::Lost => return give_up(&me, state, StartAnswer::AskTheRow(state.saga.id)),
        }
        advance(&me, state)
    }
}

/// Does what the plan decides, unless a write is in flight: what it says comes first.
fn advance(me: &ActorRef<SagaMsg>, state: &mut SagaState) -> Result<(), ActorProcessingErr> {
    if state.write.is_some() {
        return Ok(());
    }
    interrupt_if_due(state)?;
    let decision = plan::next(&state.saga.progress().log);
    match decision {
        Decision::Wait => Ok(()),
        Decision::Run(step) => run(me, state, step),
        Decision::Compensate(step) => compensate(me, state, step),
        Decision::Begin => {
            let begin = begin(state, None);
            write(me, state, begin);
            Ok(())
        }
        Decision::WriteOutputs => {
            write(me, state, Change::Outputs);
            Ok(())
        }
        Decision::TurnBack => {
            let cause = state.saga.progress().log.cause().map(ToString::to_string).unwrap_or_default();
            write(me, state, Change::TurnBack { cause });
            Ok(())
        }
        Decision::End(status) => {
            let (begun, error) = {
                let progress = state.saga.progress();
                (progress.log.is_begun(), progress.log.cause().map(ToString::to_string))
            };
            let change = match begun {
                true => Change::End { status, error },
                false => begin(state, error),
            };
            write(me, state, change);
            Ok(())
        }
    }
}

/// Turns a saga back whose time is up, or whose row carries a cancel.
fn interrupt_if_due(state: &mut SagaState) -> Result<(), ActorProcessingErr> {
    let interruption = {
        let log = &state.saga.progress().log;
        if log.direction() == Direction::Compensating || log.cause().is_some() || log.ended().is_some() {
            None
        } else if state.cancel_is_waiting {
            Some(Cause::Cancelled)
        } else if Instant::now() >= state.deadline && !log.all_actions_done() {
            Some(Cause::DeadlinePassed)
        } else {
            None
        }
    };
    let Some(cause) = interruption else { return Ok(()) };
    info!(saga.id = %state.saga.id, %cause, "saga interrupted");
    state.awaited = None;
    apply(state, Event::Interrupted(cause))
}

/// Takes an event into the log. An illegal one means that this actor is broken: it is rebuilt from what is durable.
fn apply(state: &SagaState, event: Event) -> Result<(), ActorProcessingErr> {
    let at = state.world.now();
    Ok(state.saga.progress().apply(event, at)?)
}

// --- calls ---------------------------------------------------------------------------------------------------------

fn run(me: &ActorRef<SagaMsg>, state: &mut SagaState, step: usize) -> Result<(), ActorProcessingErr> {
    apply(state, Event::ActionSent(step))?;
    let row = state.saga.definition.steps[step];
    let number = state.saga.progress().log.step(step).attempts.count;
    let refusal = match row.effect {
        crate::saga::definition::Effect::ReadOnly { refusal } => Some(refusal),
        _ => None,
    };
    let timeout = state.policy.call_timeout.min(state.deadline.saturating_duration_since(Instant::now()));
    let attempt = Attempt { step, direction: Direction::Forward, number };
    let request = (row.action)(&context(state));
    call(me, state, attempt, Purpose::Action { refusal }, request, timeout);
    Ok(())
}

fn compensate(me: &ActorRef<SagaMsg>, state: &mut SagaState, step: usize) -> Result<(), ActorProcessingErr> {
    let row = state.saga.definition.steps[step];
    let Some(compensation) = row.compensation() else {
        return Err(format!("step {} has no compensation", row.name).into());
    };
    apply(state, Event::CompensationSent(step))?;
    let number = state.saga.progress().log.step(step).undo_attempts.count;
    let attempt = Attempt { step, direction: Direction::Compensating, number };
    let request = compensation(&context(state));
    call(me, state, attempt, Purpose::Compensation, request, state.policy.call_timeout);
    Ok(())
}

fn context(state: &SagaState) -> Context {
    let outputs = state.saga.progress().log.outputs().clone();
    Context { saga_id: state.saga.id, order: state.saga.order.clone(), outputs }
}

fn call(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    purpose: Purpose,
    request: crate::saga::definition::Request,
    timeout: Duration,
) {
    let row = state.saga.definition.steps[attempt.step];
    state.awaited = Some(attempt);
    state.saga.progress().waiting_for = WaitingFor::Participant(row.participant, row.name);
    let call = Call {
        saga_id: state.saga.id,
        epoch: state.saga.epoch,
        step: row.name,
        participant: row.participant,
        purpose,
        attempt: attempt.number,
        request,
        read: row.read,
        timeout,
    };
    let me = me.clone();
    state.world.call(
        call,
        Answer::new(move |outcome| {
            // A saga that is gone needs no answer: its row is what goes on.
            let _ = me.cast(SagaMsg::CallFinished { attempt, outcome });
        }),
    );
}

fn call_finished(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    outcome: Option<Outcome>,
) -> Result<(), ActorProcessingErr> {
    let row = state.saga.definition.steps[attempt.step];
    if state.awaited != Some(attempt) {
        debug!(saga.id = %state.saga.id, step = row.name, attempt = attempt.number, "late reply noted");
        return Ok(());
    }
    state.awaited = None;
    state.saga.progress().waiting_for = WaitingFor::Nothing;
    let outcome = outcome.unwrap_or_else(|| {
        Outcome::Unknown(Unknown {
            failure: Failure::unavailable(row.participant),
            detail: "the participant's client died".to_owned(),
            retry: Retry::After(Duration::ZERO),
            sent: Sent::Maybe,
        })
    });
    match (attempt.direction, outcome) {
        (Direction::Forward, Outcome::Done(outputs)) => {
            state.tries = 0;
            apply(state, Event::ActionDone(attempt.step, outputs))
        }
        (Direction::Forward, Outcome::Refused(failure)) => {
            debug!(saga.id = %state.saga.id, step = row.name, error = %failure, "step refused");
            apply(state, Event::ActionRefused(attempt.step, failure))
        }
        (Direction::Forward, Outcome::Unknown(unknown)) => action_unknown(me, state, attempt, unknown),
        (Direction::Compensating, Outcome::Done(_)) => {
            state.tries = 0;
            apply(state, Event::CompensationDone(attempt.step))
        }
        (Direction::Compensating, Outcome::Refused(failure)) => {
            compensation_failed(me, state, attempt, failure.to_string(), Duration::ZERO)
        }
        (Direction::Compensating, Outcome::Unknown(unknown)) => {
            let at_least = match unknown.retry {
                Retry::Parked(wait) => return compensation_parked(me, state, attempt, unknown.detail, wait),
                Retry::After(at_least) => at_least,
                Retry::Never | Retry::NeverAndRaise => Duration::ZERO,
            };
            compensation_failed(me, state, attempt, unknown.detail, at_least)
        }
    }
}

fn action_unknown(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    unknown: Unknown,
) -> Result<(), ActorProcessingErr> {
    let Unknown { failure, detail, retry, sent } = unknown;
    let step = state.saga.definition.steps[attempt.step].name;
    if retry == Retry::NeverAndRaise {
        error!(saga.id = %state.saga.id, step, %detail, "something else was done under this saga's key");
        state.attention = Some(format!("{step}: {detail}"));
    }
    if let Retry::Parked(wait) = retry {
        apply(state, Event::ActionParked(attempt.step))?;
        park(me, state, attempt, wait.min(state.deadline.saturating_duration_since(Instant::now())));
        return Ok(());
    }
    // Attempts of earlier owners are shown but do not count: each owner has its own patience.
    state.tries += 1;
    match plan::after_failure(state.policy.action, state.tries, retry, state.world.dice()) {
        AfterFailure::GiveUp => {
            warn!(saga.id = %state.saga.id, step, attempt = attempt.number, %detail, "step given up, its effect is not known");
            apply(state, Event::ActionGivenUp(attempt.step, failure, detail, sent))
        }
        AfterFailure::Again(wait) => {
            warn!(saga.id = %state.saga.id, step, attempt = attempt.number, ?wait, %detail, "step failed, trying again");
            apply(state, Event::ActionFailed(attempt.step, detail, sent))?;
            // No wait goes beyond the deadline.
            let wait = wait.min(state.deadline.saturating_duration_since(Instant::now()));
            back_off(me, state, attempt, wait);
            Ok(())
        }
    }
}

fn compensation_failed(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    detail: String,
    at_least: Duration,
) -> Result<(), ActorProcessingErr> {
    let step = state.saga.definition.steps[attempt.step].name;
    warn!(saga.id = %state.saga.id, step, attempt = attempt.number, %detail, "compensation not confirmed, trying again");
    apply(state, Event::CompensationFailed(attempt.step, detail.clone()))?;
    state.tries += 1;
    let wait = plan::backoff(state.policy.compensation, state.tries, state.world.dice()).max(at_least);
    if needs_a_person(state) {
        mark_failed(me, state, step, &detail, at_least);
    } else {
        back_off(me, state, attempt, wait);
    }
    Ok(())
}

/// The participant is known to be down: that burns no attempt, but time goes by.
fn compensation_parked(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    detail: String,
    wait: Duration,
) -> Result<(), ActorProcessingErr> {
    apply(state, Event::CompensationParked(attempt.step))?;
    if needs_a_person(state) {
        let step = state.saga.definition.steps[attempt.step].name;
        mark_failed(me, state, step, &detail, wait);
    } else {
        park(me, state, attempt, wait.min(state.policy.attention_after));
    }
    Ok(())
}

fn needs_a_person(state: &SagaState) -> bool {
    let too_often = state.tries >= state.policy.attention_after_attempts;
    let too_long = state.turned_at.is_some_and(|at| at.elapsed() >= state.policy.attention_after);
    too_often || too_long || state.saga.progress().log.is_marked_failed()
}

fn mark_failed(me: &ActorRef<SagaMsg>, state: &mut SagaState, step: &str, detail: &str, at_least: Duration) {
    error!(saga.id = %state.saga.id, step, %detail, "an undo could not be confirmed: a person should look");
    state.attention = Some(format!("{step} is not undone: {detail}"));
    let wake_in = state.policy.compensation.backoff_max.max(at_least);
    write(me, state, Change::MarkFailed { wake_in });
}

/// Waits until a participant that is known to be down may be asked again.
fn park(me: &ActorRef<SagaMsg>, state: &mut SagaState, attempt: Attempt, wait: Duration) {
    let row = state.saga.definition.steps[attempt.step];
    wait_for_retry(me, state, attempt, wait, WaitingFor::Parked(row.participant, row.name));
}

fn back_off(me: &ActorRef<SagaMsg>, state: &mut SagaState, attempt: Attempt, wait: Duration) {
    let step = state.saga.definition.steps[attempt.step].name;
    wait_for_retry(me, state, attempt, wait, WaitingFor::BackOff(step));
}

fn wait_for_retry(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    wait: Duration,
    waiting_for: WaitingFor,
) {
    state.awaited = Some(attempt);
    state.saga.progress().waiting_for = waiting_for;
    me.send_after(wait, move || SagaMsg::RetryDue(attempt));
}

/// Cuts a back-off short. A call that is in flight is answered soon enough.
fn retry_now(me: &ActorRef<SagaMsg>, state: &mut SagaState) -> Result<(), ActorProcessingErr> {
    match state.awaited {
        Some(attempt) => retry_due(me, state, attempt),
        None => Ok(()),
    }
}

fn is_backing_off(state: &SagaState, attempt: Attempt) -> bool {
    let progress = state.saga.progress();
    let step = progress.log.step(attempt.step);
    match attempt.direction {
        Direction::Forward => step.action == Action::BackingOff,
        Direction::Compensating => step.undo == Undo::BackingOff,
    }
}

fn retry_due(me: &ActorRef<SagaMsg>, state: &mut SagaState, attempt: Attempt) -> Result<(), ActorProcessingErr> {
    // A parked attempt keeps its number: the timer of one that was woken early finds it in flight.
    if state.awaited != Some(attempt) || !is_backing_off(state, attempt) {
        return Ok(());
    }
    if state.write.is_some() {
        // The write decides first; what follows it looks at the plan again.
        me.send_after(Duration::from_millis(10), move || SagaMsg::RetryDue(attempt));
        return Ok(());
    }
    interrupt_if_due(state)?;
    if state.awaited != Some(attempt) {
        return Ok(());
    }
    match attempt.direction {
        Direction::Forward => run(me, state, attempt.step),
        Direction::Compensating => compensate(me, state, attempt.step),
    }
}

// --- writes to the log ---------------------------------------------------------------------------------------------

fn begin(state: &mut SagaState, ended: Option<String>) -> Change {
    let saga = NewSaga {
        definition: state.saga.definition.name,
        definition_version: state.saga.definition.version,
        order: state.saga.order.clone(),
        key: state.key.clone(),
        nonce: state.nonce,
        deadline: state.deadline.saturating_duration_since(Instant::now()),
        created_at: state.saga.created_at,
    };
    Change::Begin { saga: Box::new(saga), ended }
}

fn write(me: &ActorRef<SagaMsg>, state: &mut SagaState, change: Change) {
    let write = {
        let progress = state.saga.progress();
        LogWrite {
            saga_id: state.saga.id,
            epoch: state.saga.epoch,
            change,
            outputs: progress.log.outputs().clone(),
            timeline: progress.log.timeline(),
            attention: state.attention.clone(),
            at: state.world.now(),
            changes: Vec::new(),
        }
    };
    state.write = Some(write);
    state.write_attempts = 0;
    state.write_was_in_doubt = false;
    write_again(me, state);
}

fn write_again(me: &ActorRef<SagaMsg>, state: &mut SagaState) {
    let Some(mut write) = state.write.clone() else { return };
    state.write_attempts += 1;
    {
        let progress = &mut *state.saga.progress();
        progress.waiting_for = WaitingFor::Log(write.change.name());
        write.changes = progress.unsent.ride(&write.change, &progress.log, write.at);
    }
    let me = me.clone();
    state.world.write(
        write,
        Answer::new(move |report| {
            let _ = me.cast(SagaMsg::LogWritten(report));
        }),
    );
}

fn log_written(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    report: Option<WriteReport>,
) -> Result<(), ActorProcessingErr> {
    let Some(write) = state.write.clone() else { return Ok(()) };
    let report = report.unwrap_or_else(|| WriteReport::InDoubt("the saga log's writer died".to_owned()));
    match report {
        WriteReport::Durable { cancel_requested } => {
            state.write = None;
            state.saga.progress().unsent.landed();
            state.cancel_is_waiting |= cancel_requested;
            written(me, state, write)
        }
        WriteReport::CancelRequested => {
            state.write = None;
            state.saga.progress().unsent.stayed();
            state.cancel_is_waiting = true;
            Ok(())
        }
        WriteReport::NotWritten(reason) if is_new_begin(state, &write) => {
            give_up(me, state, StartAnswer::NotStarted(reason))
        }
        WriteReport::NotWritten(reason) | WriteReport::InDoubt(reason) => {
            write_later(me, state, &reason);
            Ok(())
        }
        // The lease keeps a begin out; but an earlier attempt of this begin may be there all the same.
        WriteReport::LeaseNotLive if state.write_was_in_doubt => {
            give_up(me, state, StartAnswer::InDoubt(state.saga.id))
        }
        WriteReport::LeaseNotLive => {
            give_up(me, state, StartAnswer::NotStarted("this node's lease is not live".to_owned()))
        }
        WriteReport::KeyHeld(holder) => give_up(me, state, StartAnswer::KeyHeld(holder)),
        WriteReport::Lost | WriteReport::EndedOtherwise => {
            debug!(saga.id = %state.saga.id, "another owner has this saga now");
            give_up(me, state, StartAnswer::AskTheRow(state.saga.id))
        }
    }
}

/// Only a begin that is known not to be there may be given up; any other write is repeated until it is known.
fn is_new_begin(state: &SagaState, write: &LogWrite) -> bool {
    matches!(write.change, Change::Begin { .. }) && !state.write_was_in_doubt
}

fn write_later(me: &ActorRef<SagaMsg>, state: &mut SagaState, reason: &str) {
    // From the first doubt on, only the row itself can tell.
    state.write_was_in_doubt = true;
    let wait = plan::backoff(state.policy.compensation, state.write_attempts, state.world.dice());
    warn!(saga.id = %state.saga.id, reason, ?wait, "saga log: writing again until it is known");
    me.send_after(wait, || SagaMsg::WriteAgain);
}

/// A write is durable: now it may show.
fn written(me: &ActorRef<SagaMsg>, state: &mut SagaState, write: LogWrite) -> Result<(), ActorProcessingErr> {
    state.saga.progress().waiting_for = WaitingFor::Nothing;
    let at = write.at;
    match write.change {
        Change::Begin { ended: Some(error), .. } => end(me, state, Status::Compensated, Some(error), at),
        Change::Begin { ended: None, .. } => {
            let outputs = begun_with(&state.saga.progress().log);
            apply(state, Event::Begun { outputs })?;
            let id = state.saga.id;
            for waiter in state.leaving.drain(..) {
                let _ = waiter.send(StartAnswer::Accepted(id));
            }
            Ok(())
        }
        Change::Outputs => apply(state, Event::OutputsWritten),
        Change::TurnBack { .. } => {
            state.turned_at = Some(Instant::now());
            state.awaited = None;
            state.tries = 0;
            apply(state, Event::TurnedBack)
        }
        Change::MarkFailed { .. } => {
            apply(state, Event::MarkedFailed)?;
            let error = state.saga.progress().log.cause().map(ToString::to_string);
            answer(state, Status::Failed, error, at);
            // It holds no actor while it sleeps; recovery wakes it.
            me.stop(None);
            Ok(())
        }
        Change::End { status, error } => end(me, state, status, error, at),
    }
}

fn begun_with(log: &SagaLog) -> OutputsInLog {
    // The reads may have answered while `begin` was on its way: only what it carried counts.
    match log.reads_are_done() && !log.begin_is_wanted() {
        true => OutputsInLog::Complete,
        false => OutputsInLog::Missing,
    }
}

fn end(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    status: Status,
    error: Option<String>,
    at: DateTime<Utc>,
) -> Result<(), ActorProcessingErr> {
    apply(state, Event::Ended(status))?;
    debug!(saga.id = %state.saga.id, %status, "saga ended");
    answer(state, status, error, at);
    me.stop(None);
    Ok(())
}

fn answer(state: &mut SagaState, status: Status, error: Option<String>, at: DateTime<Utc>) {
    let standing = Standing { saga: state.saga.clone(), status, error, at };
    for waiter in state.waiters.drain(..).chain(state.leaving.drain(..)) {
        let _ = waiter.send(StartAnswer::Settled(standing.clone()));
    }
}

/// Stops without a sound: this node has nothing more to say about the saga.
fn give_up(me: &ActorRef<SagaMsg>, state: &mut SagaState, told: StartAnswer) -> Result<(), ActorProcessingErr> {
    for waiter in state.waiters.drain(..).chain(state.leaving.drain(..)) {
        let _ = waiter.send(told.clone());
    }
    me.stop(None);
    Ok(())
}

fn detach(state: &mut SagaState, waiter: Waiter) -> Result<(), ActorProcessingErr> {
    if state.saga.progress().log.is_begun() {
        let _ = waiter.send(StartAnswer::Accepted(state.saga.id));
        return Ok(());
    }
    state.leaving.push(waiter);
    apply(state, Event::BeginWanted)
}
