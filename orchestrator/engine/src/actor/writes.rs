//! Writes of a saga to the saga log. A write is repeated until its result is known; state is shown and clients are
//! answered only once it is durable.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ractor::{ActorProcessingErr, ActorRef};
use smol_str::SmolStr;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::calls::try_again_without_row;
use super::{SagaMsg, SagaState, Standing, StartAnswer, Texts, Waiter, WriteInFlight, apply};
use crate::Status;
use crate::change::StateChange;
use crate::log::{Event, OutputsInLog, SagaLog};
use crate::meters;
use crate::plan;
use crate::record::{Batching, Change, LogWrite, Mark, NewSaga, Until, ValueRefused, WriteReport};
use crate::running::WaitingFor;
use crate::world::Answer;

/// Written in place of a text that the log refused.
const REFUSED_TEXT: &str = "text refused by the saga log";

pub(super) fn begin(state: &mut SagaState, ended: Option<String>) -> Change {
    let saga = NewSaga {
        definition: state.saga.definition.name.clone(),
        definition_version: state.saga.definition.version,
        input: state.saga.input.clone(),
        key: state.key.clone(),
        secret: state.saga.secret,
        nonce: state.nonce,
        deadline: state.deadline.saturating_duration_since(Instant::now()),
        age: state.saga.accepted.elapsed(),
        // Only an id of another UUID version holds no time, and no node makes one.
        decided_by: state.saga.id.decided_by(state.policy.begin_limit).unwrap_or_else(|| state.world.now()),
    };
    Change::Begin { saga: Box::new(saga), ended }
}

pub(super) fn write(me: &ActorRef<SagaMsg>, state: &mut SagaState, change: Change) {
    let write = {
        let progress = &mut *state.saga.progress();
        let at = state.world.now();
        // Chosen once, for every attempt at this write: if the first attempt came through, listeners get what that
        // attempt carried, and a change added to a repeat would count as sent without having been sent.
        let changes = progress.unsent.ride(&change, &progress.log, at);
        LogWrite {
            saga_id: state.saga.id,
            epoch: state.saga.epoch,
            change,
            outputs: progress.log.outputs_for_the_row(),
            started: plan::started(&progress.log),
            timeline: progress.log.timeline(),
            attention: state.attention.clone(),
            at,
            changes,
            begin_told: progress.unsent.begin_told(),
            batching: Batching::Any,
            was_in_doubt: false,
        }
    };
    let write = match state.texts {
        Texts::Carried => write,
        Texts::LeftOut => without_texts(write),
    };
    state.write = Some(WriteInFlight { write: Arc::new(write), attempts: 0 });
    write_again(me, state);
}

