//! Sagas that are not purchases: chains, diamonds, fan-outs and graphs drawn from the seed, each step at a participant
//! of its own.

use crate::{Faults, Plan, Sagas, Tally, run};

/// Runs seeds, asserts that no invariant breaks, and returns what happened.
fn assert_holds(definition: Sagas, faults: Faults, seeds: std::ops::Range<u64>) -> Tally {
    let plan = Plan { definition, faults, ..Plan::default() };
    let mut sum = Tally::default();
    for seed in seeds {
        let report = run(seed, &plan).unwrap();
        assert!(report.violations.is_empty(), "{definition}, seed {seed}: {:#?}", report.violations);
        sum += report.tally;
    }
    assert!(sum.completed > 0 && sum.compensated > 0, "{definition}: {sum:?}");
    sum
}

#[test]
fn no_seed_of_any_graph_breaks_an_invariant() {
    for (definition, seeds) in [(Sagas::Chain, 40), (Sagas::Diamond, 40), (Sagas::FanOut, 30), (Sagas::Random, 120)] {
        assert_holds(definition, Faults::default(), 0..seeds);
    }
}

#[test]
fn participants_without_tombstones_are_served_as_far_as_that_is_possible() {
    assert_holds(Sagas::Status, without_tombstones(), 0..60);
}

/// A mix without the faults from which a participant without tombstones cannot protect itself.
pub(super) fn without_tombstones() -> Faults {
    Faults {
        // A request that arrives after its timeout, or twice.
        late_rate: 0.0,
        duplicate_rate: 0.0,
        // A 404 or 409 of something else.
        intermediary_rate: 0.0,
        // An owner that goes on after its successor began: it was stopped.
        pauses: 0,
        pause_at_write_rate: 0.0,
        ..Faults::default()
    }
}
