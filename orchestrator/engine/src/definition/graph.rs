//! The order of a definition's steps.

use smol_str::SmolStr;

use super::{DefinitionError, Step};

/// The steps before and behind each step. At most [`MAX_STEPS`](super::MAX_STEPS) steps fit into the bits of a `u128`.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) predecessors: Vec<Vec<usize>>,
    before: Vec<u128>,
    behind: Vec<u128>,
}

impl Graph {
    pub(super) fn of(definition: &SmolStr, steps: &[Step]) -> Result<Graph, DefinitionError> {
        let mut predecessors = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let Some(after) = &step.after else {
                predecessors.push(index.checked_sub(1).into_iter().collect());
                continue;
            };
            let find = |name: &SmolStr| {
                steps.iter().position(|step| step.name == *name).ok_or_else(|| DefinitionError::UnknownPredecessor {
                    definition: definition.clone(),
                    step: step.name.clone(),
                    predecessor: name.clone(),
                })
            };
            let mut indices = after.iter().map(find).collect::<Result<Vec<usize>, _>>()?;
            indices.sort_unstable();
            indices.dedup();
            predecessors.push(indices);
        }
        let mut before = vec![0_u128; steps.len()];
        let mut placed = 0_u128;
        // Each round places the steps whose predecessors are placed; a round that places none has met a cycle.
        while placed.count_ones() as usize != steps.len() {
            let ready: Vec<usize> = (0..steps.len())
                .filter(|&index| {
                    placed & bit(index) == 0 && predecessors[index].iter().all(|&earlier| placed & bit(earlier) != 0)
                })
                .collect();
            if ready.is_empty() {
                let waiting = (0..steps.len()).filter(|&index| placed & bit(index) == 0);
                let steps = waiting.map(|index| steps[index].name.clone()).collect();
                return Err(DefinitionError::Cycle { definition: definition.clone(), steps });
            }
            for index in ready {
                placed |= bit(index);
                before[index] = predecessors[index].iter().fold(0, |all, &at| all | bit(at) | before[at]);
            }
        }
        let behind = (0..steps.len())
            .map(|index| {
                (0..steps.len()).filter(|&other| before[other] & bit(index) != 0).fold(0, |all, at| all | bit(at))
            })
            .collect();
        Ok(Graph { predecessors, before, behind })
    }

    pub(super) fn before(&self, index: usize) -> impl Iterator<Item = usize> {
        bits(self.before[index])
    }

    pub(super) fn behind(&self, index: usize) -> impl Iterator<Item = usize> {
        bits(self.behind[index])
    }
}

fn bit(index: usize) -> u128 {
    1 << index
}

/// Returns the indices of the set bits, in ascending order.
fn bits(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(lowest)
    })
}
