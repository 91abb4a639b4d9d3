//! Calls of a saga: send an action or a compensation, handle its outcome, schedule a retry.

use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::writes::write;
use super::{Attempt, CurrentCall, SagaMsg, SagaState, advance, apply};
use crate::definition::{Context, Effect, Operation, full_name};
use crate::failed::WokenBy;
use crate::log::{Action, Direction, Event, KnownEffect};
use crate::outcome::{Failure, Outcome, Retry, Sent, Unknown};
use crate::plan::{self, AfterFailure};
use crate::record::{Change, Mark};
use crate::running::WaitingFor;
use crate::world::{Answer, Call, Purpose, Urgency};

pub(super) fn run(me: &ActorRef<SagaMsg>, state: &mut SagaState, step: usize) -> Result<(), ActorProcessingErr> {
    apply(state, Event::ActionSent(step))?;
    let row = state.saga.definition.steps[step];
    let number = state.saga.progress().log.step(step).attempts.count;
    let refusal = match row.effect {
        Effect::ReadOnly { refusal, refuse } => {
            if let Some(detail) = refuse(&context(state)) {
                apply(state, Event::ActionRefused(step, Failure::refused(404, row.participant, &detail)))?;
                return advance(me, state);
            }
            Some(refusal)
        }
        _ => None,
    };
    let timeout = state.policy.call_timeout.min(state.deadline.saturating_duration_since(Instant::now()));
    let attempt = Attempt { step, direction: Direction::Forward, number };
    let context = context(state);
    call(me, state, attempt, Purpose::Action { refusal }, row.action, context, timeout);
    Ok(())
}

pub(super) fn compensate(me: &ActorRef<SagaMsg>, state: &mut SagaState, step: usize) -> Result<(), ActorProcessingErr> {
    let row = state.saga.definition.steps[step];
    let Some(compensation) = row.compensation() else {
        return Err(format!("step {} has no compensation", row.name).into());
    };
    apply(state, Event::CompensationSent(step))?;
    let number = state.saga.progress().log.step(step).undo_attempts.count;
    let attempt = Attempt { step, direction: Direction::Compensating, number };
    let (context, timeout) = (context(state), state.policy.call_timeout);
    call(me, state, attempt, Purpose::Compensation, compensation, context, timeout);
    Ok(())
}

fn context(state: &SagaState) -> Context {
    let outputs = state.saga.progress().log.outputs().clone();
    Context { saga_id: state.saga.id, input: state.saga.input.clone(), outputs }
}

fn call(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    purpose: Purpose,
    operation: Operation,
    context: Context,
    timeout: Duration,
) {
    let row = state.saga.definition.steps[attempt.step];
    state.call = CurrentCall::InFlight(attempt);
    let urgency = {
        let progress = &mut *state.saga.progress();
        progress.waiting_for = WaitingFor::Participant(row.participant, row.name);
        if progress.log.is_marked_failed() { Urgency::Low } else { Urgency::Normal }
    };
    let call = Call {
        saga_id: state.saga.id,
        epoch: state.saga.epoch,
        step: row.name,
        participant: row.participant,
        purpose,
        urgency,
        attempt: attempt.number,
        operation: operation.name,
        request: (operation.request)(&context),
        context,
        read: operation.read,
        timeout,
    };
    let me = me.clone();
    state.world.call(
        call,
        Answer::new(move |outcome| {
            // If the actor is gone, the next owner goes on from the row.
            let _ = me.cast(SagaMsg::CallFinished { attempt, outcome });
        }),
    );
}

