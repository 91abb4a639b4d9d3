//! How a saga came to its present owner. For people, and for what may be said of its history: decisions rest on the epoch.

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
    /// When, by the clock of the database.
    #[serde(with = "foundation::time::rfc3339")]
    pub at: DateTime<Utc>,
    /// How long the saga had no owner, from the end of the lease of the one before; null where that is not known.
    #[schema(required)]
    pub unowned_ms: Option<i64>,
}

/// How the last owner left a saga that is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBy {
    /// Asleep: nothing was done since its last write to the log.
    Sleep,
    /// In the middle of its work: calls may have been made that the log does not tell of.
    Loss,
}
