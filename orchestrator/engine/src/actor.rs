//! The actor of one saga. It executes the decisions of [`plan::next`]; no handler awaits I/O.
//!
//! ```text
//!            ┌──────────── advance ◄─────────────┐
//!            ▼                                   │
//!   plan::next(log) ──► write ──► LogWritten ────┤
//!            │                                   │
//!            └────────► calls ──► CallFinished ──┤
//!                         ▲                      │
//!                         └── RetryDue ◄─ timer ─┘
//! ```
//!
//! Steps that do not wait for each other are called at once. Every wait of a saga that runs forward ends at its deadline
//! at the latest, so the deadline needs no timer. While a write to the log is in flight, the actor decides nothing else.
//! A saga that turns back waits for its calls in flight: their outcome shows what there is to undo.

mod calls;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::Instant;
use tracing::info;

use self::calls::{call_again, call_finished, compensate, mark_failed_if_stuck, retry_due, retry_now, run};
use self::writes::{begin, begin_soon, detach, give_up, log_written, write, write_again};
use crate::failed::{Marks, Sleep};
use crate::log::{Direction, Event};
use crate::outcome::{Cause, Outcome};
use crate::plan::{self, Decision, Patience};
use crate::record::{Change, IdempotencyKey, LogWrite, Mark, WriteReport};
use crate::running::RunningSaga;
use crate::world::World;
use crate::{SagaId, Status};

/// Retries, timeouts and deadlines of a saga.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Retries of actions.
    pub action: Patience,
    /// Back-off of compensations; their number of attempts has no limit.
    pub compensation: Patience,
    /// Timeout of one attempt.
    pub call_timeout: Duration,
    /// How long a saga may run forward before it turns back.
    pub deadline: Duration,
    /// Failed attempts at one compensation after which the saga is marked FAILED.
    pub attention_after_attempts: u32,
    /// How long undoing may take before the saga is marked FAILED.
    pub attention_after: Duration,
    /// Back-off of FAILED sagas.
    pub failed: Sleep,
    /// How long after its id was made a saga may still begin.
    pub begin_limit: Duration,
}

/// State of a saga when its client is answered: it has ended or is FAILED.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The saga.
    pub saga: Arc<RunningSaga>,
    /// The status in the log.
    pub status: Status,
    /// Why it did not complete.
    pub error: Option<String>,
    /// When the status was written, as the row holds it.
    pub at: DateTime<Utc>,
}

/// Answer to a request that starts a saga or waits for one.
#[derive(Clone, Debug)]
pub enum StartAnswer {
    /// It ended, or is FAILED and on the attention list.
    Settled(Standing),
    /// It is in the log and runs on.
    Accepted(SagaId),
    /// This other saga holds the idempotency key.
    KeyHeld(SagaId),
    /// It was not written and had no effect; the reason.
    NotStarted(String),
    /// Too many sagas are running; nothing was done.
    Overloaded,
    /// It may or may not be in the log.
    InDoubt(SagaId),
    /// This node does not run it: read the row.
    AskTheRow(SagaId),
    /// It was in the log, but its row no longer exists.
    RowGone(SagaId),
}

/// Receives a [`StartAnswer`].
pub type Waiter = oneshot::Sender<StartAnswer>;

/// Origin of an actor's saga.
pub enum Origin {
    /// A client started it.
    New {
        /// The client's idempotency key, if it sent one.
        key: Option<IdempotencyKey>,
        /// Receives the answer.
        waiter: Waiter,
    },
    /// It was claimed from the log.
    Recovered {
        /// Time left until its deadline.
        remaining: Duration,
        /// Whether a cancel was requested.
        cancel_requested: bool,
        /// Number of times it was marked FAILED, and what ended its last sleep.
        marks: Marks,
    },
}

/// Arguments of a saga actor.
pub struct SagaArguments {
    /// The saga's state, shared with readers.
    pub saga: Arc<RunningSaga>,
    /// New or recovered.
    pub origin: Origin,
    /// The engine's way out.
    pub world: Arc<dyn World>,
    /// Retries, timeouts and deadlines.
    pub policy: Policy,
}

