//! One saga: an actor that does what [`plan::next`] decides, one thing at a time, and waits for nothing but its turn
//! inside a handler.
//!
//! ```text
//!            ┌──────────── advance ◄─────────────┐
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

use self::calls::{call_finished, compensate, retry_due, retry_now, run};
use self::writes::{begin, begin_soon, detach, give_up, log_written, write, write_again};
use crate::failed::{Marks, Sleep};
use crate::log::{Direction, Event};
use crate::outcome::{Cause, Outcome};
use crate::plan::{self, Decision, Patience};
use crate::record::{Change, IdempotencyKey, LogWrite, Mark, ValueRefused, WriteReport};
use crate::running::RunningSaga;
use crate::world::World;
use crate::{SagaId, Status};

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
    /// How long FAILED sagas sleep.
    pub failed: Sleep,
    /// How long after its id was made a saga may begin.
    pub begin_limit: Duration,
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
    /// When that was written, as its row holds it.
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
    /// It was in the log, and its row is gone.
    RowGone(SagaId),
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
        /// How often it was marked FAILED, and what ended its last sleep.
        marks: Marks,
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
    /// The time in which it may begin runs out: begin now, whatever the reads say later.
    BeginSoon,
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
    attention: Option<Mark>,
    /// What the log said of a text that it refused: from then on it is given none.
    refused: Option<ValueRefused>,
    write: Option<Arc<LogWrite>>,
    write_attempts: u32,
    write_was_in_doubt: bool,
    cancel_is_waiting: bool,
    awaited: Option<Attempt>,
    /// A retry whose time has come while a write was in flight.
    due_after_write: Option<Attempt>,
    tries: u32,
    marks: Marks,
}

impl Actor for SagaActor {
    type Msg = SagaMsg;
    type State = SagaState;
    type Arguments = SagaArguments;

    async fn pre_start(&self, _: ActorRef<SagaMsg>, args: SagaArguments) -> Result<SagaState, ActorProcessingErr> {
        let SagaArguments { saga, origin, world, policy } = args;
        let (key, waiters, remaining, cancel_is_waiting, marks) = match origin {
            Origin::New { key, waiter } => (key, vec![waiter], policy.deadline, false, Marks::NONE),
            Origin::Recovered { remaining, cancel_requested, marks } => {
                (None, Vec::new(), remaining, cancel_requested, marks)
            }
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
            refused: None,
            write: None,
            write_attempts: 0,
            write_was_in_doubt: false,
            cancel_is_waiting,
            awaited: None,
            due_after_write: None,
            tries: 0,
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
                    // Whoever was answered goes on first: this actor's end is nobody's business but ours.
                    yield_now().await;
                }
            }
            SagaMsg::RetryDue(attempt) => retry_due(&me, state, attempt)?,
            SagaMsg::WriteAgain => write_again(&me, state),
            SagaMsg::BeginSoon => begin_soon(state)?,
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
    if let Some(attempt) = state.due_after_write.take() {
        retry_due(me, state, attempt)?;
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
