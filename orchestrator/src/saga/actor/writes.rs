//! Writes to the saga log, repeated until it is known what became of them, and what waits for them: nothing shows before
//! it is durable.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ractor::{ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{SagaMsg, SagaState, Standing, StartAnswer, Waiter, apply};
use crate::saga::Status;
use crate::saga::log::{Event, OutputsInLog, SagaLog};
use crate::saga::plan;
use crate::saga::running::WaitingFor;
use crate::simulation::planted::{Planted, is_planted};
use crate::store::record::{Change, LogWrite, NewSaga, WriteReport};
use crate::world::Answer;

pub(super) fn begin(state: &mut SagaState, ended: Option<String>) -> Change {
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

pub(super) fn write(me: &ActorRef<SagaMsg>, state: &mut SagaState, change: Change) {
    let write = {
        let progress = &mut *state.saga.progress();
        let at = state.world.now();
        // Chosen once, for every attempt at this write: where the first one came through, the log tells what that one
        // carried, and what joined a repeat would be taken for told.
        let changes = progress.unsent.ride(&change, &progress.log, at);
        LogWrite {
            saga_id: state.saga.id,
            epoch: state.saga.epoch,
            change,
            outputs: progress.log.outputs().clone(),
            timeline: progress.log.timeline(),
            attention: state.attention.clone(),
            at,
            changes,
        }
    };
    state.write = Some(Arc::new(write));
    state.write_attempts = 0;
    state.write_was_in_doubt = false;
    if is_planted(Planted::AnswerBeforeEnd)
        && let Some(write) = state.write.clone()
        && let Change::End { status, error } = &write.change
    {
        answer(state, *status, error.clone(), write.at);
    }
    write_again(me, state);
}

pub(super) fn write_again(me: &ActorRef<SagaMsg>, state: &mut SagaState) {
    let Some(write) = state.write.clone() else { return };
    state.write_attempts += 1;
    state.saga.progress().waiting_for = WaitingFor::Log(write.change.name());
    let me = me.clone();
    state.world.write(
        write,
        Answer::new(move |report| {
            let _ = me.cast(SagaMsg::LogWritten(report));
        }),
    );
}

pub(super) fn log_written(
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
            written(me, state, &write)
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
fn written(me: &ActorRef<SagaMsg>, state: &mut SagaState, write: &LogWrite) -> Result<(), ActorProcessingErr> {
    state.saga.progress().waiting_for = WaitingFor::Nothing;
    let at = write.at;
    match &write.change {
        Change::Begin { ended: Some(error), .. } => end(me, state, Status::Compensated, Some(error.clone()), at),
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
        Change::End { status, error } => end(me, state, *status, error.clone(), at),
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
pub(super) fn give_up(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    told: StartAnswer,
) -> Result<(), ActorProcessingErr> {
    for waiter in state.waiters.drain(..).chain(state.leaving.drain(..)) {
        let _ = waiter.send(told.clone());
    }
    me.stop(None);
    Ok(())
}

pub(super) fn detach(state: &mut SagaState, waiter: Waiter) -> Result<(), ActorProcessingErr> {
    if state.saga.progress().log.is_begun() {
        let _ = waiter.send(StartAnswer::Accepted(state.saga.id));
        return Ok(());
    }
    state.leaving.push(waiter);
    apply(state, Event::BeginWanted)
}

#[cfg(test)]
mod tests;
