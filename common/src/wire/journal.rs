//! The body of `GET /journal/{transaction_id}/`, on every participant.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A participant's decisions about a transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalView {
    /// The requested transaction.
    pub transaction_id: String,
    /// Its decisions, oldest first; empty for an unknown transaction.
    pub entries: Vec<JournalEntry>,
}

/// A recorded decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalEntry {
    /// `charge`, `refund` …
    pub operation: String,
    /// HTTP status of the first answer and all repetitions.
    pub status: i16,
    /// Body of the first answer and all repetitions.
    pub reply: Value,
    /// Time of the decision.
    #[serde(with = "super::rfc3339")]
    pub decided_at: DateTime<Utc>,
    /// Whether the request came from a saga.
    pub from_saga: bool,
    /// The saga's step.
    #[schema(required)]
    pub step: Option<String>,
    /// The first attempt that arrived.
    #[schema(required)]
    pub attempt: Option<i32>,
    /// The epoch of the saga's owner.
    #[schema(required)]
    pub epoch: Option<i32>,
    /// Whether this is a tombstone: the action never ran, and never will.
    pub tombstone: bool,
}
