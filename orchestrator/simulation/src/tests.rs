//! Tests of the simulator: a seed repeats its trace, the engine breaks no invariant, and mutations are found.

mod every_node;
mod graphs;
mod mutation;

use super::*;

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    let mut lines = 0;
    for seed in 0..20 {
        let plan = Plan { tracing: Tracing::On, ..Plan::default() };
        let [first, second] = [0, 1].map(|_| run(seed, &plan).unwrap().trace);
        lines += first.lines().count();
        assert_eq!(first, second, "seed {seed}");
    }
    assert!(lines > 1_000, "{lines} lines: the runs trace next to nothing");
}

/// A mix with far more faults: sagas with two owners and a further failure at the same time.
fn wild() -> Faults {
    Faults {
        crashes: 10,
        pauses: 10,
        twin_rate: 0.5,
        crash_at_write_rate: 0.15,
        pause_at_write_rate: 0.1,
        write_in_doubt_rate: 0.15,
        failed_write_rate: 0.1,
        cancel_rate: 0.5,
        key_rate: 0.6,
        participant_outages: 4,
        database_outages: 3,
        ..Faults::default()
    }
}

/// Regression: a process claimed a saga for which it already ran an actor of an older epoch, and the answer of that
/// look was lost. The older actor hid the row from the search for orphans, then stopped, and no search followed.
#[test]
fn a_saga_whose_older_actor_stops_is_not_forgotten() {
    // These seeds were found with a mix without these faults.
    let plan = Plan {
        faults: Faults { short_retention_rate: 0.0, slow_renewal_rate: 0.0, hold_rate: 0.0, ..wild() },
        ..Plan::default()
    };
    for seed in [899, 6142, 11_301, 14_102, 19_009, 23_751, 24_993, 34_251, 36_728, 52_082] {
        let report = run(seed, &plan).unwrap();
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
    }
}

#[test]
fn no_seed_of_the_wild_mix_breaks_an_invariant() {
    let plan = Plan { faults: wild(), ..Plan::default() };
    for seed in 0..150 {
        let report = run(seed, &plan).unwrap();
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
    }
}

/// Events too rare for 300 runs.
const RARE: [&str; 1] = ["runs with hundreds of sagas"];

#[test]
fn no_seed_breaks_an_invariant() {
    let mut sum = Tally::default();
    for seed in 0..300 {
        let report = run(seed, &Plan::default()).unwrap();
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
        sum += report.tally;
    }
    for (what, count) in sum.lines() {
        assert!(count > 0 || RARE.contains(&what), "never seen: {what}");
    }
}
