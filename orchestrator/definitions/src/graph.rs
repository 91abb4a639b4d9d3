//! The order of the steps.

/// The steps of a definition by index, each with those that come directly before it.
pub(crate) struct Graph {
    before: Vec<Vec<bool>>,
    cycle: Option<Vec<usize>>,
}

impl Graph {
    pub(crate) fn new(predecessors: &[Vec<usize>]) -> Graph {
        let before = (0..predecessors.len()).map(|step| reachable(step, predecessors)).collect();
        Graph { before, cycle: cycle(predecessors) }
    }

    /// Tells whether one step is done before another starts.
    pub(crate) fn is_before(&self, earlier: usize, later: usize) -> bool {
        self.before[later][earlier]
    }

    /// Returns steps that wait for each other, each for the next and the last for the first.
    pub(crate) fn cycle(&self) -> Option<&[usize]> {
        self.cycle.as_deref()
    }
}

fn reachable(step: usize, predecessors: &[Vec<usize>]) -> Vec<bool> {
    let mut is_before = vec![false; predecessors.len()];
    let mut open = predecessors[step].clone();
    while let Some(earlier) = open.pop() {
        if !std::mem::replace(&mut is_before[earlier], true) {
            open.extend(&predecessors[earlier]);
        }
    }
    is_before
}

/// Finds a cycle: follows, among the steps that wait for themselves, predecessors until one repeats.
fn cycle(predecessors: &[Vec<usize>]) -> Option<Vec<usize>> {
    let is_stuck = |step: usize| reachable(step, predecessors)[step];
    let mut step = (0..predecessors.len()).find(|step| is_stuck(*step))?;
    let mut way = Vec::new();
    loop {
        if let Some(at) = way.iter().position(|passed| *passed == step) {
            return Some(way.split_off(at));
        }
        way.push(step);
        step = predecessors[step].iter().copied().find(|earlier| is_stuck(*earlier))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diamond_has_an_order() {
        let graph = Graph::new(&[vec![], vec![0], vec![0], vec![1, 2]]);
        assert!(graph.is_before(0, 3) && graph.is_before(1, 3) && !graph.is_before(1, 2) && !graph.is_before(3, 0));
        assert_eq!(graph.cycle(), None);
    }

    #[test]
    fn steps_that_wait_for_each_other_are_found() {
        let graph = Graph::new(&[vec![], vec![0, 3], vec![1], vec![2], vec![3]]);
        assert_eq!(graph.cycle().map(<[usize]>::len), Some(3));
        assert_eq!(Graph::new(&[vec![0]]).cycle(), Some([0].as_slice()));
    }
}
