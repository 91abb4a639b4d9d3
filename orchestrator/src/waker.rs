//! The waker: FAILED sagas that wait for a broken operation are woken once a compensation by it is confirmed again.
//!
//! ```text
//! client ─► a compensation is confirmed ─► Confirmations ─► waker, each second ─► wake_at = now for some of the sagas
//!                                                                                 that wait for the operation, of any node
//! ```
//! Without FAILED sagas the statement reads an empty index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::config::Settings;
use common::group_commit::BatchSender;
use common::supervision::{ActorEntry, ChildSpec, Periodic, every};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::store::flags;
use crate::store::writer::SagaLogWriter;

/// Time between two wake-ups: one statement covers the confirmations of a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The operations of which a compensation was confirmed since the last look.
#[derive(Debug, Default)]
pub(crate) struct Confirmations(Mutex<BTreeSet<String>>);

impl Confirmations {
    pub(crate) fn note(&self, operation: &str) {
        let mut operations = self.0.lock();
        if !operations.contains(operation) {
            operations.insert(operation.to_owned());
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock()).into_iter().collect()
    }
}

pub(crate) struct Waker {
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) confirmations: Arc<Confirmations>,
    /// The participant's `breaker_wakes_per_second` is the maximum number of sagas that one operation wakes per second.
    pub(crate) settings: Arc<Settings>,
}

pub(crate) fn waker(entry: Arc<ActorEntry>, waker: Waker) -> ChildSpec {
    every(entry, Duration::ZERO, waker)
}

impl Periodic for Waker {
    async fn run(&self) -> Duration {
        let mut by_limit: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for operation in self.confirmations.take() {
            by_limit.entry(wakes_per_second(&self.settings, &operation)).or_default().push(operation);
        }
        for (most, operations) in by_limit {
            self.wake(operations, most).await;
        }
        LOOK_EVERY
    }
}

impl Waker {
    async fn wake(&self, operations: Vec<String>, most: u32) {
        let (asked, most) = (operations.clone(), i64::from(most));
        let woken = self
            .saga_log
            .read(move |connection| Box::pin(async move { flags::wake_waiting(connection, &asked, most).await }));
        match woken.await {
            Ok(0) => {}
            Ok(sagas) => {
                info!(sagas, ?operations, "operations work again: FAILED sagas that waited for them are woken")
            }
            Err(error) => {
                warn!(%error, "FAILED sagas cannot be woken now");
                operations.iter().for_each(|operation| self.confirmations.note(operation));
            }
        }
    }
}

/// Returns the number of sagas that an operation resumes each second once it works again.
pub(crate) fn wakes_per_second(settings: &Settings, operation: &str) -> u32 {
    let participant = operation.split_once('.').map_or(operation, |(participant, _)| participant);
    settings.calls_to(participant).breaker_wakes_per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_is_taken_once() {
        let confirmations = Confirmations::default();
        for operation in ["payments.refund", "purchases.cancel", "payments.refund"] {
            confirmations.note(operation);
        }
        assert_eq!(confirmations.take(), ["payments.refund", "purchases.cancel"]);
        assert_eq!(confirmations.take(), Vec::<String>::new());
    }
}