pub(super) fn write_again(me: &ActorRef<SagaMsg>, state: &mut SagaState) {
    let Some(in_flight) = &mut state.write else { return };
    in_flight.attempts += 1;
    let write = in_flight.write.clone();
    if state.row_is_gone {
        let report = WriteReport::Durable { cancel_requested: false, at: state.world.now() };
        let _ = me.cast(SagaMsg::LogWritten(Some(report)));
        return;
    }
    state.saga.progress().waiting_for.write = Some(WaitingFor::Log(write.change.name()));
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
    let Some(WriteInFlight { write, .. }) = &state.write else { return Ok(()) };
    let write = write.clone();
    // A begin that is known not to be in the log may be given up; any other write is repeated until its result is known.
    let is_new_begin = matches!(write.change, Change::Begin { .. }) && !write.was_in_doubt;
    let report = report.unwrap_or_else(|| WriteReport::InDoubt("the saga log's writer died".to_owned()));
    match report {
        WriteReport::Durable { cancel_requested, at } => {
            state.write = None;
            state.saga.progress().unsent.landed(&write.changes);
            state.cancel_is_waiting |= cancel_requested;
            written(me, state, &write, at)
        }
        WriteReport::CancelRequested => {
            state.write = None;
            {
                let mut progress = state.saga.progress();
                progress.waiting_for.write = None;
                progress.unsent.stayed();
            }
            state.cancel_is_waiting = true;
            Ok(())
        }
        WriteReport::NotWritten(reason) if is_new_begin => give_up(me, state, StartAnswer::NotStarted(reason)),
        WriteReport::NotWritten(reason) | WriteReport::InDoubt(reason) => {
            write_later(me, state, &reason);
            Ok(())
        }
        WriteReport::Rejected(refused) if is_new_begin => {
            error!(saga.id = %state.saga.id, %refused, "the saga log refuses a value of a new saga");
            give_up(me, state, StartAnswer::NotStarted(refused.to_string()))
        }
        WriteReport::Rejected(refused) => rejected(me, state, &write, refused),
        // This attempt was not admitted, but an earlier attempt at the same begin may have been written.
        WriteReport::NotAdmitted if write.was_in_doubt => give_up(me, state, StartAnswer::InDoubt(state.saga.id)),
        WriteReport::NotAdmitted => {
            let reason = "this node's lease is not live, or the saga took too long to begin";
            give_up(me, state, StartAnswer::NotStarted(reason.to_owned()))
        }
        WriteReport::KeyHeld(holder) => give_up(me, state, StartAnswer::KeyHeld(holder)),
        WriteReport::RowGone => {
            error!(
                saga.id = %state.saga.id,
                write = write.change.name(),
                "the row of a saga that has begun is missing: its effects are undone"
            );
            meters::row_is_gone();
            undo_without_row(me, state);
            Ok(())
        }
        WriteReport::Lost | WriteReport::EndedOtherwise => {
            debug!(saga.id = %state.saga.id, "another owner has this saga now");
            give_up(me, state, StartAnswer::AskTheRow(state.saga.id))
        }
    }
}

/// Undoes the effects of a saga that the log has lost: left alone, they would have no saga. From here on nothing is
/// written, and a compensation is tried until it is confirmed or this process ends.
fn undo_without_row(me: &ActorRef<SagaMsg>, state: &mut SagaState) {
    state.row_is_gone = true;
    state.write = None;
    state.saga.progress().waiting_for.write = None;
    state.cancel_is_waiting = true;
    state.turned_at.get_or_insert_with(Instant::now);
    tell_all(state, &StartAnswer::RowGone(state.saga.id));
    try_again_without_row(me, state);
}

fn write_later(me: &ActorRef<SagaMsg>, state: &mut SagaState, reason: &str) {
    let Some(in_flight) = &mut state.write else { return };
    // After the first failed attempt only the row shows whether the write took place.
    Arc::make_mut(&mut in_flight.write).was_in_doubt = true;
    let wait = plan::backoff(state.policy.compensation, in_flight.attempts, state.world.random());
    warn!(saga.id = %state.saga.id, reason, ?wait, "write to the saga log not confirmed, trying again");
    me.send_after(wait, || SagaMsg::WriteAgain);
}

/// Handles a value that the log refuses and would refuse every time. Only texts from participants can be the reason, so
/// the write is repeated once without them, alone, so that it fails no other saga's write. If that is refused too, the
/// actor fails, and the saga is claimed again later.
fn rejected(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    write: &LogWrite,
    refused: ValueRefused,
) -> Result<(), ActorProcessingErr> {
    error!(saga.id = %state.saga.id, write = write.change.name(), %refused, "the saga log refuses a value");
    if state.texts == Texts::LeftOut {
        return Err(format!("value refused by the log: {refused}").into());
    }
    let mark = Mark::until_resolved(format!("value refused by the log: {}", refused.code));
    state.attention = Some(mark.clone());
    state.texts = Texts::LeftOut;
    let again = LogWrite { attention: Some(mark), batching: Batching::None, ..without_texts(write.clone()) };
    if let Some(in_flight) = &mut state.write {
        in_flight.write = Arc::new(again);
    }
    write_again(me, state);
    Ok(())
}

