//! Generated graphs.

use std::sync::Arc;

use proptest::prelude::*;

use crate::definition::tests::{READ, step, undone};
use crate::definition::{DEFAULT_MAX_PARALLEL, Definition, Effect, Refusal, Start, Step};

/// The most steps of a generated graph.
const MOST_STEPS: usize = 12;

/// A generated graph.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    steps: Vec<Node>,
    /// The order in which the steps are listed: indices of `steps`.
    listed: Vec<usize>,
    max_parallel: usize,
}

/// A step of a generated graph.
#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    /// Steps before it, as bits of their indices; larger indices are ignored.
    after: u16,
    is_recorded: bool,
    refusal: Refusal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Compensable,
    Uncompensated,
}

/// Generates graphs of 1 to 12 steps, listed in any order.
pub(super) fn graphs() -> impl Strategy<Value = Graph> {
    let kind = prop_oneof![2 => Just(Kind::Read), 5 => Just(Kind::Compensable), 1 => Just(Kind::Uncompensated)];
    let refusal = prop_oneof![4 => Just(Refusal::NoEffect), 1 => Just(Refusal::Compensated)];
    // Few bits are set, so that many steps have one or two predecessors.
    let after =
        (any::<u16>(), any::<u16>(), any::<bool>()).prop_map(|(a, b, all)| if all { a & b } else { a & b & 0x5555 });
    let node = (kind, after, any::<bool>(), refusal);
    let node = node.prop_map(|(kind, after, is_recorded, refusal)| Node { kind, after, is_recorded, refusal });
    let steps = prop::collection::vec(node, 1..=MOST_STEPS);
    (steps, 1..=DEFAULT_MAX_PARALLEL).prop_flat_map(|(steps, max_parallel)| {
        let listed = Just((0..steps.len()).collect::<Vec<_>>()).prop_shuffle();
        listed.prop_map(move |listed| Graph { steps: steps.clone(), listed, max_parallel })
    })
}

fn name(index: usize) -> String {
    format!("s{index}")
}

impl Graph {
    /// Returns the number of steps whose start must be in the log.
    pub(super) fn recorded_starts(&self) -> usize {
        self.steps.iter().filter(|step| step.is_recorded && step.kind == Kind::Compensable).count()
    }

    /// Returns the definition, without the edges to reads from steps with an effect.
    pub(super) fn definition(&self) -> Arc<Definition> {
        let step = |&index: &usize| {
            let node = &self.steps[index];
            let comes_after = |earlier: &usize| {
                node.after & (1 << earlier) != 0 && (node.kind != Kind::Read || self.steps[*earlier].kind == Kind::Read)
            };
            let after: Vec<String> = (0..index).filter(comes_after).map(name).collect();
            let effect = match node.kind {
                Kind::Read => READ,
                Kind::Compensable => undone(),
                Kind::Uncompensated => Effect::Uncompensated,
            };
            let start = if node.is_recorded { Start::Recorded } else { Start::Assumed };
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            Step { start, refusal: node.refusal, ..step(&name(index), effect).after(&after) }
        };
        let steps = self.listed.iter().map(step).collect();
        let mut definition =
            Definition::new("generated", 1, steps).expect("edges lead from earlier steps to later ones");
        definition.max_parallel = self.max_parallel;
        Arc::new(definition)
    }
}
