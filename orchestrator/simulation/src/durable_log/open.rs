//! Transactions whose connection was lost during the commit, and that commit later. Until then they hold the lock of
//! their row: other writes of the saga wait, and claims skip the row.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use saga_engine::SagaId;

/// The open transaction of each row: its begin by the database's clock, and its commit in the run's time.
#[derive(Default)]
pub(crate) struct OpenTransactions(BTreeMap<SagaId, (DateTime<Utc>, Duration)>);

impl OpenTransactions {
    pub(crate) fn add(&mut self, id: SagaId, began: DateTime<Utc>, commits: Duration) {
        self.0.insert(id, (began, commits));
    }

    pub(crate) fn remove(&mut self, id: SagaId) {
        self.0.remove(&id);
    }

    /// Returns when the open transaction on this row commits, if there is one.
    pub(crate) fn on(&self, id: SagaId) -> Option<Duration> {
        self.0.get(&id).map(|(_, commits)| *commits)
    }

    /// Tells whether an open transaction began before `time`.
    pub(crate) fn any_before(&self, time: DateTime<Utc>) -> bool {
        self.0.values().any(|(began, _)| *began < time)
    }
}
