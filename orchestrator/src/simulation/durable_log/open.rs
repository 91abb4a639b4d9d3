//! Transactions whose connection went while they committed, and that commit later all the same. Until then they hold the
//! lock of their row: other writes of the saga wait for them, and claims pass it over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::saga::SagaId;

/// All of them: when each commits, in time of the run.
#[derive(Default)]
pub(in crate::simulation) struct OpenTransactions(BTreeMap<SagaId, Duration>);

impl OpenTransactions {
    pub(in crate::simulation) fn add(&mut self, id: SagaId, commits: Duration) {
        self.0.insert(id, commits);
    }

    pub(in crate::simulation) fn remove(&mut self, id: SagaId) {
        self.0.remove(&id);
    }

    /// Returns when the one on this row commits, if there is one.
    pub(in crate::simulation) fn on(&self, id: SagaId) -> Option<Duration> {
        self.0.get(&id).copied()
    }
}
