//! The due time of each purchase.
//!
//! In a closed loop a purchase is due when a buyer is free. Such a loop slows down with the system: while the system
//! stalls, no purchase begins, and the purchases that would have waited are missing from the figures ("coordinated
//! omission"; Gil Tene, "How NOT to Measure Latency"). In an open loop purchases are due at fixed times, and latency
//! counts from the due time, even if no buyer was free then.

use std::time::Duration;

/// The schedule of the purchases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Each buyer makes the next purchase after the answer.
    Closed,
    /// A fixed number is due each second.
    Open {
        /// Purchases per second.
        rate: f64,
    },
}

impl Pace {
    /// Returns the due time of a purchase, from the start of the run; `None` means now.
    pub(super) fn due(self, number: u64) -> Option<Duration> {
        match self {
            Pace::Closed => None,
            Pace::Open { rate } => Some(Duration::from_secs_f64(number as f64 / rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_has_a_time_for_each_purchase_and_a_closed_one_has_none() {
        assert_eq!(Pace::Closed.due(7), None);
        let due = [0, 1, 50].map(|number| Pace::Open { rate: 50.0 }.due(number).unwrap().as_millis());
        assert_eq!(due, [0, 20, 1000]);
    }
}
