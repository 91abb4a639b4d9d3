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

use common::group_commit::BatchSender;
use common::supervision::{ActorEntry, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{info, warn};

use crate::participant_client::Outages;
use crate::store::handover::{self, Waiting};
use crate::store::writer::SagaLogWriter;
use saga_engine::SagaId;
use saga_engine::coordinator::CoordinatorMsg;
use saga_engine::lease::LeaseState;
use saga_engine::owner::Owner;
use saga_engine::running::Running;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct HandoverArguments {
    pub(crate) entry: Arc<ActorEntry>,
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) owner: Arc<Owner>,
    pub(crate) lease: Arc<LeaseState>,
    pub(crate) lease_for: Duration,
    pub(crate) running: Arc<Running>,
    pub(crate) coordinator: Handle<CoordinatorMsg>,
    /// Maximum number of sagas that wait for one operation and are handed over per second.
    pub(crate) per_second: u32,
}

struct Handover;

pub(crate) fn handover(arguments: HandoverArguments) -> ChildSpec {
    child(arguments.entry.clone(), Handle::new(), move || (Handover, arguments.clone()))
}

struct Look;

impl Actor for Handover {
    type Msg = Look;
    type State = HandoverArguments;
    type Arguments = HandoverArguments;

    async fn pre_start(
        &self,
        me: ActorRef<Look>,
        arguments: HandoverArguments,
    ) -> Result<HandoverArguments, ActorProcessingErr> {
        me.cast(Look)?;
        Ok(arguments)
    }

    async fn handle(
        &self,
        me: ActorRef<Look>,
        _: Look,
        state: &mut HandoverArguments,
    ) -> Result<(), ActorProcessingErr> {
        state.entry.handled();
        if state.lease.is_valid() {
            for operation in state.outages.lasting(state.lease_for) {
                hand_over(state, operation).await;
            }
        }
        me.send_after(LOOK_EVERY, || Look);
        Ok(())
    }
}

async fn hand_over(arguments: &HandoverArguments, operation: String) {
    let HandoverArguments { saga_log, outages, owner, lease_for, running, per_second, .. } = arguments;
    let parked =
        outages.waiting_for(&operation, |saga| running.get(saga.id).is_some_and(|one| one.epoch == saga.epoch));
    let waiting = Waiting {
        owner: owner.as_ref().clone(),
        operation,
        lease: *lease_for,
        sagas: parked.iter().map(|saga| (saga.id, saga.epoch)).collect(),
    };
    let (asked, limit) = (waiting.clone(), i64::from(*per_second));
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
        let _ = arguments.coordinator.cast(CoordinatorMsg::Drop(*id));
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
