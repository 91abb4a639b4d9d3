//! Mutations of a definition: the engine follows another graph than the one that the verdicts know.

use std::sync::Arc;

use saga_engine::definition::{Definition, MAX_STEPS, Start, Step};

use super::mutation::{Mutation, is_mutated};

/// Returns the definition that the engine follows.
pub(super) fn mutated(definition: &Arc<Definition>) -> Arc<Definition> {
    let change = |index: usize, step: &Step| {
        let before: Vec<&str> =
            definition.predecessors(index).iter().map(|at| definition.steps()[*at].name.as_str()).collect();
        match before.split_last() {
            Some((_, others)) if !others.is_empty() && is_mutated(Mutation::StepTooEarly) => step.clone().after(others),
            Some(_) | None if is_mutated(Mutation::StartNotRecorded) => Step { start: Start::Assumed, ..step.clone() },
            Some(_) | None => step.clone(),
        }
    };
    let is_changed = [Mutation::StepTooEarly, Mutation::StartNotRecorded, Mutation::MaxParallelIgnored];
    if !is_changed.into_iter().any(is_mutated) {
        return definition.clone();
    }
    let steps = definition.steps().iter().enumerate().map(|(index, step)| change(index, step)).collect();
    let mut changed = Definition::new(definition.name.clone(), definition.version, steps)
        .expect("a graph with fewer edges has no cycle");
    changed.max_parallel = if is_mutated(Mutation::MaxParallelIgnored) { MAX_STEPS } else { definition.max_parallel };
    Arc::new(changed)
}
