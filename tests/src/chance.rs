//! Bounds for tests of random behavior that a correct system practically never exceeds.

use std::ops::RangeInclusive;

/// Returns the range of hits in `trials` draws of the given probability. The count leaves the range on either
/// side with a probability below half of `risk`. The tails are summed exactly, not approximated.
///
/// # Panics
/// When the probability of zero hits is too small for an `f64`: above about 1,000 fair draws.
pub fn plausible_counts(trials: u32, probability: f64, risk: f64) -> RangeInclusive<u32> {
    let weights = binomial(trials, probability);
    let low = first_beyond(weights.iter().copied(), risk / 2.0);
    let high = trials - first_beyond(weights.iter().rev().copied(), risk / 2.0);
    low..=high
}

/// Returns the probabilities of 0, 1, … hits.
fn binomial(trials: u32, probability: f64) -> Vec<f64> {
    let none = (1.0 - probability).powf(f64::from(trials));
    assert!(none.is_normal(), "too many trials for this arithmetic");
    let odds = probability / (1.0 - probability);
    let mut weights = vec![none];
    for hits in 1..=trials {
        let one_more = f64::from(trials - hits + 1) / f64::from(hits) * odds;
        weights.push(weights[weights.len() - 1] * one_more);
    }
    weights
}

/// Returns the first index at which the cumulative weight, including it, exceeds the risk.
fn first_beyond(weights: impl Iterator<Item = f64>, risk: f64) -> u32 {
    let mut sum = 0.0;
    let mut place = 0;
    for weight in weights {
        sum += weight;
        if sum > risk {
            break;
        }
        place += 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probabilities_of_all_counts_add_up_to_one() {
        let weights = binomial(200, 0.125);
        let sum: f64 = weights.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert!((weights[1] / weights[0] - 200.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn the_bounds_hold_what_is_expected_and_nothing_absurd() {
        let counts = plausible_counts(200, 0.125, 1e-9);
        assert!(counts.contains(&25));
        assert!(!counts.contains(&0) && !counts.contains(&60), "{counts:?}");
        // A fair draw gives ten of ten hits once in 1,024 times.
        assert_eq!(plausible_counts(10, 0.5, 2.0 / 1_025.0), 0..=10);
        assert_eq!(plausible_counts(10, 0.5, 2.0 / 1_023.0), 1..=9);
    }
}
