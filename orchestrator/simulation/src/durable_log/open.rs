//! Transactions whose connection went while they committed, and that commit later all the same. Until then they hold the
//! lock of their row: other writes of the saga wait for them, and claims pass it over.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use saga_engine::SagaId;

/// All of them: when each began, by the database's clock, and commits, in time of the run.
#[derive(Default)]
pub(crate) struct OpenTransactions(BTreeMap<SagaId, (DateTime<Utc>, Duration)>);

impl OpenTransactions {
    pub(crate) fn add(&mut self, id: SagaId, began: DateTime<Utc>, commits: Duration) {
        self.0.insert(id, (began, commits));
    }

    pub(crate) fn remove(&mut self, id: SagaId) {
        self.0.remove(&id);
    }

    /// Returns when the one on this row commits, if there is one.
    pub(crate) fn on(&self, id: SagaId) -> Option<Duration> {
        self.0.get(&id).map(|(_, commits)| *commits)
    }

    /// Tells whether one of them began before that.
    pub(crate) fn any_before(&self, time: DateTime<Utc>) -> bool {
        self.0.values().any(|(began, _)| *began < time)
    }
}