/// Replaces the texts from participants by [`REFUSED_TEXT`].
fn without_texts(mut write: LogWrite) -> LogWrite {
    let replace = |text: &mut Option<String>| *text = text.take().map(|_| REFUSED_TEXT.to_owned());
    match &mut write.change {
        Change::TurnBack { cause } => *cause = REFUSED_TEXT.to_owned(),
        Change::End { error, .. } | Change::Begin { ended: error, .. } => replace(error),
        Change::Outputs | Change::MarkFailed { .. } => {}
    }
    for step in &mut write.timeline {
        replace(&mut step.error);
        if let Some(undo) = &mut step.compensation {
            replace(&mut undo.error);
        }
    }
    for change in &mut write.changes {
        let (StateChange::Saga { error, .. } | StateChange::Step { error, .. }) = change;
        replace(error);
    }
    if let Some(mark) = write.attention.as_mut().filter(|mark| mark.until == Until::End) {
        mark.reason = REFUSED_TEXT.to_owned();
    }
    write
}

/// Applies a durable write to the log in memory. `at` is the time of the write in its row.
fn written(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    write: &LogWrite,
    at: DateTime<Utc>,
) -> Result<(), ActorProcessingErr> {
    state.saga.progress().waiting_for.write = None;
    match &write.change {
        Change::Begin { ended: Some(error), .. } => end(me, state, Status::Compensated, Some(error.clone()), at),
        Change::Begin { ended: None, .. } => {
            let outputs = begun_with(&state.saga.progress().log);
            state.saga.begun(at);
            apply(state, Event::Begun { outputs })?;
            starts_written(state, write)?;
            let id = state.saga.id;
            for waiter in state.leaving.drain(..) {
                let _ = waiter.send(StartAnswer::Accepted(id));
            }
            Ok(())
        }
        Change::Outputs => {
            apply(state, Event::OutputsWritten)?;
            starts_written(state, write)
        }
        Change::TurnBack { .. } => {
            state.turned_at = Some(Instant::now());
            apply(state, Event::TurnedBack)
        }
        Change::MarkFailed { .. } => {
            apply(state, Event::MarkedFailed)?;
            let error = state.saga.progress().log.cause().map(ToString::to_string);
            answer(state, Status::Failed, error, at);
            // A sleeping saga has no actor; recovery wakes it.
            me.stop(None);
            Ok(())
        }
        Change::End { status, error } => end(me, state, *status, error.clone(), at),
    }
}

fn starts_written(state: &SagaState, write: &LogWrite) -> Result<(), ActorProcessingErr> {
    if write.started.is_empty() {
        return Ok(());
    }
    let steps = state.saga.definition.steps();
    let index = |name: &SmolStr| steps.iter().position(|step| step.name == *name);
    apply(state, Event::StartsWritten(write.started.iter().filter_map(index).collect()))
}

fn begun_with(log: &SagaLog) -> OutputsInLog {
    // The reads may have answered while `begin` was being written; only the outputs that it carried count.
    if log.reads_are_done() && !log.begin_is_wanted() { OutputsInLog::Complete } else { OutputsInLog::Missing }
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
    if status == Status::Compensated
        && let Some(cause) = state.saga.progress().log.cause()
    {
        meters::turned_back(cause);
    }
    answer(state, status, error, at);
    me.stop(None);
    Ok(())
}

fn answer(state: &mut SagaState, status: Status, error: Option<String>, at: DateTime<Utc>) {
    let standing = Standing { saga: state.saga.clone(), status, error, at };
    let told = if state.row_is_gone { StartAnswer::RowGone(state.saga.id) } else { StartAnswer::Settled(standing) };
    tell_all(state, &told);
}

fn tell_all(state: &mut SagaState, told: &StartAnswer) {
    for waiter in state.waiters.drain(..).chain(state.leaving.drain(..)) {
        let _ = waiter.send(told.clone());
    }
}

/// Answers the waiting clients and stops without another write.
pub(super) fn give_up(
    me: &ActorRef<SagaMsg>,
    state: &mut SagaState,
    told: StartAnswer,
) -> Result<(), ActorProcessingErr> {
    tell_all(state, &told);
    me.stop(None);
    Ok(())
}

/// Makes the saga begin before its reads have answered, unless it has begun.
pub(super) fn begin_soon(state: &mut SagaState) -> Result<(), ActorProcessingErr> {
    // As long as the begin is not known to be durable, a write in flight is the begin.
    let is_due = state.write.is_none() && !state.saga.progress().log.is_begun();
    if is_due { apply(state, Event::BeginWanted) } else { Ok(()) }
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
