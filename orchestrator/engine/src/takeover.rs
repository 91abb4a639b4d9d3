//! The owners that a saga had. For display, and for the shown history of the steps; decisions use the epoch.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A change of a saga's owner, or of the actor that ran it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Takeover {
    /// The new owner.
    pub node: String,
    /// The epoch under which it owns the saga.
    pub epoch: i32,
    /// Time of the takeover, by the database's clock.
    #[serde(with = "foundation::time::rfc3339")]
    pub at: DateTime<Utc>,
    /// Time without an owner in milliseconds, from the end of the former owner's lease; null if not known.
    #[schema(required)]
    pub unowned_ms: Option<i64>,
}

/// How the last owner left a claimed saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBy {
    /// Asleep: no call was made since its last write to the log.
    Sleep,
    /// Running: calls may have been made that the log does not show.
    Loss,
}
