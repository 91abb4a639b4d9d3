//! Calls of a saga: send an action or a compensation, handle its outcome, schedule a retry.

use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::writes::write;
use super::{Attempt, CallState, Executed, SagaMsg, SagaState, Stuck, apply};
use crate::definition::{Context, Definition, Effect, Operation, Retries, Start, Step, full_name};
use crate::failed::WokenBy;
use crate::log::{Action, Direction, Event};
use crate::outcome::{Failure, Outcome, Retry, Sent, Unknown};
use crate::plan::{self, AfterFailure, Patience};
use crate::record::{Change, Mark};
use crate::running::WaitingFor;
use crate::world::{Answer, Call, Purpose, Urgency};

/// Calls the action of a step.
pub(super) fn run(me: &ActorRef<SagaMsg>, state: &mut SagaState, step: usize) -> Result<Executed, ActorProcessingErr> {
    apply(state, Event::ActionSent(step))?;
    let definition = state.saga.definition.clone();
    let row = &definition.steps()[step];
    let number = state.saga.progress().log.step(step).attempts.count;
    let context = context(state, number);
    let refusal = match &row.effect {
        Effect::ReadOnly { refusal, refuse } => {
            if let Some(detail) = refuse(&context) {
                let refused = Failure::refused(404, &row.participant, &detail);
                apply(state, Event::ActionRefused(step, refused))?;
                return Ok(Executed::WithoutCall);
            }
            refusal.clone()
        }
        Effect::Compensable(_) | Effect::Uncompensated => None,
    };
    let timeout = timeout_until_deadline(me, state, row);
    let attempt = Attempt { step, direction: Direction::Forward, number };
    match call(me, state, attempt, Purpose::Action { refusal }, &row.action, context, timeout) {
        Ok(()) => Ok(Executed::Sent),
        Err(detail) => {
            warn!(saga.id = %state.saga.id, step = %row.name, %detail, "the step has no request: it is given up");
            let failure = Failure::unavailable(&row.participant);
            apply(state, Event::ActionGivenUp(step, failure, detail, Sent::Nothing))?;
            Ok(Executed::WithoutCall)
        }
    }
}

/// Calls the compensation of a step.
pub(super) fn compensate(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    step: usize,
) -> Result<Executed, ActorProcessingErr> {
    let definition = state.saga.definition.clone();
    let row = &definition.steps()[step];
    let Some(compensation) = row.compensation() else {
        return Err(format!("step {} has no compensation", row.name).into());
    };
    apply(state, Event::CompensationSent(step))?;
    let number = state.saga.progress().log.step(step).undo_attempts.count;
    let attempt = Attempt { step, direction: Direction::Compensating, number };
    let timeout = timeout_of(state, row);
    let context = context(state, number);
    match call(me, state, attempt, Purpose::Compensation, compensation, context, timeout) {
        Ok(()) => Ok(Executed::Sent),
        Err(detail) => {
            compensation_failed(me, state, attempt, detail, Duration::ZERO, Counts::AsAttempt)?;
            Ok(Executed::WithoutCall)
        }
    }
}

/// Returns the timeout of one attempt: the step's, else the participant's, else the one of all.
fn timeout_of(state: &SagaState, step: &Step) -> Duration {
    let of_participant = || state.world.call_timeout(&step.participant);
    step.timeout.or_else(of_participant).unwrap_or(state.policy.call_timeout)
}

/// Returns the timeout of one attempt at an action. A call that is given up at the deadline may take effect later, which
/// only a tombstone prevents: without one its outcome is waited for, and the saga turns back at the deadline meanwhile.
fn timeout_until_deadline(me: &ActorRef<SagaMsg>, state: &SagaState, step: &Step) -> Duration {
    let timeout = timeout_of(state, step);
    let left = state.deadline.saturating_duration_since(Instant::now());
    if timeout <= left {
        return timeout;
    }
    match step.start {
        Start::Assumed => left,
        Start::Recorded => {
            me.send_after(left, || SagaMsg::DeadlinePassed);
            timeout
        }
    }
}

