//! The failure settings of one service as `/debug/faults` shows and takes them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::OperationFaults;

/// The settings in force, `GET /debug/faults`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FaultsView {
    /// Goes into every coin.
    pub seed: u64,
    /// The operations of the service.
    #[serde(flatten)]
    pub operations: BTreeMap<String, OperationFaults>,
}

/// A change of the settings, `PUT /debug/faults`: what is left out stays. Only described here; it is read member by
/// member, so that every bad one is named.
#[derive(Clone, Debug, ToSchema)]
pub struct FaultsChange {
    /// Goes into every coin.
    #[schema(nullable = false, maximum = 9_223_372_036_854_775_807_i64)]
    pub seed: Option<u64>,
    /// Operations of the service.
    #[serde(flatten)]
    pub operations: BTreeMap<String, OperationFaultsChange>,
}

/// A change of what may go wrong with one operation. Rates are probabilities.
#[derive(Clone, Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationFaultsChange {
    /// The business refusal; a 503 where the operation has no right to refuse.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub failure_rate: Option<f64>,
    /// 503 before the work.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub unavailable_rate: Option<f64>,
    /// The work is done and its reply dropped.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub lost_reply_rate: Option<f64>,
    /// The connection is cut, with all that is in flight on it.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub cut_connection_rate: Option<f64>,
    /// The work is asked for twice.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub duplicate_rate: Option<f64>,
    /// Simulated latency.
    #[schema(nullable = false)]
    pub latency_ms: Option<LatencyChange>,
}

/// A change of a simulated latency, in milliseconds. The shortest must not exceed the longest.
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
