//! The simulator, tried: it repeats itself, it finds nothing in the engine, and it finds what is planted.

mod every_node;
mod planted;

use super::*;

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in 0..20 {
        let plan = Plan { tracing: Tracing::On, ..Plan::default() };
        let [first, second] = [0, 1].map(|_| run(seed, &plan).unwrap().trace);
        assert!(first.lines().count() > 20, "seed {seed} traces next to nothing");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    let mut sum = Tally::default();
    for seed in 0..300 {
        let report = run(seed, &Plan::default()).unwrap();
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
        sum += report.tally;
    }
    for (what, count) in sum.lines() {
        assert!(count > 0, "never seen: {what}");
    }
}
