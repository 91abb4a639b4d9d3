//! The failure settings as the configuration gives them: per service, per operation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest simulated latency, in milliseconds: far beyond every time-out, and still an end.
pub const MAX_LATENCY_MS: u64 = 600_000;

/// Failure settings of all services, section `[faults]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultSettings {
    /// Goes into every coin and every generator: another seed, other fates.
    pub seed: u64,
    /// Service → operation → faults.
    #[serde(flatten)]
    pub services: BTreeMap<String, BTreeMap<String, OperationFaults>>,
}

impl FaultSettings {
    /// Returns the operations of a service; none for a service without faults.
    pub fn of(&self, service: &str) -> BTreeMap<String, OperationFaults> {
        self.services.get(service).cloned().unwrap_or_default()
    }
}

/// What may go wrong with one operation. Rates are probabilities from 0 to 1. The default is no fault, no latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationFaults {
    /// The business refusal: tossed once per transaction, recorded, repeated.
    #[schema(minimum = 0, maximum = 1)]
    pub failure_rate: f64,
    /// 503 before the work.
    #[schema(minimum = 0, maximum = 1)]
    pub unavailable_rate: f64,
    /// The work is done and its reply dropped.
    #[schema(minimum = 0, maximum = 1)]
    pub lost_reply_rate: f64,
    /// The connection is cut, with all that is in flight on it.
    #[schema(minimum = 0, maximum = 1)]
    pub cut_connection_rate: f64,
    /// The work is asked for twice.
    #[schema(minimum = 0, maximum = 1)]
    pub duplicate_rate: f64,
    /// Simulated latency.
    pub latency_ms: LatencyRange,
}

/// Bounds of a simulated latency in milliseconds, both inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyRange {
    /// Shortest.
    pub min: u64,
    /// Longest.
    pub max: u64,
}
