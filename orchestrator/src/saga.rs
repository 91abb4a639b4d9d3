//! The saga engine: one actor a purchase, steered by pure functions, made durable by the saga log.
//!
//! ```text
//!   front ── StartSaga ──► coordinator ── spawns ──► saga actor ── calls ──► participants
//!                              ▲                        │  ▲
//!                              └── SagaEnded ───────────┘  └── writes ──► saga log (group commit)
//! ```
//!
//! [`log`] and [`plan`] decide and know neither clock, I/O nor dice; [`actor`] and [`coordinator`] act.
//! What the engine runs is a [`definition`]; the one of this system is [`crate::checkout`].

pub mod actor;
pub mod coordinator;
pub mod definition;
pub mod failed;
pub mod lease;
pub mod log;
pub mod outcome;
pub mod plan;
pub mod recovery;
pub mod running;
pub mod stall;
pub mod takeover;
pub(crate) mod trace;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Names one saga, and is the `transaction_id` that clients and participants see. A UUID v7, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SagaId(pub Uuid);

impl SagaId {
    /// Returns when it was made, to the millisecond; `None` for a UUID of another version, which no saga has.
    pub fn made_at(self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = self.0.get_timestamp().filter(|_| self.0.get_version_num() == 7)?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }

    /// Returns the time by which it is decided, once and for all, whether the saga is in the log: `begin_limit` after its
    /// id was made. The clock is that of the log's database.
    pub fn decided_by(self, begin_limit: Duration) -> Option<DateTime<Utc>> {
        self.made_at()?.checked_add_signed(TimeDelta::from_std(begin_limit).ok()?)
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a client sees of a saga's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = SagaStatus)]
pub enum Status {
    /// Running forward.
    Pending,
    /// Turned back for good; its effects are being undone.
    Compensating,
    /// Every step is done.
    Completed,
    /// Every effect is confirmed undone, or there was none.
    Compensated,
    /// An undo could not be confirmed yet: a person should look. Still retried, unless it was resolved.
    Failed,
}

impl Status {
    /// All of them, in the order in which people read them.
    pub const ALL: [Status; 5] =
        [Status::Pending, Status::Compensating, Status::Completed, Status::Compensated, Status::Failed];

    /// Returns the name that the contract uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "PENDING",
            Status::Compensating => "COMPENSATING",
            Status::Completed => "COMPLETED",
            Status::Compensated => "COMPENSATED",
            Status::Failed => "FAILED",
        }
    }

    /// Reads the contract's name, in any case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
