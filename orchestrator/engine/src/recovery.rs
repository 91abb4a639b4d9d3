//! Recovery and takeover: unfinished sagas without a live owner get a new one, and owners read flags on their sagas.
//!
//! With every heartbeat a node
//! - claims sagas, with epoch + 1: at once those of an earlier process of its own node id, and those of its own that
//!   sleep and are due or whose actor died; and those of processes whose lease no longer moves, once the node has held
//!   its own lease for one full lease without a gap (after an outage every process looks dead);
//! - reads the flags (cancel, retry) that other nodes set on its sagas;
//! - after a gap in its lease, stops the actors of sagas that were taken over meanwhile.
//!
//! A row of this process may lack an actor: the answer to its claim was lost, or the coordinator died. All rows of the
//! process are searched for such rows, page by page, when there is a hint at one, and every `sweep_ms` without a hint.
//! A search that failed, or that skipped a locked row, is repeated.
//!
//! Claimable rows that are not claimed, of this process and of dead ones, are counted (`ecommerce_sagas_without_actor`).
//!
//! Each saga is recovered on its own: one that cannot be recovered does not block the others.

mod judgement;
mod look;
mod retries;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{ActorEntry, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

pub use self::judgement::{Leases, Reach, SeenLease, SeenOwner};
pub use self::look::{ClaimRequest, Claimed, Searched, look};
use self::retries::Retries;
pub use self::statements::{ActorDeath, Claimer, Flag, Free, ListedRow, Statements};
use crate::coordinator::CoordinatorMsg;
use crate::lease::LeaseState;
use crate::running::Running;
use crate::world::{Answer, World};

/// Interval of looks until the node has a lease.
const LOOK_WITHOUT_LEASE: Duration = Duration::from_millis(100);

/// Arguments of the recovery actor.
#[derive(Clone)]
pub struct RecoveryArguments {
    /// The actor's entry in the actor tree.
    pub entry: Arc<ActorEntry>,
    /// Handle of the recovery actor.
    pub handle: Handle<RecoveryMsg>,
    /// The lease of this process.
    pub lease: Arc<LeaseState>,
    /// Access to the saga log.
    pub world: Arc<dyn World>,
    /// Runs claimed sagas.
    pub coordinator: Handle<CoordinatorMsg>,
    /// The sagas that run in this process.
    pub running: Arc<Running>,
    /// Interval of looks.
    pub heartbeat: Duration,
    /// Duration of a lease.
    pub lease_for: Duration,
    /// Interval of searches for rows without an actor when there is no hint at one.
    pub sweep: Duration,
    /// Id of this node.
    pub node_id: String,
    /// Cancelled when this process is about to stop; from then on it claims nothing.
    pub stopping: CancellationToken,
}

struct Recovery;

/// A message to the recovery actor.
pub enum RecoveryMsg {
    /// The interval of looks has passed.
    Look,
    /// A flag was set through this node: look now.
    LookNow,
    /// The interval of searches has passed.
    Sweep,
    /// The result of a look, and since when the lease was held when the look began.
    Looked(Result<Claimed, String>, Instant),
}

struct State {
    arguments: RecoveryArguments,
    retries: Retries,
    look: Look,
    search: Option<Search>,
    leases: Arc<Leases>,
}

/// A search for rows of this process without an actor.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    /// The next page begins after this id.
    after: Uuid,
    /// Number of rows that it could not claim.
    left: usize,
}

/// State of looks: at most one is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Idle,
    UnderWay,
    /// A look is under way, and another must follow.
    WantedAgain,
}

/// Returns the child specification of the recovery actor.
pub fn recovery(arguments: RecoveryArguments) -> ChildSpec {
    let (lease, running) = (arguments.lease.clone(), arguments.running.clone());
    arguments.entry.set_state(move || json!({ "without_actor": without_actor(&lease, &running) }));
    child(arguments.entry.clone(), arguments.handle.clone(), move || (Recovery, arguments.clone()))
}

