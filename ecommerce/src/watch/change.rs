//! The contents of an event.

use serde::Deserialize;

use crate::ending::Failure;

/// An event; the kind of event determines which fields are present.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Change {
    pub(super) transaction_id: Option<String>,
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) ended: bool,
    pub(super) step: Option<String>,
    pub(super) participant: Option<String>,
    pub(super) state: Option<String>,
    pub(super) attempts: Option<u64>,
    pub(super) error: Option<String>,
    pub(super) at: Option<String>,
    pub(super) detail: Option<String>,
}

impl Change {
    /// Parses an event's data.
    pub(super) fn read(data: &str) -> Result<Self, Failure> {
        serde_json::from_str(data)
            .map_err(|_| Failure::Broken("an event is not about a saga: is --target an orchestrator?".to_owned()))
    }

    /// Returns the time of day in UTC, to the millisecond.
    pub(super) fn time(&self) -> &str {
        let at = self.at.as_deref().unwrap_or_default();
        at.split_once('T').map_or(at, |(_, time)| time).get(..12).unwrap_or("--:--:--.---")
    }
}
