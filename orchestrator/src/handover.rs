//! The handover: sagas that wait for an operation which fails from this node only are given to a node from which it works.
//!
//! ```text
//! clients ─► Outages ─┬─► lease: published with each renewal
//!                     └─► handover, each second: open for longer than a lease, and not listed by another live node?
//!                              └─► the rows get that node as their owner ─► the actors here stop
//! ```
//! A participant that fails for every node is listed by all of them, and no saga moves.

use std::sync::Arc;
use std::time::Duration;

use common::config::Settings;
use common::group_commit::BatchSender;
use common::supervision::{ActorEntry, ChildSpec, Handle, Periodic, every};
use tracing::{info, warn};

use crate::outages::Outages;
use crate::store::handover::{self, Waiting};
use crate::store::writer::SagaLogWriter;
use crate::waker::wakes_per_second;
use saga_engine::SagaId;
use saga_engine::coordinator::CoordinatorMsg;
use saga_engine::lease::LeaseState;
use saga_engine::owner::Owner;
use saga_engine::running::Running;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Handover {
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) owner: Arc<Owner>,
    pub(crate) lease: Arc<LeaseState>,
    pub(crate) lease_for: Duration,
    pub(crate) running: Arc<Running>,
    pub(crate) coordinator: Handle<CoordinatorMsg>,
    /// The participant's `breaker_wakes_per_second` is the maximum number of sagas that wait for one operation and are
    /// handed over per second.
    pub(crate) settings: Arc<Settings>,
}

pub(crate) fn handover(entry: Arc<ActorEntry>, handover: Handover) -> ChildSpec {
    every(entry, Duration::ZERO, handover)
}

impl Periodic for Handover {
    async fn run(&self) -> Duration {
        if self.lease.is_valid() {
            for operation in self.outages.lasting(self.lease_for) {
                hand_over(self, operation).await;
            }
        }
        LOOK_EVERY
    }
}

async fn hand_over(from: &Handover, operation: String) {
    let Handover { saga_log, outages, owner, lease_for, running, settings, .. } = from;
    let parked =
        outages.waiting_for(&operation, |saga| running.get(saga.id).is_some_and(|one| one.epoch == saga.epoch));
    let waiting = Waiting {
        owner: owner.as_ref().clone(),
        operation,
        lease: *lease_for,
        sagas: parked.iter().map(|saga| (saga.id, saga.epoch)).collect(),
    };
    let limit = i64::from(wakes_per_second(settings, &waiting.operation));
    let asked = waiting.clone();
    let found = saga_log
        .read_in_reserve(move |connection| Box::pin(async move { handover::find(connection, &asked, limit).await }));
    let found = match found.await {
        Ok(found) if found.is_empty() => return,
        Ok(found) => found,
        Err(error) => return warn!(%error, "the search for nodes that could continue parked sagas failed"),
    };
    // From now on their status is read from the log, where the new owner writes it.
    found.iter().for_each(|(id, _)| running.remove(*id));
    let ids: Vec<SagaId> = found.iter().map(|(id, _)| *id).collect();
    let operation = waiting.operation.clone();
    let waiting = Waiting { sagas: found, ..waiting };
    let given = saga_log
        .read_in_reserve(move |connection| Box::pin(async move { handover::hand_over(connection, &waiting).await }))
        .await;
    for id in &ids {
        let _ = from.coordinator.cast(CoordinatorMsg::Drop(*id));
    }
    match given {
        Ok(given) => {
            info!(
                sagas = given.len(),
                operation, "the operation fails from this node: sagas are handed over to others"
            );
            if given.len() < ids.len() {
                running.suspect_orphans();
            }
        }
        Err(error) => {
            // Recovery finds those that are still here.
            running.suspect_orphans();
            warn!(%error, operation, "it is not known whether parked sagas were handed over");
        }
    }
}