fn context(state: &SagaState, attempt: u32) -> Context {
    let outputs = state.saga.progress().log.outputs().clone();
    Context { saga_id: state.saga.id, attempt, input: state.saga.input.clone(), outputs }
}

/// Pause before a process without a lease looks again whether it has one.
const LEASE_WAIT: Duration = Duration::from_millis(500);

/// Makes the outcome of an action that is not called since this process may not own the saga any more.
fn without_lease(call: &Call, wait: Duration) -> Outcome {
    Outcome::Unknown(Unknown {
        failure: Failure::unavailable(&call.participant),
        detail: "this node holds no lease, so it calls no action".to_owned(),
        retry: Retry::Parked(wait),
        sent: Sent::Nothing,
    })
}

/// Makes a call, or returns why its request cannot be made.
fn call(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    purpose: Purpose,
    operation: &Operation,
    context: Context,
    timeout: Duration,
) -> Result<(), String> {
    let request = (operation.request)(&context)?;
    let definition = state.saga.definition.clone();
    let row = &definition.steps()[attempt.step];
    state.calls[attempt.step].state = CallState::InFlight(attempt);
    let urgency = {
        let progress = &mut *state.saga.progress();
        let waiting_for = WaitingFor::Participant(row.participant.clone(), row.name.clone());
        progress.waiting_for.step_waits(attempt.step, waiting_for);
        if progress.log.is_marked_failed() { Urgency::Low } else { Urgency::Normal }
    };
    let call = Call {
        saga_id: state.saga.id,
        epoch: state.saga.epoch,
        step: row.name.clone(),
        participant: row.participant.clone(),
        purpose,
        urgency,
        attempt: attempt.number,
        operation: operation.name.clone(),
        request,
        context,
        read: operation.read.clone(),
        timeout,
    };
    let me = me.clone();
    if attempt.direction == Direction::Forward && !row.is_read_only() && !state.world.may_call_actions() {
        let wait = LEASE_WAIT.mul_f64(0.5 + state.world.random());
        let _ = me.cast(SagaMsg::CallFinished { attempt, outcome: Some(without_lease(&call, wait)) });
        return Ok(());
    }
    state.world.call(
        call,
        Answer::new(move |outcome| {
            // If the actor has ended, the next owner continues from the row.
            let _ = me.cast(SagaMsg::CallFinished { attempt, outcome });
        }),
    );
    Ok(())
}

pub(super) fn call_finished(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    outcome: Option<Outcome>,
) -> Result<(), ActorProcessingErr> {
    let definition = state.saga.definition.clone();
    let row = &definition.steps()[attempt.step];
    let call = &mut state.calls[attempt.step];
    if call.state != CallState::InFlight(attempt) {
        return Err(format!("a second reply to attempt {} of step {}", attempt.number, row.name).into());
    }
    call.state = CallState::Idle;
    state.saga.progress().waiting_for.step_goes_on(attempt.step);
    let is_given_up = state.saga.progress().log.step(attempt.step).action != Action::Running;
    if attempt.direction == Direction::Forward && is_given_up {
        // A read whose saga turned back meanwhile.
        return Ok(());
    }
    let outcome = outcome.unwrap_or_else(|| {
        Outcome::Unknown(Unknown {
            failure: Failure::unavailable(&row.participant),
            detail: "the participant's client died".to_owned(),
            retry: Retry::After(Duration::ZERO),
            sent: Sent::Maybe,
        })
    });
    match (attempt.direction, outcome) {
        (Direction::Forward, Outcome::Done(outputs)) => {
            state.calls[attempt.step].tries = 0;
            apply(state, Event::ActionDone(attempt.step, outputs))
        }
        (Direction::Forward, Outcome::Refused(failure)) => {
            debug!(saga.id = %state.saga.id, step = %row.name, error = %failure, "step refused");
            state.calls[attempt.step].tries = 0;
            apply(state, Event::ActionRefused(attempt.step, failure))
        }
        (Direction::Forward, Outcome::Unknown(unknown)) => action_unknown(me, state, attempt, unknown),
        (Direction::Compensating, Outcome::Undone(found, outputs)) => {
            apply(state, Event::CompensationDone(attempt.step, found, outputs))
        }
        (Direction::Forward, Outcome::Undone(..)) | (Direction::Compensating, Outcome::Done(_)) => {
            Err("the outcome does not match the purpose of the call".into())
        }
        (Direction::Compensating, Outcome::Refused(failure)) => {
            compensation_failed(me, state, attempt, failure.to_string(), Duration::ZERO, Counts::AsAttempt)
        }
        (Direction::Compensating, Outcome::Unknown(unknown)) => {
            let (at_least, counts) = match unknown.retry {
                Retry::Parked(wait) => return compensation_parked(me, state, attempt, unknown.detail, wait),
                Retry::Ongoing(wait) => (wait, Counts::NotAsAttempt),
                Retry::After(at_least) => (at_least, Counts::AsAttempt),
                Retry::Never | Retry::NeverAndRaise => (Duration::ZERO, Counts::AsAttempt),
            };
            compensation_failed(me, state, attempt, unknown.detail, at_least, counts)
        }
    }
}

