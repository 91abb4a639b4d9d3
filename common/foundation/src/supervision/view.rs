//! The state of an actor, as `/debug/actors` shows it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An actor and its descendants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// `stack/service/actor`, unique in its process.
    pub name: String,
    /// Kind of the actor: `supervisor`, `group commit`, `saga` …
    pub kind: String,
    /// `starting`, `running`, `restarting`, `stopped` or `failed`.
    #[schema(pattern = "^(starting|running|restarting|stopped|failed)$", example = "starting")]
    pub status: String,
    /// Number of restarts.
    pub restarts: u32,
    /// Reason of the last restart, or of the failure.
    #[schema(required)]
    pub last_restart_reason: Option<String>,
    /// Time of the last start.
    #[serde(with = "crate::time::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// Messages handled, over all restarts.
    pub messages_handled: u64,
    /// Messages in the queue, if known.
    #[schema(required)]
    pub queue_depth: Option<usize>,
    /// The actor's own state in brief.
    pub state: Value,
    /// The actor's children.
    #[schema(no_recursion)]
    pub children: Vec<ActorView>,
}
