//! FAILED sagas: how long they sleep between two attempts at their undo, and how those that wait for a broken operation
//! are woken once it works again.
//!
//! ```text
//! client ─► a compensation is confirmed ─► Confirmations ─► waker, each second ─► wake_at = now, for some of those that
//!                                                                                 wait for this operation, at any node
//! ```
//! A saga that was woken and fails all the same has a fault of its own: it sleeps as long as its back-off says, and is not
//! woken before that again. Else every confirmation of others would have it ask once more.
//!
//! Where no saga is FAILED a look finds an empty index.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::group_commit::Ledger;
use common::supervision::{ActorCard, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{info, warn};

use crate::store::flags;
use crate::store::writer::SagaLogWriter;

/// The time between two looks: confirmations of a second are one statement.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a saga was marked FAILED, and why it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// How often.
    pub count: u32,
    /// What ended its last sleep.
    pub woken_by: WokenBy,
}

/// What ends the sleep of a FAILED saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WokenBy {
    /// Its time has come, or a person wants it.
    Time,
    /// The operation that it waited for was confirmed for another saga.
    Confirmation,
}

impl Marks {
    /// Those of a saga that never was FAILED.
    pub const NONE: Marks = Marks { count: 0, woken_by: WokenBy::Time };
}

/// The shortest and the longest sleep of a FAILED saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Sleep {
    /// Returns the sleep after mark number `marks` (1 is the first): it doubles with each, and half of it is jitter, so that
    /// what failed together does not come back together. Not shorter than the participant asked for, as far as that goes.
    /// `dice` is in `0.0..=1.0`.
    pub fn after(self, marks: u32, at_least: Duration, dice: f64) -> Duration {
        let doublings = marks.saturating_sub(1).min(20);
        let longest = self.min.saturating_mul(1 << doublings).min(self.max);
        longest.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0).max(self.min).max(at_least).min(self.max)
    }
}

/// The operations of which a compensation was confirmed since the waker last looked.
#[derive(Debug, Default)]
pub struct Confirmations(Mutex<BTreeSet<String>>);

impl Confirmations {
    /// Notes a confirmation.
    pub fn note(&self, operation: &str) {
        let mut operations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !operations.contains(operation) {
            operations.insert(operation.to_owned());
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// What the waker is made of.
#[derive(Clone)]
pub(crate) struct WakerArguments {
    pub(crate) card: Arc<ActorCard>,
    pub(crate) saga_log: Ledger<SagaLogWriter>,
    pub(crate) confirmations: Arc<Confirmations>,
    /// How many sagas an operation wakes in a second.
    pub(crate) wakes_per_second: u32,
}

struct Waker;

/// Makes the waker a child.
pub(crate) fn waker(arguments: WakerArguments) -> ChildSpec {
    child(arguments.card.clone(), Handle::new(), move || (Waker, arguments.clone()))
}

struct Look;

impl Actor for Waker {
    type Msg = Look;
    type State = WakerArguments;
    type Arguments = WakerArguments;

    async fn pre_start(
        &self,
        me: ActorRef<Look>,
        arguments: WakerArguments,
    ) -> Result<WakerArguments, ActorProcessingErr> {
        me.cast(Look)?;
        Ok(arguments)
    }

    async fn handle(&self, me: ActorRef<Look>, _: Look, state: &mut WakerArguments) -> Result<(), ActorProcessingErr> {
        state.card.handled();
        let operations = state.confirmations.take();
        if !operations.is_empty() {
            wake(state, operations).await;
        }
        me.send_after(LOOK_EVERY, || Look);
        Ok(())
    }
}

async fn wake(waker: &WakerArguments, operations: Vec<String>) {
    let (asked, most) = (operations.clone(), i64::from(waker.wakes_per_second));
    let woken = waker
        .saga_log
        .read(move |connection| Box::pin(async move { flags::wake_waiting(connection, &asked, most).await }));
    match woken.await {
        Ok(0) => {}
        Ok(sagas) => info!(sagas, ?operations, "operations work again: FAILED sagas that waited for them are woken"),
        Err(error) => {
            warn!(%error, "FAILED sagas cannot be woken now");
            operations.iter().for_each(|operation| waker.confirmations.note(operation));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_saga_sleeps_twice_as_long_with_each_mark_and_within_its_bounds() {
        let sleep = Sleep { min: Duration::from_secs(5), max: Duration::from_secs(300) };
        for (marks, at_least_s, dice, expected_s) in [
            (1, 0, 0.0, 5.0),
            (1, 0, 1.0, 5.0),
            (2, 0, 0.0, 5.0),
            (2, 0, 1.0, 10.0),
            (3, 0, 0.0, 10.0),
            (3, 0, 1.0, 20.0),
            (100, 0, 0.0, 150.0),
            (100, 0, 1.0, 300.0),
            (1, 60, 0.5, 60.0),
            (1, 3_600, 0.5, 300.0),
        ] {
            let slept = sleep.after(marks, Duration::from_secs(at_least_s), dice);
            assert_eq!(slept, Duration::from_secs_f64(expected_s), "{marks} {at_least_s} {dice}");
        }
    }

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