/// Whether a failed attempt counts towards the number after which the saga is given up or marked FAILED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    AsAttempt,
    NotAsAttempt,
}

fn patience_of(policy: Patience, step: &Step) -> Patience {
    Patience { attempts: step.attempts.unwrap_or(policy.attempts), ..policy }
}

fn action_unknown(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    unknown: Unknown,
) -> Result<(), ActorProcessingErr> {
    let Unknown { failure, detail, retry, sent } = unknown;
    let definition = state.saga.definition.clone();
    let row = &definition.steps()[attempt.step];
    let step = &*row.name;
    if retry == Retry::NeverAndRaise {
        error!(saga.id = %state.saga.id, step, %detail, "other work was done under this saga's key: a person should look");
        state.attention = Some(Mark::until_resolved(format!("{step}: {detail}")));
    }
    let turns_back = state.saga.progress().log.cause().is_some();
    // No wait exceeds the deadline.
    let until_deadline = state.deadline.saturating_duration_since(Instant::now());
    if let (Retry::Parked(wait), false) = (retry, turns_back) {
        apply(state, Event::ActionParked(attempt.step))?;
        park(me, state, attempt, wait.min(until_deadline));
        return Ok(());
    }
    let call = &mut state.calls[attempt.step];
    // Attempts of earlier owners are shown but not counted: each owner starts with the full number of attempts.
    call.tries += u32::from(!matches!(retry, Retry::Ongoing(_)));
    let patience = patience_of(state.policy.action, row);
    let tries = call.tries;
    state.unknown_outcomes = state.unknown_outcomes.saturating_add(1);
    let after = match &definition.retries {
        // The saga turned back during the call: no further attempt follows.
        _ if turns_back => AfterFailure::GiveUp,
        Some(Retries { limit: Some(limit), .. }) if state.unknown_outcomes > *limit => AfterFailure::GiveUp,
        Some(retries) if matches!(retry, Retry::Ongoing(_)) => AfterFailure::Again(retries.interval),
        Some(retries) => AfterFailure::Again(retries.wait(tries)),
        None => plan::after_failure(patience, tries, retry, state.world.random()),
    };
    match after {
        AfterFailure::GiveUp => {
            warn!(saga.id = %state.saga.id, step, attempt = attempt.number, %detail, "step given up, its effect is unknown");
            apply(state, Event::ActionGivenUp(attempt.step, failure, detail, sent))
        }
        AfterFailure::Again(wait) => {
            warn!(saga.id = %state.saga.id, step, attempt = attempt.number, ?wait, %detail, "step failed, trying again");
            apply(state, Event::ActionFailed(attempt.step, detail, sent))?;
            back_off(me, state, attempt, wait.min(until_deadline));
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
    counts: Counts,
) -> Result<(), ActorProcessingErr> {
    let step = &state.saga.definition.steps()[attempt.step].name;
    warn!(saga.id = %state.saga.id, %step, attempt = attempt.number, %detail, "compensation not confirmed, trying again");
    apply(state, Event::CompensationFailed(attempt.step, detail.clone()))?;
    let call = &mut state.calls[attempt.step];
    call.tries += u32::from(counts == Counts::AsAttempt);
    let wait = match &state.saga.definition.retries {
        Some(retries) if counts == Counts::NotAsAttempt => retries.interval,
        Some(retries) => retries.wait(call.tries),
        None => plan::backoff(state.policy.compensation, call.tries, state.world.random()).max(at_least),
    };
    if needs_a_person(state, attempt.step) {
        // A confirmation for another saga woke it and it failed again: the fault is its own, so none wakes it again.
        let waits = state.marks.woken_by == WokenBy::Time;
        let waits_for = waits.then(|| compensation_name(&state.saga.definition, attempt.step)).flatten();
        let stuck = Box::new(Stuck { attempt, detail, at_least, waits_for });
        state.calls[attempt.step].state = CallState::Stuck(stuck);
    } else {
        back_off(me, state, attempt, wait.min(until_attention(state)));
    }
    Ok(())
}

/// The participant is known to be down: this counts as no attempt, but towards `attention_after`.
fn compensation_parked(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    detail: String,
    wait: Duration,
) -> Result<(), ActorProcessingErr> {
    apply(state, Event::CompensationParked(attempt.step, detail.clone()))?;
    if needs_a_person(state, attempt.step) {
        let waits_for = compensation_name(&state.saga.definition, attempt.step);
        let stuck = Box::new(Stuck { attempt, detail, at_least: wait, waits_for });
        state.calls[attempt.step].state = CallState::Stuck(stuck);
    } else {
        park(me, state, attempt, wait.min(until_attention(state)));
    }
    Ok(())
}

/// Returns the time left before the saga is marked FAILED: no wait exceeds it.
fn until_attention(state: &SagaState) -> Duration {
    if state.row_is_gone {
        return Duration::MAX;
    }
    let taken = state.turned_at.map(|at| at.elapsed()).unwrap_or_default();
    state.policy.attention_after.saturating_sub(taken)
}

fn needs_a_person(state: &SagaState, step: usize) -> bool {
    if state.row_is_gone {
        // No row exists that could be marked for recovery to wake it.
        return false;
    }
    let too_often = state.calls[step].tries >= state.policy.attention_after_attempts;
    let too_long = state.turned_at.is_some_and(|at| at.elapsed() >= state.policy.attention_after);
    too_often || too_long || state.saga.progress().log.is_marked_failed()
}

/// Reschedules the compensations that were stuck before the row was found missing.
pub(super) fn try_again_without_row(me: &ActorRef<SagaMsg>, state: &mut SagaState) {
    for step in 0..state.calls.len() {
        if let CallState::Stuck(stuck) = &state.calls[step].state {
            let attempt = stuck.attempt;
            let wait = plan::backoff(state.policy.compensation, state.calls[step].tries, state.world.random());
            back_off(me, state, attempt, wait);
        }
    }
}

/// Marks the saga FAILED if a compensation is stuck and no other call can go on.
pub(super) fn mark_failed_if_stuck(me: &ActorRef<SagaMsg>, state: &mut SagaState) {
    if state.write.is_some() {
        return;
    }
    let mut all_stuck: Vec<&Stuck> = Vec::new();
    for call in &state.calls {
        match &call.state {
            CallState::Idle => {}
            CallState::Stuck(stuck) => all_stuck.push(stuck),
            // A call between two attempts goes on too: it is confirmed, or stuck itself within `attention_after`.
            CallState::InFlight(_) | CallState::BackingOff(_) | CallState::Due(_) => return,
        }
    }
    // Only one can be named: rather one whose recovery wakes the saga early.
    let Some(named) = all_stuck.iter().max_by_key(|stuck| (stuck.waits_for.is_some(), stuck.at_least)) else { return };
    let step = &state.saga.definition.steps()[named.attempt.step].name;
    let Stuck { detail, waits_for, .. } = named;
    if state.saga.progress().log.is_marked_failed() {
        debug!(saga.id = %state.saga.id, %step, %detail, "a compensation is still not confirmed, the saga stays FAILED");
    } else {
        error!(saga.id = %state.saga.id, %step, %detail, "a compensation is not confirmed, the saga is marked FAILED: a person should look");
    }
    let at_least = all_stuck.iter().map(|stuck| stuck.at_least).max().unwrap_or_default();
    let (mark, waits_for) = (Mark::until_end(format!("{step} is not undone: {detail}")), waits_for.clone());
    state.attention = Some(mark);
    let marks = state.marks.count.saturating_add(1);
    let wake_in = state.policy.failed.after(marks, at_least, state.world.random());
    write(me, state, Change::MarkFailed { wake_in, marks, waits_for });
}

/// Returns the full name of the operation that undoes a step.
fn compensation_name(definition: &Definition, step: usize) -> Option<String> {
    let row = &definition.steps()[step];
    row.compensation().map(|operation| full_name(&row.participant, &operation.name))
}

/// Waits until a participant that is known to be down may be called again.
fn park(me: &ActorRef<SagaMsg>, state: &mut SagaState, attempt: Attempt, wait: Duration) {
    let row = &state.saga.definition.steps()[attempt.step];
    let waiting_for = WaitingFor::Parked(row.participant.clone(), row.name.clone());
    wait_for_retry(me, state, attempt, wait, waiting_for);
}

fn back_off(me: &ActorRef<SagaMsg>, state: &mut SagaState, attempt: Attempt, wait: Duration) {
    let waiting_for = WaitingFor::BackOff(state.saga.definition.steps()[attempt.step].name.clone());
    wait_for_retry(me, state, attempt, wait, waiting_for);
}

fn wait_for_retry(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    wait: Duration,
    waiting_for: WaitingFor,
) {
    state.calls[attempt.step].state = CallState::BackingOff(attempt);
    state.saga.progress().waiting_for.step_waits(attempt.step, waiting_for);
    me.send_after(wait, move || SagaMsg::RetryDue(attempt));
}

/// Ends all back-offs early, and repeats the compensations that are stuck. Calls in flight are left alone.
pub(super) fn retry_now(state: &mut SagaState) {
    for call in &mut state.calls {
        let attempt = match &call.state {
            CallState::BackingOff(attempt) => *attempt,
            CallState::Stuck(stuck) => stuck.attempt,
            CallState::Idle | CallState::InFlight(_) | CallState::Due(_) => continue,
        };
        call.state = CallState::Due(attempt);
    }
}

/// Ends the back-off of an attempt. After an early retry the old timer finds the attempt in flight, since a parked
/// attempt keeps its number.
pub(super) fn retry_due(state: &mut SagaState, attempt: Attempt) {
    let call = &mut state.calls[attempt.step];
    if call.state == CallState::BackingOff(attempt) {
        call.state = CallState::Due(attempt);
    }
}

/// Makes the calls whose wait is over. Of a saga that turns back no further attempt at an action follows.
pub(super) fn call_again(me: &ActorRef<SagaMsg>, state: &mut SagaState) -> Result<(), ActorProcessingErr> {
    for step in 0..state.calls.len() {
        let turns_back = state.saga.progress().log.cause().is_some();
        let call = &mut state.calls[step];
        match call.state {
            CallState::BackingOff(attempt) | CallState::Due(attempt)
                if attempt.direction == Direction::Forward && turns_back =>
            {
                call.state = CallState::Idle;
                call.tries = 0;
                state.saga.progress().waiting_for.step_goes_on(step);
            }
            // With as many calls in flight as may be, it stays due: the next outcome makes room.
            CallState::Due(Attempt { direction, .. }) if plan::free_calls(&state.saga.progress().log) > 0 => {
                call.state = CallState::Idle;
                match direction {
                    Direction::Forward => run(me, state, step)?,
                    Direction::Compensating => compensate(me, state, step)?,
                };
            }
            CallState::Idle
            | CallState::InFlight(_)
            | CallState::BackingOff(_)
            | CallState::Due(_)
            | CallState::Stuck(_) => {}
        }
    }
    Ok(())
}
