//! When each purchase is due.
//!
//! In a closed loop that is whenever a buyer is free. Such a loop is polite: while the system stalls nobody buys, and the
//! purchases that would have waited are missing from the figures ("coordinated omission"; Gil Tene, "How NOT to Measure
//! Latency"). In an open loop purchases are due at fixed times, and latency counts from there, even where no buyer was
//! free to begin at that time.

use std::time::Duration;

/// How purchases follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Each buyer buys again once it is answered.
    Closed,
    /// So many are due each second.
    Open {
        /// Purchases a second.
        rate: f64,
    },
}

impl Pace {
    /// Returns when a purchase is due, from the beginning of the run; `None`: now.
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
