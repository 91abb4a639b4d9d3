//! `GET /debug/actors`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An actor and all below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// `stack/service/actor`, unique in its process.
    pub name: String,
    /// What it is: `supervisor`, `group commit`, `saga` …
    pub kind: String,
    /// `starting`, `running`, `restarting`, `stopped` or `failed`.
    #[schema(pattern = "^(starting|running|restarting|stopped|failed)$", example = "starting")]
    pub status: String,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it was started again the last time, or why it failed.
    #[schema(required)]
    pub last_restart_reason: Option<String>,
    /// When it was started the last time.
    #[serde(with = "super::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// Messages handled, over all restarts.
    pub messages_handled: u64,
    /// Messages that wait, where that is known.
    #[schema(required)]
    pub queue_depth: Option<usize>,
    /// Its own state in brief.
    pub state: Value,
    /// Its children.
    #[schema(no_recursion)]
    pub children: Vec<ActorView>,
}
