//! A saga as its row in the saga log holds it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::definition::{Input, Outputs};
use crate::failed::Marks;
use crate::log::{Direction, StepView};
use crate::takeover::{LeftBy, Takeover};
use crate::{SagaId, Status};

/// A row that holds a value which no version of this program writes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the row of saga {id} cannot be read: {reason}")]
pub struct UnreadableRow {
    /// The saga.
    pub id: SagaId,
    /// Its epoch.
    pub epoch: i32,
    /// What cannot be read.
    pub reason: String,
}

/// A saga, or why its row cannot be read.
pub type ReadRow = Result<StoredSaga, UnreadableRow>;

/// A saga as its row holds it.
#[derive(Clone, Debug)]
pub struct StoredSaga {
    /// Its id.
    pub id: SagaId,
    /// The name of its definition.
    pub definition: String,
    /// The version of its definition.
    pub definition_version: i32,
    /// Its input.
    pub input: Input,
    /// What the steps gave.
    pub outputs: Outputs,
    /// Its status.
    pub status: Status,
    /// Its direction.
    pub direction: Direction,
    /// Why it turned back.
    pub error: Option<String>,
    /// The steps as people see them.
    pub timeline: Vec<StepView>,
    /// The owner's epoch.
    pub epoch: i32,
    /// How often its own actor died since its last awaited write.
    pub deaths: i32,
    /// Whether a cancel was asked for.
    pub cancel_requested: bool,
    /// How much of its time is left, by the database's clock.
    pub remaining: Duration,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why a person should look, if one should.
    pub attention: Option<String>,
    /// How it came to other owners, the newest last.
    pub takeovers: Vec<Takeover>,
    /// How often it was marked FAILED, and what ended its last sleep.
    pub marks: Marks,
    /// How its last owner left it; known to claims only.
    pub left_by: LeftBy,
}

impl StoredSaga {
    /// Tells whether its client can be answered: it has ended, or it is FAILED.
    pub fn is_settled(&self) -> bool {
        self.ended_at.is_some() || self.status == Status::Failed
    }
}