/// A message to a saga actor.
pub enum SagaMsg {
    /// A call has an outcome (`None`: the participant's client died).
    CallFinished {
        /// The attempt.
        attempt: Attempt,
        /// Its outcome.
        outcome: Option<Outcome>,
    },
    /// A write to the log has a report (`None`: the log's writer died).
    LogWritten(Option<WriteReport>),
    /// The back-off of this attempt is over.
    RetryDue(Attempt),
    /// The back-off of the write is over.
    WriteAgain,
    /// The begin limit is near: begin now, before the reads have answered.
    BeginSoon,
    /// The client does not wait for the end: answer it once the saga is in the log.
    Detach(Waiter),
    /// The deadline passes while a call is in flight.
    DeadlinePassed,
    /// The row carries a cancel.
    CancelRequested,
    /// Another client waits for the end.
    Attach(Waiter),
    /// An operator requested a retry now.
    RetryNow,
    /// Another node owns the row now.
    Lost,
}

/// Identifies one attempt, to tell a late reply from the awaited one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    step: usize,
    direction: Direction,
    number: u32,
}

/// The actor of one saga.
pub struct SagaActor;

/// State of a saga actor. It can be lost at any time: the saga log is enough to go on.
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
    attention: Option<Mark>,
    texts: Texts,
    /// The write in flight, or to be repeated. Until its report the actor decides nothing else.
    write: Option<WriteInFlight>,
    cancel_is_waiting: bool,
    /// Whether the log has lost the saga: it is undone without a log.
    row_is_gone: bool,
    /// The call of each step, by index: its action, and later its compensation.
    calls: Vec<StepCall>,
    /// Unknown outcomes of all actions, for a definition that limits them.
    unknown_outcomes: u32,
    marks: Marks,
}

/// A write to the saga log whose report is awaited.
struct WriteInFlight {
    write: Arc<LogWrite>,
    /// Number of attempts at it.
    attempts: u32,
}

/// The call of one step.
#[derive(Debug, Default)]
struct StepCall {
    state: CallState,
    /// Failed attempts of this owner, since the last success.
    tries: u32,
}

/// State of a step's call.
#[derive(Debug, Default, PartialEq, Eq)]
enum CallState {
    /// There is none.
    #[default]
    Idle,
    /// It is sent.
    InFlight(Attempt),
    /// It failed, or its participant is down; it is repeated after a wait.
    BackingOff(Attempt),
    /// The wait is over: it is repeated once no write is in flight.
    Due(Attempt),
    /// It is not confirmed for too long: the saga is marked FAILED once no other call goes on.
    Stuck(Box<Stuck>),
}

/// A compensation that is not confirmed for too long.
#[derive(Debug, PartialEq, Eq)]
struct Stuck {
    attempt: Attempt,
    detail: String,
    /// Shortest sleep, as the participant asked for.
    at_least: Duration,
    /// The operation whose confirmation for another saga wakes the saga early.
    waits_for: Option<String>,
}

/// Whether writes carry texts from participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Texts {
    Carried,
    /// The log refused a value of a write, which can only be such a text.
    LeftOut,
}

impl Actor for SagaActor {
    type Msg = SagaMsg;
    type State = SagaState;
    type Arguments = SagaArguments;

