//! Recovery and takeover: unfinished sagas that nobody runs find an owner.
//!
//! With every heartbeat a node claims, epoch + 1: at once, what an earlier process of its own node id left; what sleeps
//! in the attention list and is due; its own rows that have no actor; and, once it has held its lease for one full lease
//! without a gap (after an outage everybody looks dead), the sagas of nodes whose lease has run out.

use std::sync::Arc;
use std::time::Duration;

use common::group_commit::{Ledger, ReadError};
use common::supervision::{ActorCard, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::saga::coordinator::CoordinatorMsg;
use crate::saga::lease::LeaseState;
use crate::saga::running::Running;
use crate::store::Owner;
use crate::store::reader::{StoredSaga, columns};
use crate::store::writer::SagaLogWriter;

/// The rows are locked first and skipped where another node has them, so that two never claim one saga.
const CLAIM: &str = concat!(
    "with free as materialized (
         select f.id from saga f
         where f.ended_at is null and f.definition = any($3)
           and (f.wake_at is null or f.wake_at <= clock_timestamp())
           and ((f.owner_node = $1::varchar and f.owner_incarnation <> $2::uuid)
                or (f.owner_incarnation = $2 and f.id <> all($4) and f.created_at < clock_timestamp() - interval '1 second')
                or ($5 and f.owner_incarnation <> $2 and not exists (
                        select 1 from node_lease l
                        where l.node_id = f.owner_node and l.incarnation = f.owner_incarnation
                          and l.expires_at > clock_timestamp())))
         order by f.id limit $6
         for update skip locked)
     update saga s
     set owner_node = $1::varchar, owner_incarnation = $2::uuid, epoch = s.epoch + 1, claims = s.claims + 1, wake_at = null,
         attention = case when s.claims + 1 > $7 then 'claimed ' || s.claims + 1 || ' times without progress'
                          else s.attention end,
         attention_at = case when s.claims + 1 > $7 then coalesce(s.attention_at, clock_timestamp())
                             else s.attention_at end
     from free where s.id = free.id
     returning ",
    columns!()
);

/// What recovery is made of.
#[derive(Clone)]
pub struct RecoveryArguments {
    /// Its card.
    pub card: Arc<ActorCard>,
    /// Who claims.
    pub owner: Arc<Owner>,
    /// Its lease.
    pub lease: Arc<LeaseState>,
    /// The saga log.
    pub saga_log: Ledger<SagaLogWriter>,
    /// Who runs what was claimed.
    pub coordinator: Handle<CoordinatorMsg>,
    /// What runs here already.
    pub running: Arc<Running>,
    /// The definitions that this node knows.
    pub definitions: Vec<&'static str>,
    /// How often it looks.
    pub heartbeat: Duration,
    /// How long a lease lasts.
    pub lease_for: Duration,
    /// How many sagas it claims at once.
    pub batch: i64,
    /// How often a saga may be claimed without progress before it is left to a person.
    pub max_claims: i32,
}

struct Recovery;

enum RecoveryMsg {
    Look,
    Claimed(Result<Vec<StoredSaga>, ReadError>),
}

/// Makes recovery a child.
pub fn recovery(arguments: RecoveryArguments) -> ChildSpec {
    child(arguments.card.clone(), Handle::new(), move || (Recovery, arguments.clone()))
}

impl Actor for Recovery {
    type Msg = RecoveryMsg;
    type State = RecoveryArguments;
    type Arguments = RecoveryArguments;

    async fn pre_start(
        &self,
        me: ActorRef<RecoveryMsg>,
        arguments: RecoveryArguments,
    ) -> Result<RecoveryArguments, ActorProcessingErr> {
        let batch = arguments.batch;
        arguments.card.set_state(move || json!({ "claims_at_once": batch }));
        me.cast(RecoveryMsg::Look)?;
        Ok(arguments)
    }

    async fn handle(
        &self,
        me: ActorRef<RecoveryMsg>,
        message: RecoveryMsg,
        state: &mut RecoveryArguments,
    ) -> Result<(), ActorProcessingErr> {
        state.card.handled();
        match message {
            RecoveryMsg::Look => look(&me, state),
            RecoveryMsg::Claimed(claimed) => {
                let more = matches!(&claimed, Ok(sagas) if sagas.len() as i64 == state.batch);
                take_over(state, claimed);
                let wait = if more { Duration::ZERO } else { state.heartbeat };
                me.send_after(wait, || RecoveryMsg::Look);
            }
        }
        Ok(())
    }
}

fn look(me: &ActorRef<RecoveryMsg>, state: &RecoveryArguments) {
    let Some(held_since) = state.lease.held_since() else {
        me.send_after(state.heartbeat.min(Duration::from_millis(100)), || RecoveryMsg::Look);
        return;
    };
    let may_take_from_others = held_since.elapsed() >= state.lease_for;
    let owner = state.owner.clone();
    let known: Vec<&'static str> = state.definitions.clone();
    let running: Vec<Uuid> = state.running.ids();
    let (batch, max_claims, saga_log, me) = (state.batch, state.max_claims, state.saga_log.clone(), me.clone());
    tokio::spawn(async move {
        let claimed = saga_log
            .read(move |connection| {
                Box::pin(async move {
                    let rows = connection
                        .query(
                            CLAIM,
                            &[
                                &owner.node_id,
                                &owner.incarnation,
                                &known,
                                &running,
                                &may_take_from_others,
                                &batch,
                                &max_claims,
                            ],
                        )
                        .await?;
                    Ok(rows.iter().map(StoredSaga::from_row).collect())
                })
            })
            .await;
        let _ = me.cast(RecoveryMsg::Claimed(claimed));
    });
}

fn take_over(state: &RecoveryArguments, claimed: Result<Vec<StoredSaga>, ReadError>) {
    let sagas = match claimed {
        Ok(sagas) => sagas,
        Err(error) => {
            warn!(%error, "unfinished sagas cannot be looked for now");
            return;
        }
    };
    if !sagas.is_empty() {
        info!(sagas = sagas.len(), "unfinished sagas recovered");
    }
    for saga in sagas {
        if saga.claims > state.max_claims {
            error!(saga.id = %saga.id, claims = saga.claims, "a saga was claimed too often without progress: a person should look");
            continue;
        }
        // A coordinator that is down finds the row again: it has no actor.
        let _ = state.coordinator.cast(CoordinatorMsg::Adopt(Box::new(saga)));
    }
}
