//! The failure settings of the configuration, per service and operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest simulated latency, in milliseconds: far longer than every timeout, yet finite.
pub const MAX_LATENCY_MS: u64 = 600_000;

/// Failure settings of all services, section `[faults]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultSettings {
    /// Whether the settings may be changed in production while the system runs.
    pub enabled: bool,
    /// Seed of all draws and generators: another seed gives other outcomes.
    pub seed: u64,
    /// Service → operation → faults.
    #[serde(flatten)]
    pub services: BTreeMap<String, BTreeMap<String, OperationFaults>>,
}

/// Whether failure settings may be changed while the system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultChanges {
    /// By operators, and by a changed file.
    Allowed,
    /// Not at all.
    Refused,
}

impl FaultSettings {
    /// Returns the operations of a service; none for a service without faults.
    pub fn of(&self, service: &str) -> BTreeMap<String, OperationFaults> {
        self.services.get(service).cloned().unwrap_or_default()
    }
}

/// Failure rates and latency of one operation. Rates are probabilities from 0 to 1. By default there are no faults and
/// no latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationFaults {
    /// Rate of business refusals: decided once per transaction, recorded, repeated.
    #[schema(minimum = 0, maximum = 1)]
    pub failure_rate: f64,
    /// Rate of 503 answers before the work.
    #[schema(minimum = 0, maximum = 1)]
    pub unavailable_rate: f64,
    /// Rate of replies dropped after the work is done.
    #[schema(minimum = 0, maximum = 1)]
    pub lost_reply_rate: f64,
    /// Rate of connections cut, with all requests in flight on them.
    #[schema(minimum = 0, maximum = 1)]
    pub cut_connection_rate: f64,
    /// Rate of requests whose work is requested twice.
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

/// The failure settings of one service that are in force.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InForce {
    pub(super) seed: u64,
    pub(super) operations: Arc<BTreeMap<String, OperationFaults>>,
}

impl InForce {
    pub(super) fn of(service: &str, settings: &FaultSettings) -> Self {
        Self { seed: settings.seed, operations: Arc::new(settings.of(service)) }
    }

    pub(super) fn of_operation(&self, operation: &str) -> OperationFaults {
        self.operations.get(operation).copied().unwrap_or_default()
    }
}
