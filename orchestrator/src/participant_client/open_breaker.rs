//! The circuit breakers that are not closed, for people: the health check and the dashboard. Each client shows its own
//! as a part of its actor's state.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::supervision::ActorEntry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Member of a client's state with its open breakers.
pub(super) const MEMBER: &str = "open";

/// A circuit breaker that is not closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OpenBreaker {
    /// The operation, as `<participant>.<operation>`.
    pub(crate) operation: String,
    /// `open`, or `half-open` while a probe is in flight.
    #[schema(pattern = "^(open|half-open)$", example = "open")]
    pub(crate) state: String,
    /// Time from which the next call is sent as a probe.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    pub(crate) next_probe_at: Option<DateTime<Utc>>,
    /// Calls that were turned away since it opened.
    pub(crate) turned_away: u64,
}

/// Lists the breakers of these clients that are not closed.
pub(crate) fn open_breakers(clients: &[Arc<ActorEntry>]) -> Vec<OpenBreaker> {
    let of_client = |client: &Arc<ActorEntry>| match client.view().state[MEMBER].take() {
        Value::Null => Vec::new(),
        open => serde_json::from_value(open).expect("the clients write what is read here"),
    };
    clients.iter().flat_map(of_client).collect()
}
