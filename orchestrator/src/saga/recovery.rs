//! Recovery and takeover: unfinished sagas that nobody runs find an owner, and owners hear what others did to their sagas.
//!
//! With every heartbeat a node
//! - claims, epoch + 1: at once, what an earlier process of its own node id left; what sleeps in the attention list and
//!   is due; its own rows that have no actor, when it suspects some; and, once it has held its lease for one full lease
//!   without a gap (after an outage everybody looks dead), the sagas of nodes whose lease has run out;
//! - reads the flags (cancel, retry) that others set on its sagas;
//! - after a gap in its lease, drops the actors of sagas that were taken over meanwhile.
//!
//! Each saga is recovered on its own: one that cannot be holds up no other.

mod claim;
mod owned;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::db::Connection;
use common::group_commit::{Ledger, ReadError};
use common::supervision::{ActorCard, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use self::claim::{Claimer, Reach};
use self::owned::Flag;
use crate::saga::SagaId;
use crate::saga::coordinator::CoordinatorMsg;
use crate::saga::lease::LeaseState;
use crate::saga::running::Running;
use crate::store::Owner;
use crate::store::reader::StoredSaga;
use crate::store::writer::SagaLogWriter;

/// How soon a node without its first lease looks again.
const LOOK_WITHOUT_LEASE: Duration = Duration::from_millis(100);

/// What recovery is made of.
#[derive(Clone)]
pub struct RecoveryArguments {
    /// Its card.
    pub card: Arc<ActorCard>,
    /// Its address.
    pub handle: Handle<RecoveryMsg>,
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
    /// The definitions that this node knows, as `name/version`.
    pub definitions: Vec<String>,
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

/// What recovery hears.
pub enum RecoveryMsg {
    /// It is time to look.
    Look,
    /// Look now: a flag was set on this node.
    LookNow,
    /// What was found.
    Looked(Result<Box<Found>, ReadError>),
}

/// What a look at the log gave.
pub struct Found {
    claimed: Vec<StoredSaga>,
    /// Whether a claim filled its batch.
    has_more: bool,
    flags: Vec<Flag>,
    lost: Vec<SagaId>,
    /// The lease, as it was when the look began.
    held_since: Instant,
}

struct State {
    arguments: RecoveryArguments,
    claimer: Arc<Claimer>,
    /// The newest retry that was passed on.
    retries_until: Option<DateTime<Utc>>,
    look: Look,
}

/// Whether a look is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Idle,
    UnderWay,
    /// And another one is wanted.
    WantedAgain,
}

/// Makes recovery a child.
pub fn recovery(arguments: RecoveryArguments) -> ChildSpec {
    child(arguments.card.clone(), arguments.handle.clone(), move || (Recovery, arguments.clone()))
}

impl Actor for Recovery {
    type Msg = RecoveryMsg;
    type State = State;
    type Arguments = RecoveryArguments;

    async fn pre_start(
        &self,
        me: ActorRef<RecoveryMsg>,
        arguments: RecoveryArguments,
    ) -> Result<State, ActorProcessingErr> {
        let batch = arguments.batch;
        arguments.card.set_state(move || json!({ "claims_at_once": batch }));
        let claimer = Arc::new(Claimer {
            owner: arguments.owner.as_ref().clone(),
            definitions: arguments.definitions.clone(),
            batch,
            max_claims: arguments.max_claims,
        });
        me.cast(RecoveryMsg::Look)?;
        Ok(State { arguments, claimer, retries_until: None, look: Look::Idle })
    }

    async fn handle(
        &self,
        me: ActorRef<RecoveryMsg>,
        message: RecoveryMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.card.handled();
        match message {
            RecoveryMsg::Look => {
                let has_lease = state.arguments.lease.held_since().is_some();
                let heartbeat = state.arguments.heartbeat;
                let wait = if has_lease { heartbeat } else { heartbeat.min(LOOK_WITHOUT_LEASE) };
                me.send_after(wait, || RecoveryMsg::Look);
                look(&me, state);
            }
            RecoveryMsg::LookNow => look(&me, state),
            RecoveryMsg::Looked(found) => {
                let again = std::mem::replace(&mut state.look, Look::Idle) == Look::WantedAgain;
                let has_more = match found {
                    Ok(found) => take_in(state, *found),
                    Err(error) => {
                        warn!(%error, "the saga log cannot be searched for unfinished sagas now");
                        // It may have claimed some before it failed.
                        state.arguments.running.suspect_orphans();
                        false
                    }
                };
                if again || has_more {
                    look(&me, state);
                }
            }
        }
        Ok(())
    }
}

/// Looks at the log, in a task of its own; one at a time.
fn look(me: &ActorRef<RecoveryMsg>, state: &mut State) {
    if state.look != Look::Idle {
        state.look = Look::WantedAgain;
        return;
    }
    let Some(held_since) = state.arguments.lease.held_since() else { return };
    state.look = Look::UnderWay;
    let running = &state.arguments.running;
    let question = Question {
        claimer: state.claimer.clone(),
        reach: match held_since.elapsed() >= state.arguments.lease_for {
            true => Reach::Everybody,
            false => Reach::OwnNode,
        },
        held_since,
        orphans_beside: running.take_suspicion().then(|| running.ids()),
        mine: (!state.arguments.lease.is_checked(Some(held_since))).then(|| running.ids()),
        retries_since: state.retries_until,
    };
    let (saga_log, me) = (state.arguments.saga_log.clone(), me.clone());
    tokio::spawn(async move {
        let found = saga_log.read(move |connection| Box::pin(async move { question.ask(connection).await })).await;
        let _ = me.cast(RecoveryMsg::Looked(found.map(Box::new)));
    });
}

/// What one look asks.
struct Question {
    claimer: Arc<Claimer>,
    reach: Reach,
    held_since: Instant,
    /// What runs here, if rows without an actor are suspected.
    orphans_beside: Option<Vec<Uuid>>,
    /// What runs here, if some of it may have been taken over.
    mine: Option<Vec<Uuid>>,
    retries_since: Option<DateTime<Utc>>,
}

impl Question {
    async fn ask(self, connection: &mut Connection) -> Result<Found, tokio_postgres::Error> {
        let Self { claimer, reach, held_since, orphans_beside, mine, retries_since } = self;
        let lost = match mine {
            Some(running) => owned::lost(connection, &claimer.owner, &running).await?,
            None => Vec::new(),
        };
        let flags = owned::flags(connection, &claimer.owner, retries_since).await?;
        let is_full = |sagas: &[StoredSaga]| sagas.len() as i64 == claimer.batch;
        let mut claimed = claimer.of_the_dead(connection, reach).await?;
        let sleepers = claimer.of_own_sleepers(connection).await?;
        let mut has_more = is_full(&claimed) || is_full(&sleepers);
        claimed.extend(sleepers);
        if let Some(mut beside) = orphans_beside {
            // What was claimed just now is this process's already and has no actor yet; it gets one, and not two.
            beside.extend(claimed.iter().map(|saga| saga.id.0));
            let orphans = claimer.of_own_orphans(connection, &beside).await?;
            has_more |= is_full(&orphans);
            claimed.extend(orphans);
        }
        Ok(Found { claimed, has_more, flags, lost, held_since })
    }
}

/// Passes on what was found, and tells whether there is more.
fn take_in(state: &mut State, found: Found) -> bool {
    let Found { claimed, has_more, flags, lost, held_since } = found;
    let RecoveryArguments { coordinator, running, lease, max_claims, .. } = &state.arguments;
    // A coordinator that is down loses these messages; its sagas are orphans then, and are suspected when it starts.
    if !lost.is_empty() {
        info!(sagas = lost.len(), "sagas were taken over by other nodes meanwhile");
        for id in lost {
            running.remove(id);
            let _ = coordinator.cast(CoordinatorMsg::Drop(id));
        }
    }
    lease.checked(held_since);
    for Flag { id, cancel, retry_at } in flags {
        let is_new_retry = retry_at.is_some() && retry_at > state.retries_until;
        if cancel {
            let _ = coordinator.cast(CoordinatorMsg::Cancel(id));
        }
        if is_new_retry && running.get(id).is_some() {
            let _ = coordinator.cast(CoordinatorMsg::Retry(id));
        } else if is_new_retry {
            running.suspect_orphans();
        }
        state.retries_until = state.retries_until.max(retry_at);
    }
    if !claimed.is_empty() {
        info!(sagas = claimed.len(), "unfinished sagas recovered");
    }
    for saga in claimed {
        if saga.claims > *max_claims {
            error!(saga.id = %saga.id, claims = saga.claims, "a saga was claimed too often without progress: a person should look");
            continue;
        }
        if coordinator.cast(CoordinatorMsg::Adopt(Box::new(saga))).is_err() {
            running.suspect_orphans();
        }
    }
    has_more
}
