//! `GET /journal/{transaction_id}/`, on every participant.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What a participant has decided about a transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalView {
    /// Which transaction was asked for.
    pub transaction_id: String,
    /// Its decisions, oldest first; none where it has not heard of the transaction.
    pub entries: Vec<JournalEntry>,
}

/// A recorded decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalEntry {
    /// `charge`, `refund` …
    pub operation: String,
    /// The HTTP status that was, and will be, answered.
    pub status: i16,
    /// The body that was, and will be, answered.
    pub reply: Value,
    /// When it was decided.
    #[serde(with = "super::rfc3339")]
    pub decided_at: DateTime<Utc>,
    /// Whether a saga asked for it.
    pub from_saga: bool,
    /// The saga's step.
    #[schema(required)]
    pub step: Option<String>,
    /// The attempt that was the first to arrive.
    #[schema(required)]
    pub attempt: Option<i32>,
    /// The epoch of the saga's owner.
    #[schema(required)]
    pub epoch: Option<i32>,
    /// That the action never ran, and never will.
    pub tombstone: bool,
}
