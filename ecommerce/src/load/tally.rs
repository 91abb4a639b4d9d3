//! Statistics of a run: counts, latencies, and a timeline. Pure: times are arguments.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::buyer::{Bought, Outcome};

/// Width of a slot of [`Tally::timeline`].
pub(super) const SLOT: Duration = Duration::from_millis(100);
/// Latencies are recorded in microseconds, up to an hour, with three significant digits.
const LONGEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// The outcomes, in display order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Completed,
    Compensated,
    Failed,
    Unknown,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Completed, Kind::Compensated, Kind::Failed, Kind::Unknown];

    /// Returns its display name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Completed => "COMPLETED",
            Kind::Compensated => "COMPENSATED",
            Kind::Failed => "FAILED",
            Kind::Unknown => "UNKNOWN",
        }
    }
}

/// The key of [`Tally::refused_by`] for purchases that were reverted without a refusal.
pub(super) const NOT_REFUSED: &str = "other";

/// All counts and latencies of a run.
pub(super) struct Tally {
    latencies: BTreeMap<Kind, Histogram<u64>>,
    /// Compensated purchases by refusing participant, or [`NOT_REFUSED`].
    pub(super) refused_by: BTreeMap<String, u64>,
    /// Purchases with an unknown end, by reason.
    pub(super) errors: BTreeMap<String, u64>,
    /// Purchases ended in each [`SLOT`] of time.
    pub(super) timeline: Vec<BTreeMap<Kind, u64>>,
    /// Retries because the server was busy, gave no answer or limited the rate.
    pub(super) asked_again: u64,
    /// Retries after a rate limit (429), included above.
    pub(super) limited: u64,
    /// Purchases answered 202.
    pub(super) followed: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latencies: Kind::ALL.into_iter().map(|kind| (kind, empty())).collect(),
            refused_by: BTreeMap::new(),
            errors: BTreeMap::new(),
            timeline: Vec::new(),
            asked_again: 0,
            limited: 0,
            followed: 0,
        }
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("the bounds are valid")
}

impl Tally {
    /// Adds a purchase that ended at this time of the run, with this latency.
    pub(super) fn add(&mut self, bought: Bought, ended_at: Duration, latency: Duration) {
        let kind = match bought.outcome {
            Outcome::Completed => Kind::Completed,
            Outcome::Compensated(refuser) => {
                *self.refused_by.entry(refuser.unwrap_or_else(|| NOT_REFUSED.to_owned())).or_default() += 1;
                Kind::Compensated
            }
            Outcome::Failed => Kind::Failed,
            Outcome::Unknown(why) => {
                *self.errors.entry(why).or_default() += 1;
                Kind::Unknown
            }
        };
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(histogram) = self.latencies.get_mut(&kind) {
            histogram.saturating_record(micros);
        }
        let slot = (ended_at.as_millis() / SLOT.as_millis()) as usize;
        if self.timeline.len() <= slot {
            self.timeline.resize_with(slot + 1, BTreeMap::new);
        }
        *self.timeline[slot].entry(kind).or_default() += 1;
        self.asked_again += u64::from(bought.asked_again);
        self.limited += u64::from(bought.limited);
        self.followed += u64::from(bought.was_followed);
    }

    /// Returns the number of purchases with this outcome.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.latencies[&kind].len()
    }

    /// Returns the number of all purchases.
    pub(super) fn total(&self) -> u64 {
        Kind::ALL.into_iter().map(|kind| self.count(kind)).sum()
    }

    pub(super) fn latencies(&self, kind: Kind) -> &Histogram<u64> {
        &self.latencies[&kind]
    }

    /// Returns the latencies of all outcomes in one histogram.
    pub(super) fn all_latencies(&self) -> Histogram<u64> {
        let mut all = empty();
        for histogram in self.latencies.values() {
            // Cannot fail: the bounds are equal.
            let _ = all.add(histogram);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(outcome: Outcome) -> Bought {
        Bought { outcome, asked_again: 2, limited: 1, was_followed: true }
    }

    #[test]
    fn each_purchase_is_counted_by_outcome_by_time_and_by_who_refused_it() {
        let mut tally = Tally::default();
        let ms = Duration::from_millis;
        tally.add(bought(Outcome::Completed), ms(250), ms(10));
        tally.add(bought(Outcome::Compensated(Some("payments".to_owned()))), ms(260), ms(30));
        tally.add(bought(Outcome::Compensated(None)), ms(99), ms(20));
        tally.add(bought(Outcome::Unknown("answered 500".to_owned())), ms(0), ms(1));
        assert_eq!(Kind::ALL.map(|kind| tally.count(kind)), [1, 2, 0, 1]);
        assert_eq!(tally.timeline.iter().map(|slot| slot.values().sum::<u64>()).collect::<Vec<_>>(), [2, 0, 2]);
        assert_eq!(tally.refused_by, BTreeMap::from([("other".to_owned(), 1), ("payments".to_owned(), 1)]));
        assert_eq!(tally.errors, BTreeMap::from([("answered 500".to_owned(), 1)]));
        assert_eq!((tally.asked_again, tally.limited, tally.followed, tally.total()), (8, 4, 4, 4));
        assert!((29_900..=30_100).contains(&tally.all_latencies().max()), "{}", tally.all_latencies().max());
    }
}
