//! A saga as read from its row in the saga log.

use std::time::Duration;

use chrono::{DateTime, Utc};
use foundation::secret::SecretHash;
use serde::Serialize;
use smol_str::SmolStr;
use thiserror::Error;
use utoipa::ToSchema;

use crate::definition::{Input, Outputs};
use crate::failed::Marks;
use crate::log::{Direction, StepView};
use crate::takeover::{LeftBy, Takeover};
use crate::{SagaId, Status};

/// A row with a value that this program cannot read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the row of saga {id} cannot be read: {reason}")]
pub struct UnreadableRow {
    /// The saga.
    pub id: SagaId,
    /// Its epoch.
    pub epoch: i32,
    /// The value that cannot be read.
    pub reason: String,
}

/// A saga, or the reason why its row cannot be read.
pub type ReadRow = Result<StoredSaga, UnreadableRow>;

/// How a person settled a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SagaResolution)]
pub struct Resolution {
    /// Time of the resolution.
    #[serde(with = "foundation::time::rfc3339")]
    pub at: DateTime<Utc>,
    /// The note for later readers.
    pub note: String,
    /// Name of the person, if it was given.
    #[schema(required)]
    pub by: Option<String>,
}

/// A saga as read from its row.
#[derive(Clone, Debug)]
pub struct StoredSaga {
    /// Id of the saga.
    pub id: SagaId,
    /// The name of its definition.
    pub definition: SmolStr,
    /// The version of its definition.
    pub definition_version: i32,
    /// Its input.
    pub input: Input,
    /// The hash of the client's secret for it, if it was started with one.
    pub secret: Option<SecretHash>,
    /// Outputs of the steps.
    pub outputs: Outputs,
    /// The steps whose start is in the row.
    pub started: Vec<SmolStr>,
    /// Its status.
    pub status: Status,
    /// Its direction.
    pub direction: Direction,
    /// Why it turned back, if it did.
    pub error: Option<String>,
    /// The steps, for display.
    pub timeline: Vec<StepView>,
    /// The owner's epoch.
    pub epoch: i32,
    /// Number of times its actor died since its last awaited write.
    pub deaths: i32,
    /// Whether a cancel was requested.
    pub cancel_requested: bool,
    /// Time left until its deadline, by the database's clock.
    pub remaining: Duration,
    /// Time of acceptance.
    pub created_at: DateTime<Utc>,
    /// Time of the end, if it has ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it is on the attention list, if it is.
    pub attention: Option<String>,
    /// How a person settled it, if one did.
    pub resolution: Option<Resolution>,
    /// Its takeovers, the newest last.
    pub takeovers: Vec<Takeover>,
    /// Number of times it was marked FAILED, and what ended its last sleep.
    pub marks: Marks,
    /// How its last owner left it; meaningful only in a claimed saga.
    pub left_by: LeftBy,
}

impl StoredSaga {
    /// Tells whether its client can be answered: it has ended or is FAILED.
    pub fn is_settled(&self) -> bool {
        self.ended_at.is_some() || self.status == Status::Failed
    }
}
