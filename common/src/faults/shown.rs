//! The failure settings of one service as the bodies of `/debug/faults`.
//!
//! The types of the change only describe it: the module `change` reads it member by member, to name every invalid one.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::OperationFaults;

/// The settings in force, `GET /debug/faults`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FaultsView {
    /// Seed of all draws.
    pub seed: u64,
    /// The operations of the service.
    #[serde(flatten)]
    pub operations: BTreeMap<String, OperationFaults>,
}

/// A change of the settings, `PUT /debug/faults`: omitted members stay as they are.
#[derive(Clone, Debug, ToSchema)]
pub struct FaultsChange {
    /// Seed of all draws.
    #[schema(nullable = false, maximum = 9_223_372_036_854_775_807_i64)]
    pub seed: Option<u64>,
    /// Operations of the service.
    #[serde(flatten)]
    pub operations: BTreeMap<String, OperationFaultsChange>,
}

/// A change of the failure rates and latency of one operation. Rates are probabilities.
#[derive(Clone, Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationFaultsChange {
    /// Rate of business refusals; of 503 answers if the operation has no right to refuse.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub failure_rate: Option<f64>,
    /// Rate of 503 answers before the work.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub unavailable_rate: Option<f64>,
    /// Rate of replies dropped after the work is done.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub lost_reply_rate: Option<f64>,
    /// Rate of connections cut, with all requests in flight on them.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub cut_connection_rate: Option<f64>,
    /// Rate of requests whose work is requested twice.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub duplicate_rate: Option<f64>,
    /// Simulated latency.
    #[schema(nullable = false)]
    pub latency_ms: Option<LatencyChange>,
}

/// A change of a simulated latency, in milliseconds. The minimum must not exceed the maximum.
#[derive(Clone, Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyChange {
    /// Shortest.
    #[schema(nullable = false, maximum = 600_000)]
    pub min: Option<u64>,
    /// Longest.
    #[schema(nullable = false, maximum = 600_000)]
    pub max: Option<u64>,
}