/// Returns the number of sagas that this process could run and that have no actor; 0 during a hold, when no node runs
/// any.
pub fn without_actor(lease: &LeaseState, running: &Running) -> usize {
    if lease.hold().is_some() { 0 } else { running.without_actor() }
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
        me.cast(RecoveryMsg::Look)?;
        me.send_after(arguments.sweep, || RecoveryMsg::Sweep);
        let leases = Arc::new(Leases::new(&arguments.node_id, arguments.lease_for));
        Ok(State { arguments, retries: Retries::default(), look: Look::Idle, search: None, leases })
    }

    async fn handle(
        &self,
        me: ActorRef<RecoveryMsg>,
        message: RecoveryMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.entry.handled();
        match message {
            RecoveryMsg::Look => {
                let has_lease = state.arguments.lease.held_since().is_some();
                let heartbeat = state.arguments.heartbeat;
                let wait = if has_lease { heartbeat } else { heartbeat.min(LOOK_WITHOUT_LEASE) };
                me.send_after(wait, || RecoveryMsg::Look);
                begin_look(&me, state);
            }
            RecoveryMsg::LookNow => begin_look(&me, state),
            RecoveryMsg::Sweep => {
                me.send_after(state.arguments.sweep, || RecoveryMsg::Sweep);
                state.arguments.running.suspect_orphans();
                begin_look(&me, state);
            }
            RecoveryMsg::Looked(found, held_since) => {
                let again = std::mem::replace(&mut state.look, Look::Idle) == Look::WantedAgain;
                let has_more = match found {
                    Ok(found) => take_in(state, found, held_since),
                    Err(error) => {
                        warn!(%error, "the search of the saga log for unfinished sagas failed");
                        // The look may have claimed some rows before it failed.
                        state.search = None;
                        state.arguments.running.suspect_orphans();
                        false
                    }
                };
                if again || has_more {
                    begin_look(&me, state);
                }
            }
        }
        Ok(())
    }
}

/// Starts a look at the log, or another after the one under way.
fn begin_look(me: &ActorRef<RecoveryMsg>, state: &mut State) {
    if state.look != Look::Idle {
        state.look = Look::WantedAgain;
        return;
    }
    let Some(held_since) = state.arguments.lease.held_since() else { return };
    state.look = Look::UnderWay;
    let running = &state.arguments.running;
    if state.search.is_none() && running.take_suspicion() {
        state.search = Some(Search::default());
    }
    let question = ClaimRequest {
        reach: if state.arguments.stopping.is_cancelled() {
            Reach::Nothing
        } else if held_since.elapsed() >= state.arguments.lease_for {
            Reach::Everybody
        } else {
            Reach::OwnNode
        },
        search_after: state.search.map(|search| search.after),
        mine: (!state.arguments.lease.is_checked(Some(held_since))).then(|| running.ids()),
        retries_since: state.retries.since(),
        running: running.clone(),
        leases: state.leases.clone(),
    };
    let me = me.clone();
    state.arguments.world.claim(
        question,
        Answer::new(move |found: Option<Result<Claimed, String>>| {
            let found = found.unwrap_or_else(|| Err("the task that searched the saga log died".to_owned()));
            let _ = me.cast(RecoveryMsg::Looked(found, held_since));
        }),
    );
}

/// Passes the result of a look on to the coordinator; tells whether there is more to claim.
fn take_in(state: &mut State, found: Claimed, held_since: Instant) -> bool {
    let Claimed { claimed, has_more, flags, lost, search } = found;
    let RecoveryArguments { coordinator, running, lease, .. } = &state.arguments;
    // A coordinator that is down loses these messages; when it starts it suspects orphans, so its sagas are found.
    if !lost.is_empty() {
        info!(sagas = lost.len(), "sagas were taken over by other nodes meanwhile");
        for id in lost {
            running.remove(id);
            let _ = coordinator.cast(CoordinatorMsg::Drop(id));
        }
    }
    lease.checked(held_since);
    for Flag { id, cancel, retry_at } in flags {
        let is_new_retry = retry_at.is_some_and(|at| state.retries.note(id, at));
        if (cancel || is_new_retry) && running.get(id).is_none() {
            running.suspect_orphans();
        }
        if cancel {
            let _ = coordinator.cast(CoordinatorMsg::Cancel(id));
        }
        if is_new_retry {
            let _ = coordinator.cast(CoordinatorMsg::Retry(id));
        }
    }
    state.retries.end_look();
    if !claimed.is_empty() {
        info!(sagas = claimed.len(), "unfinished sagas recovered");
    }
    for saga in claimed {
        let id = saga.id;
        running.hand_over(id, saga.epoch);
        if coordinator.cast(CoordinatorMsg::Adopt(Box::new(saga))).is_err() {
            running.not_handed_over(id);
            running.suspect_orphans();
        }
    }
    if let (Some(Searched { next, left }), Some(search)) = (search, &mut state.search) {
        search.left += left;
        if search.left > 0 {
            running.suspect_orphans();
        }
        match next {
            Some(next) => search.after = next,
            None => {
                running.left_without_actor(search.left);
                state.search = None;
            }
        }
    }
    has_more
}
