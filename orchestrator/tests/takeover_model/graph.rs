//! The order of the steps.

/// The most steps of a saga.
pub(crate) const MOST_STEPS: usize = 3;

/// The steps of the saga, all of them compensable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Graph {
    /// The steps before each step.
    pub(crate) before: &'static [&'static [usize]],
    /// The steps that their participant may refuse. After a refusal of a first step of a chain nothing is to be undone.
    pub(crate) refusing: &'static [usize],
    /// Failures per run: a process or an actor dies, or a lease expires.
    pub(crate) troubles: u8,
}

impl Graph {
    /// Two steps, one after the other. Two troubles are enough for an owner that is succeeded and then succeeds its
    /// successor.
    pub(crate) const CHAIN: Graph = Graph { before: &[&[], &[0]], refusing: &[1], troubles: 2 };

    /// Two steps beside each other, and one behind both. With one trouble there are two owners.
    pub(crate) const JOIN: Graph = Graph { before: &[&[], &[], &[0, 1]], refusing: &[1, 2], troubles: 1 };

    /// Returns the steps behind a step. In these graphs they come directly after it.
    pub(crate) fn behind(&self, step: usize) -> impl Iterator<Item = usize> {
        (0..self.before.len()).filter(move |later| self.before[*later].contains(&step))
    }
}
