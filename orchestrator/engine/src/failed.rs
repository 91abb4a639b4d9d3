//! Back-off of FAILED sagas between two attempts at a compensation.
//!
//! A FAILED saga sleeps, and a confirmation of the same operation for another saga wakes it early. If it then fails
//! again, the fault is its own: it sleeps its full back-off, and no confirmation wakes it. Otherwise every confirmation
//! would cause one more attempt.

use std::time::Duration;

/// Number of times a saga was marked FAILED, and what ended its last sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Number of times.
    pub count: u32,
    /// The event that ended its last sleep.
    pub woken_by: WokenBy,
}

/// The event that ends the sleep of a FAILED saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WokenBy {
    /// Its time to wake came, or an operator requested a retry.
    Time,
    /// The operation it waits for was confirmed for another saga.
    Confirmation,
}

impl Marks {
    /// Marks of a saga that was never FAILED.
    pub const NONE: Marks = Marks { count: 0, woken_by: WokenBy::Time };
}

/// The shortest and the longest sleep of a FAILED saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Sleep {
    /// Returns the sleep after mark number `marks` (1 is the first). It doubles with each mark, and half of it is
    /// jitter, so that sagas that failed together do not retry together. It is at least `at_least`, which the
    /// participant asked for, but at most `max`. `random` is in `0.0..=1.0`.
    pub fn after(self, marks: u32, at_least: Duration, random: f64) -> Duration {
        let doublings = marks.saturating_sub(1).min(20);
        let longest = self.min.saturating_mul(1 << doublings).min(self.max);
        longest.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0).max(self.min).max(at_least).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_saga_sleeps_twice_as_long_with_each_mark_and_within_its_bounds() {
        let sleep = Sleep { min: Duration::from_secs(5), max: Duration::from_secs(300) };
        for (marks, at_least_s, random, expected_s) in [
            (1, 0, 0.0, 5.0),
            (1, 0, 1.0, 5.0),
            (2, 0, 0.0, 5.0),
            (2, 0, 1.0, 10.0),
            (3, 0, 0.0, 10.0),
            (3, 0, 1.0, 20.0),
            (100, 0, 0.0, 150.0),
            (100, 0, 1.0, 300.0),
            (1, 60, 0.5, 60.0),
            (1, 3_600, 0.5, 300.0),
        ] {
            let slept = sleep.after(marks, Duration::from_secs(at_least_s), random);
            assert_eq!(slept, Duration::from_secs_f64(expected_s), "{marks} {at_least_s} {random}");
        }
    }
}
