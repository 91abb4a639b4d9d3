//! The saga engine: one actor per saga, steered by pure functions, made durable by the saga log.
//!
//! ```text
//!   front ── StartSaga ──► coordinator ── spawns ──► saga actor ── calls ──► participants
//!                              ▲                        │  ▲
//!                              └── ActorTerminated ─────┘  └── writes ──► saga log (group commit)
//! ```
//!
//! [`log`] and [`plan`] are pure: no clock, no I/O, no randomness. [`actor`] and [`coordinator`] act.
//! The engine runs any [`definition`]; a saga's input is JSON that only the definition reads. Besides logs, metrics and
//! traces, its only way out is [`world::World`]: PostgreSQL and HTTP in production, memory in the simulator and in tests.
//!
//! # A saga of two steps, in memory
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use chrono::{DateTime, Utc};
//! use foundation::supervision::{ActorEntry, Backoff, Budget, Handle, SupervisorSpec, start};
//! use foundation::traces::Tracer;
//! use saga_engine::actor::{Policy, StartAnswer};
//! use saga_engine::coordinator::{CoordinatorArguments, CoordinatorMsg, StartSaga, coordinator};
//! use saga_engine::definition::{Context, Definition, Effect, Input, Method, Operation, Outputs, ReplyError, Request, Step};
//! use saga_engine::lease::{RenewRequest, Renewal};
//! use saga_engine::outcome::{Failure, Found, Outcome};
//! use saga_engine::record::{LogWrite, WriteReport};
//! use saga_engine::recovery::{ClaimRequest, Claimed};
//! use saga_engine::world::{Answer, Call, Purpose, World};
//! use saga_engine::{SagaId, Status, failed::Sleep, owner::Owner, plan::Patience};
//! use uuid::Uuid;
//!
//! /// Stores nothing, books every flight, and refuses every hotel.
//! struct InMemory;
//!
//! impl World for InMemory {
//!     fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
//!         answer.give(WriteReport::Durable { cancel_requested: false, at: write.at });
//!     }
//!     fn call(&self, call: Call, answer: Answer<Outcome>) {
//!         answer.give(match (&*call.step, call.purpose) {
//!             (_, Purpose::Compensation) => Outcome::Undone(Found::Done, Outputs::default()),
//!             ("hotel", _) => Outcome::Refused(Failure::refused(409, "hotels", "no room")),
//!             _ => Outcome::Done(Outputs::one("booking", "7")),
//!         });
//!     }
//!     fn claim(&self, _: ClaimRequest, _: Answer<Result<Claimed, String>>) {}
//!     fn renew(&self, _: RenewRequest, _: Answer<Result<Renewal, String>>) {}
//!     fn give_up_lease(&self, _: Arc<Owner>, _: Answer<Result<(), String>>) {}
//!     fn now(&self) -> DateTime<Utc> { Utc::now() }
//!     fn random(&self) -> f64 { 0.5 }
//!     fn new_saga_id(&self) -> SagaId { SagaId(Uuid::now_v7()) }
//!     fn new_nonce(&self) -> Uuid { Uuid::new_v4() }
//! }
//!
//! fn post(context: &Context) -> Request {
//!     Request::new(Method::Post, format!("/{}", context.saga_id), None)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let operation = |name| Operation::new(name, post, |_, _| Ok::<_, ReplyError>(Outputs::default()));
//! let step = |name, at| Step::new(name, at, operation("book"), Effect::Compensable(operation("cancel")));
//! // Both at once: without `after`, a step comes after the one above it.
//! let steps = vec![step("flight", "flights").after(&[]), step("hotel", "hotels").after(&[])];
//! let trip = Arc::new(Definition::new("trip", 1, steps)?);
//! let second = Duration::from_secs(1);
//! let patience = Patience { attempts: 3, backoff_min: second, backoff_max: second };
//! let policy = Policy {
//!     action: patience, compensation: patience, call_timeout: second, deadline: 30 * second, begin_limit: 10 * second,
//!     attention_after_attempts: 5, attention_after: 60 * second, failed: Sleep { min: second, max: 60 * second },
//! };
//! let handle = Handle::new();
//! let child = coordinator(handle.clone(), CoordinatorArguments {
//!     entry: ActorEntry::new("coordinator", "coordinator"), world: Arc::new(InMemory), policy, running: Arc::default(),
//!     known: Arc::new(vec![trip.clone()]), max_running: 1_000, tracer: Tracer::off(),
//! });
//! let budget = Budget { max_restarts: 3, within: 60 * second };
//! let backoff = Backoff { min: second, max: second };
//! let tree = SupervisorSpec { entry: ActorEntry::new("engine", "supervisor"), budget, backoff, children: vec![child] };
//! let tree = start(tree).await?;
//! let (waiter, answer) = tokio::sync::oneshot::channel();
//! let saga = StartSaga { id: InMemory.new_saga_id(), definition: trip, input: Input::default(), key: None, secret: None, waiter };
//! handle.cast(CoordinatorMsg::StartSaga(Box::new(saga)))?;
//! let StartAnswer::Settled(standing) = answer.await? else { panic!("it ends") };
//! assert_eq!((standing.status, standing.error.as_deref()), (Status::Compensated, Some("409: hotels conflict: no room")));
//! tree.stop(second).await;
//! # Ok(())
//! # }
//! ```

pub mod actor;
pub mod change;
pub mod clock;
pub mod coordinator;
pub mod definition;
pub mod failed;
pub mod hold;
pub mod lease;
pub mod log;
pub mod meters;
pub mod outcome;
pub mod owner;
pub mod plan;
pub mod record;
pub mod recovery;
pub mod running;
pub mod stall;
pub mod stored;
pub mod takeover;
pub mod trace;
pub mod unsent;
pub mod world;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Id of a saga: the `transaction_id` that clients and participants see. A UUID v7, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SagaId(pub Uuid);

impl SagaId {
    /// Returns when the id was made, to the millisecond; `None` for a UUID of another version, which no saga has.
    pub fn made_at(self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = self.0.get_timestamp().filter(|_| self.0.get_version_num() == 7)?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }

    /// Returns the time after which `begin` is no longer written: `begin_limit` after the id was made, by the clock of
    /// the log's database. From then on a saga without a row never begins.
    pub fn decided_by(self, begin_limit: Duration) -> Option<DateTime<Utc>> {
        self.made_at()?.checked_add_signed(TimeDelta::from_std(begin_limit).ok()?)
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Status of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = SagaStatus)]
pub enum Status {
    /// Running forward.
    Pending,
    /// Turned back; the effects of its steps are being undone.
    Compensating,
    /// Every step is done.
    Completed,
    /// Every undo is confirmed, or there was nothing to undo.
    Compensated,
    /// An undo is not confirmed yet: a person should look. It is retried until an operator resolves the saga.
    Failed,
}

impl Status {
    /// All statuses, in display order.
    pub const ALL: [Status; 5] =
        [Status::Pending, Status::Compensating, Status::Completed, Status::Compensated, Status::Failed];

    /// Returns the name in the API: `PENDING` …
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "PENDING",
            Status::Compensating => "COMPENSATING",
            Status::Completed => "COMPLETED",
            Status::Compensated => "COMPENSATED",
            Status::Failed => "FAILED",
        }
    }

    /// Parses the name in the API, ignoring case; `None` for any other text.
    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
