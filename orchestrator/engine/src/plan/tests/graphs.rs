//! Generated graphs, run by the plan alone through random outcomes, interruptions and deaths of their owner: every
//! decision is legal, nothing comes too early, and there is always an end.

mod graph;
mod run;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use self::graph::{Graph, graphs};
use self::run::{Choices, Run};
use crate::Status;

/// The most random choices of a run; then everything succeeds.
const CHOICES: usize = 400;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() }
}

fn choices() -> impl Strategy<Value = Choices> {
    prop::collection::vec(any::<u8>(), 0..CHOICES).prop_map(Choices)
}

/// Runs a graph to its end, and checks it on the way.
fn run(graph: &Graph, choices: Choices) -> Run {
    let mut run = Run::new(graph, choices);
    run.run_to_the_end();
    run
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_each_decision_is_legal_and_the_end_is_true(graph in graphs(), choices in choices()) {
        run(&graph, choices);
    }

    #[test]
    fn the_awaited_writes_of_a_graph_without_trouble_grow_with_recorded_starts_only(graph in graphs()) {
        let run = run(&graph, Choices::default());
        prop_assert_eq!(run.ended(), Some(Status::Completed));
        let most = 2 + graph.recorded_starts();
        prop_assert!((2..=most).contains(&run.writes), "{} writes, at most {most}", run.writes);
    }
}

#[test]
fn the_runs_meet_what_they_are_meant_to_meet() {
    let mut runner = TestRunner::deterministic();
    let mut coverage = BTreeMap::<&str, usize>::new();
    for _ in 0..500 {
        let mut draw = || (graphs(), choices()).new_tree(&mut runner).unwrap().current();
        let (graph, choices) = draw();
        let run = run(&graph, choices);
        for (what, times) in [
            ("completed", usize::from(run.ended() == Some(Status::Completed))),
            ("compensated", usize::from(run.ended() == Some(Status::Compensated))),
            ("never in the log", usize::from(run.ended().is_none())),
            ("owners that go on forward", run.coverage.forward_owners),
            ("owners that undo", run.coverage.undoing_owners),
            ("owners that find a recorded start", run.coverage.owners_with_starts),
            ("owners of a saga marked FAILED", run.coverage.woken),
            ("calls in flight as the saga turned back", run.coverage.in_flight_at_turn),
            ("compensations in parallel", run.coverage.parallel_compensations),
            ("calls that wait for room", run.coverage.full),
        ] {
            *coverage.entry(what).or_default() += times;
        }
    }
    assert!(coverage.values().all(|times| *times >= 10), "{coverage:#?}");
}