pub(super) fn call_finished(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    attempt: Attempt,
    outcome: Option<Outcome>,
) -> Result<(), ActorProcessingErr> {
    let row = state.saga.definition.steps[attempt.step];
    if state.call != CurrentCall::InFlight(attempt) {
        debug!(saga.id = %state.saga.id, step = row.name, attempt = attempt.number, "late reply recorded");
        return note_late(state, attempt, outcome);
    }
    state.call = CurrentCall::Idle;
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
        (Direction::Compensating, Outcome::Undone(found, outputs)) => {
            state.tries = 0;
            apply(state, Event::CompensationDone(attempt.step, found, outputs))
        }
        (Direction::Forward, Outcome::Undone(..)) | (Direction::Compensating, Outcome::Done(_)) => {
            Err("the outcome does not match the purpose of the call".into())
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

/// Records the late reply to an action, for display, if the step's effect is still unknown and the saga has not ended.
fn note_late(state: &SagaState, attempt: Attempt, outcome: Option<Outcome>) -> Result<(), ActorProcessingErr> {
    let event = match outcome {
        Some(Outcome::Done(outputs)) => Event::HeardLate(attempt.step, outputs),
        Some(Outcome::Refused(_)) => Event::RefusedLate(attempt.step),
        Some(Outcome::Undone(..) | Outcome::Unknown(_)) | None => return Ok(()),
    };
    let is_open = {
        let log = &state.saga.progress().log;
        let step = log.step(attempt.step);
        log.ended().is_none() && step.action == Action::Unknown && step.effect() == KnownEffect::Unknown
    };
    if attempt.direction == Direction::Forward && is_open { apply(state, event) } else { Ok(()) }
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
        error!(saga.id = %state.saga.id, step, %detail, "other work was done under this saga's key: a person should look");
        state.attention = Some(Mark::until_resolved(format!("{step}: {detail}")));
    }
    if let Retry::Parked(wait) = retry {
        apply(state, Event::ActionParked(attempt.step))?;
        park(me, state, attempt, wait.min(state.deadline.saturating_duration_since(Instant::now())));
        return Ok(());
    }
    // Attempts of earlier owners are shown but not counted: each owner starts with the full number of attempts.
    state.tries += 1;
    match plan::after_failure(state.policy.action, state.tries, retry, state.world.random()) {
        AfterFailure::GiveUp => {
            warn!(saga.id = %state.saga.id, step, attempt = attempt.number, %detail, "step given up, its effect is unknown");
            apply(state, Event::ActionGivenUp(attempt.step, failure, detail, sent))
        }
        AfterFailure::Again(wait) => {
            warn!(saga.id = %state.saga.id, step, attempt = attempt.number, ?wait, %detail, "step failed, trying again");
            apply(state, Event::ActionFailed(attempt.step, detail, sent))?;
            // No wait exceeds the deadline.
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
    let wait = plan::backoff(state.policy.compensation, state.tries, state.world.random()).max(at_least);
    if needs_a_person(state) {
        // A confirmation for another saga woke it and it failed again: the fault is its own, so none wakes it again.
        let waits = state.marks.woken_by == WokenBy::Time;
        let waits_for = waits.then(|| compensation_name(state, attempt.step)).flatten();
        mark_failed(me, state, attempt.step, &detail, at_least, waits_for);
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
    if needs_a_person(state) {
        let waits_for = compensation_name(state, attempt.step);
        mark_failed(me, state, attempt.step, &detail, wait, waits_for);
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

fn needs_a_person(state: &SagaState) -> bool {
    if state.row_is_gone {
        // There is no row to mark, from which recovery could wake it.
        return false;
    }
    let too_often = state.tries >= state.policy.attention_after_attempts;
    let too_long = state.turned_at.is_some_and(|at| at.elapsed() >= state.policy.attention_after);
    too_often || too_long || state.saga.progress().log.is_marked_failed()
}

/// Schedules the compensation again that failed before the row was found gone.
pub(super) fn try_again_without_row(me: &ActorRef<SagaMsg>, state: &mut SagaState) {
    let attempt = {
        let log = &state.saga.progress().log;
        log.next_to_undo().map(|step| {
            let number = log.step(step).undo_attempts.count;
            Attempt { step, direction: Direction::Compensating, number }
        })
    };
    if let Some(attempt) = attempt {
        let wait = plan::backoff(state.policy.compensation, state.tries, state.world.random());
        back_off(me, state, attempt, wait);
    }
}

fn mark_failed(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    step: usize,
    detail: &str,
    at_least: Duration,
    waits_for: Option<String>,
) {
    let step = state.saga.definition.steps[step].name;
    error!(saga.id = %state.saga.id, step, %detail, "a compensation is not confirmed, the saga is marked FAILED: a person should look");
    state.attention = Some(Mark::until_end(format!("{step} is not undone: {detail}")));
    let marks = state.marks.count.saturating_add(1);
    let wake_in = state.policy.failed.after(marks, at_least, state.world.random());
    write(me, state, Change::MarkFailed { wake_in, marks, waits_for });
}

/// Returns the full name of the operation that undoes a step.
fn compensation_name(state: &SagaState, step: usize) -> Option<String> {
    let row = state.saga.definition.steps[step];
    row.compensation().map(|operation| full_name(row.participant, operation.name))
}

/// Waits until a participant that is known to be down may be called again.
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
    state.call = CurrentCall::BackingOff(attempt);
    state.saga.progress().waiting_for = waiting_for;
    me.send_after(wait, move || SagaMsg::RetryDue(attempt));
}

/// Ends a back-off early. A call in flight is left alone.
pub(super) fn retry_now(state: &mut SagaState) {
    if let CurrentCall::BackingOff(attempt) = state.call {
        state.call = CurrentCall::Due(attempt);
    }
}

/// Ends the back-off of an attempt. After an early retry the old timer finds the attempt in flight, since a parked
/// attempt keeps its number.
pub(super) fn retry_due(state: &mut SagaState, attempt: Attempt) {
    if state.call == CurrentCall::BackingOff(attempt) {
        state.call = CurrentCall::Due(attempt);
    }
}
