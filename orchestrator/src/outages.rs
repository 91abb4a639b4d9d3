//! The operations that do not work from this node, and the sagas that are parked for them: the node publishes the
//! operations with its lease, and hands the sagas over to a node from which they work.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use saga_engine::SagaId;

/// Shared by the clients of all participants.
#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<BTreeMap<String, Outage>>);

/// An operation whose breaker is not closed.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// The parked sagas, each with the epoch of its call.
    parked: HashMap<SagaId, i32>,
}

/// A saga that this node may hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) id: SagaId,
    /// The epoch under which this node owns it.
    pub(crate) epoch: i32,
}

impl Outages {
    /// Records that the breaker of an operation is open, as before or from now on.
    pub(crate) fn opened(&self, operation: String, now: Instant) {
        self.0.lock().entry(operation).or_insert_with(|| Outage { since: now, parked: HashMap::new() });
    }

    /// Records that the breaker of an operation is closed.
    pub(crate) fn closed(&self, operation: &str) {
        self.0.lock().remove(operation);
    }

    /// Records that the breakers of all operations of a participant are closed.
    pub(crate) fn all_closed(&self, participant: &str) {
        self.0.lock().retain(|operation, _| operation.split_once('.').is_none_or(|(of, _)| of != participant));
    }

    /// Records that a saga is parked until the operation works again.
    pub(crate) fn parked(&self, operation: &str, saga: Parked) {
        if let Some(outage) = self.0.lock().get_mut(operation) {
            outage.parked.insert(saga.id, saga.epoch);
        }
    }

    /// Returns the operations whose breaker is not closed.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// Returns the operations whose breaker has been open for at least this time.
    pub(crate) fn lasting(&self, at_least: Duration) -> Vec<String> {
        let now = Instant::now();
        let lasts = |outage: &Outage| now.saturating_duration_since(outage.since) >= at_least;
        self.0.lock().iter().filter(|(_, outage)| lasts(outage)).map(|(operation, _)| operation.clone()).collect()
    }

    /// Returns the parked sagas of an operation that still run here, and forgets the others.
    pub(crate) fn waiting_for(&self, operation: &str, runs_here: impl Fn(Parked) -> bool) -> Vec<Parked> {
        let mut inner = self.0.lock();
        let Some(outage) = inner.get_mut(operation) else { return Vec::new() };
        outage.parked.retain(|id, epoch| runs_here(Parked { id: *id, epoch: *epoch }));
        outage.parked.iter().map(|(id, epoch)| Parked { id: *id, epoch: *epoch }).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn saga(number: u128) -> Parked {
        Parked { id: SagaId(Uuid::from_u128(number)), epoch: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_lasts_from_the_first_opening_to_the_closing() {
        let outages = Outages::default();
        let second = Duration::from_secs(1);
        for _ in 0..3 {
            outages.opened("payments.charge".to_owned(), Instant::now());
            tokio::time::advance(second).await;
        }
        outages.opened("payments.refund".to_owned(), Instant::now());
        assert_eq!(outages.operations(), ["payments.charge", "payments.refund"]);
        assert_eq!(outages.lasting(3 * second), ["payments.charge"]);
        assert_eq!(outages.lasting(4 * second), Vec::<String>::new());
        outages.closed("payments.charge");
        assert_eq!(outages.operations(), ["payments.refund"]);
    }

    #[tokio::test]
    async fn the_operations_of_one_participant_are_closed_together() {
        let outages = Outages::default();
        for operation in ["pay.a", "payments.charge", "payments.trip.a.undo"] {
            outages.opened(operation.to_owned(), Instant::now());
        }
        outages.all_closed("payments");
        assert_eq!(outages.operations(), ["pay.a"]);
    }

    #[tokio::test]
    async fn sagas_are_parked_until_the_breaker_closes_or_they_run_here_no_more() {
        let outages = Outages::default();
        outages.parked("payments.charge", saga(1));
        assert_eq!(outages.waiting_for("payments.charge", |_| true), [], "its breaker is closed");
        outages.opened("payments.charge".to_owned(), Instant::now());
        outages.parked("payments.charge", saga(1));
        outages.parked("payments.charge", saga(2));
        assert_eq!(outages.waiting_for("payments.charge", |one| one != saga(1)), [saga(2)]);
        assert_eq!(outages.waiting_for("payments.charge", |_| true), [saga(2)]);
        outages.closed("payments.charge");
        assert_eq!(outages.waiting_for("payments.charge", |_| true), []);
    }
}