    async fn pre_start(&self, _: ActorRef<SagaMsg>, args: SagaArguments) -> Result<SagaState, ActorProcessingErr> {
        let SagaArguments { saga, origin, world, policy } = args;
        let (key, waiters, remaining, cancel_is_waiting, marks) = match origin {
            Origin::New { key, waiter } => {
                (key, vec![waiter], saga.definition.deadline.unwrap_or(policy.deadline), false, Marks::NONE)
            }
            Origin::Recovered { remaining, cancel_requested, marks } => {
                (None, Vec::new(), remaining, cancel_requested, marks)
            }
        };
        let turned = saga.progress().log.direction() == Direction::Compensating;
        let calls = saga.definition.steps().iter().map(|_| StepCall::default()).collect();
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
            texts: Texts::Carried,
            write: None,
            cancel_is_waiting,
            row_is_gone: false,
            calls,
            unknown_outcomes: 0,
            marks,
        };
        Ok(state)
    }

    async fn post_start(&self, me: ActorRef<SagaMsg>, state: &mut SagaState) -> Result<(), ActorProcessingErr> {
        advance(&me, state)
    }

    async fn handle(
        &self,
        me: ActorRef<SagaMsg>,
        message: SagaMsg,
        state: &mut SagaState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SagaMsg::CallFinished { attempt, outcome } => call_finished(&me, state, attempt, outcome)?,
            SagaMsg::LogWritten(report) => {
                log_written(&me, state, report)?;
                if state.saga.progress().log.ended().is_some() {
                    // Yield, so the clients just answered run before this actor's shutdown.
                    yield_now().await;
                }
            }
            SagaMsg::RetryDue(attempt) => retry_due(state, attempt),
            SagaMsg::WriteAgain => write_again(&me, state),
            SagaMsg::BeginSoon => begin_soon(state)?,
            SagaMsg::Detach(waiter) => detach(state, waiter)?,
            // What is due by now follows below.
            SagaMsg::DeadlinePassed => {}
            SagaMsg::CancelRequested => state.cancel_is_waiting = true,
            SagaMsg::Attach(waiter) => state.waiters.push(waiter),
            SagaMsg::RetryNow => retry_now(state),
            SagaMsg::Lost => return give_up(&me, state, StartAnswer::AskTheRow(state.saga.id)),
        }
        advance(&me, state)
    }
}

/// Executes the decisions that are due, unless a write is in flight: its report comes first.
fn advance(me: &ActorRef<SagaMsg>, state: &mut SagaState) -> Result<(), ActorProcessingErr> {
    if state.write.is_some() {
        return Ok(());
    }
    interrupt_if_due(state)?;
    call_again(me, state)?;
    while execute_all(me, state)? == Executed::WithoutCall {}
    mark_failed_if_stuck(me, state);
    Ok(())
}

/// The result of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Executed {
    /// A write or a call is on its way.
    Sent,
    /// The step was settled without a call, so other decisions may be due.
    WithoutCall,
}

fn execute_all(me: &ActorRef<SagaMsg>, state: &mut SagaState) -> Result<Executed, ActorProcessingErr> {
    let decisions = plan::next(&state.saga.progress().log);
    for decision in decisions {
        if execute(me, state, decision)? == Executed::WithoutCall {
            return Ok(Executed::WithoutCall);
        }
    }
    Ok(Executed::Sent)
}

fn execute(me: &ActorRef<SagaMsg>, state: &mut SagaState, decision: Decision) -> Result<Executed, ActorProcessingErr> {
    let change = match decision {
        Decision::Run(step) => return run(me, state, step),
        Decision::Compensate(step) => return compensate(me, state, step),
        Decision::Begin => begin(state, None),
        Decision::WriteOutputs => Change::Outputs,
        Decision::TurnBack => {
            let cause = state.saga.progress().log.cause().map(ToString::to_string).unwrap_or_default();
            Change::TurnBack { cause }
        }
        Decision::End(status) => {
            let (begun, error) = {
                let progress = state.saga.progress();
                (progress.log.is_begun(), progress.log.cause().map(ToString::to_string))
            };
            if begun { Change::End { status, error } } else { begin(state, error) }
        }
    };
    write(me, state, change);
    Ok(Executed::Sent)
}

/// Turns the saga back if its deadline has passed or its row carries a cancel.
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
    apply(state, Event::Interrupted(cause))
}

/// Applies an event to the log. An illegal event means that this actor is broken: it is rebuilt from its row.
fn apply(state: &SagaState, event: Event) -> Result<(), ActorProcessingErr> {
    let at = state.world.now();
    Ok(state.saga.progress().apply(event, at)?)
}

#[cfg(test)]
mod tests;
