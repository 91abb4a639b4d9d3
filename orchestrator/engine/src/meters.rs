//! Metrics of the engine. Handles are created once: a lookup by labels costs more than the count.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::Status;
use crate::outcome::Cause;

/// Counter of sagas that this node started.
pub const STARTED: &str = "ecommerce_sagas_started_total";
/// Counter of sagas that this node recovered.
pub const RECOVERED: &str = "ecommerce_sagas_recovered_total";
/// Counter of sagas that ended on this node, by status.
pub const ENDED: &str = "ecommerce_sagas_ended_total";
/// Counter of sagas that ended COMPENSATED on this node, by reason.
pub const TURNED_BACK: &str = "ecommerce_sagas_turned_back_total";
/// Histogram of the age of sagas at their end in seconds, by status.
pub const SECONDS: &str = "ecommerce_saga_seconds";
/// Counter of sagas whose row was missing at a write.
pub const ROWS_GONE: &str = "ecommerce_saga_rows_gone_total";

const REFUSED: &str = "refused";
const UNKNOWN: &str = "unknown";
const DEADLINE: &str = "deadline";
const CANCELLED: &str = "cancelled";
/// An earlier owner turned the saga, and its row has the reason as a text.
const EARLIER_OWNER: &str = "earlier_owner";

/// Counts a saga whose row is missing.
pub fn row_is_gone() {
    counter!(ROWS_GONE).increment(1);
}

/// Counts a saga that ended COMPENSATED.
pub(crate) fn turned_back(cause: &Cause) {
    let reason = match cause {
        Cause::Refused(_) => REFUSED,
        Cause::Unknown(_) => UNKNOWN,
        Cause::DeadlinePassed => DEADLINE,
        Cause::Cancelled => CANCELLED,
        Cause::Recorded(_) => EARLIER_OWNER,
    };
    counter!(TURNED_BACK, "reason" => reason).increment(1);
}

/// The metrics of a coordinator.
pub struct SagaMeters {
    /// Sagas started.
    pub started: Counter,
    /// Sagas recovered.
    pub recovered: Counter,
    ended: HashMap<&'static str, (Counter, Histogram)>,
}

impl Default for SagaMeters {
    fn default() -> Self {
        // All statuses are registered at once: a series that starts with its first event hides that event from `rate`.
        let of = |status: Status| {
            let status = status.as_str();
            (status, (counter!(ENDED, "status" => status), histogram!(SECONDS, "status" => status)))
        };
        for reason in [REFUSED, UNKNOWN, DEADLINE, CANCELLED, EARLIER_OWNER] {
            counter!(TURNED_BACK, "reason" => reason).increment(0);
        }
        let ends = [Status::Completed, Status::Compensated, Status::Failed];
        Self { started: counter!(STARTED), recovered: counter!(RECOVERED), ended: ends.into_iter().map(of).collect() }
    }
}

impl SagaMeters {
    /// Counts the end of a saga of this age.
    pub fn ended(&self, status: Status, age: Duration) {
        if let Some((count, seconds)) = self.ended.get(status.as_str()) {
            count.increment(1);
            seconds.record(age);
        }
    }
}
