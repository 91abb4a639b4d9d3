//! Recovery and takeover: unfinished sagas that nobody runs find an owner, and owners hear what others did to their sagas.
//!
//! With every heartbeat a node
//! - claims, epoch + 1: at once, what an earlier process of its own node id left; its own sagas that sleep and are due, or
//!   whose actor died; and, once it has held its lease for one full lease without a gap (after an outage every process
//!   looks dead), the sagas of processes whose lease does not move any more;
//! - reads the flags (cancel, retry) that others set on its sagas;
//! - after a gap in its lease, drops the actors of sagas that were taken over meanwhile.
//!
//! A row of this process may lack its actor: the answer to its claim was lost, or the coordinator died. All rows are
//! searched for such, page by page, when there is a hint at one, and every `sweep_ms` without any hint. A search that
//! failed or passed over a locked row is begun again.
//!
//! Rows that could be claimed and are not, this process's and those of processes that are not alive, are counted for people
//! (`sagas_without_actor`).
//!
//! Each saga is recovered on its own: one that cannot be holds up no other.

mod judgement;
mod look;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use foundation::supervision::{ActorCard, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

pub use self::judgement::{Leases, SeenLease, SeenOwner};
pub use self::look::{ActorDeath, ClaimRequest, Claimed, ListedRow, Reach, Searched, look};
pub use self::statements::{Claimer, Flag, Free, Statements};
use crate::coordinator::CoordinatorMsg;
use crate::lease::LeaseState;
use crate::running::Running;
use crate::world::{Answer, World};

/// How soon a node without its first lease looks again.
const LOOK_WITHOUT_LEASE: Duration = Duration::from_millis(100);

/// What recovery is made of.
#[derive(Clone)]
pub struct RecoveryArguments {
    /// Its card.
    pub card: Arc<ActorCard>,
    /// Its address.
    pub handle: Handle<RecoveryMsg>,
    /// Its lease.
    pub lease: Arc<LeaseState>,
    /// Where the saga log is.
    pub world: Arc<dyn World>,
    /// Who runs what was claimed.
    pub coordinator: Handle<CoordinatorMsg>,
    /// What runs here already.
    pub running: Arc<Running>,
    /// How often it looks.
    pub heartbeat: Duration,
    /// How long a lease lasts.
    pub lease_for: Duration,
    /// How often it searches for rows without an actor although nothing hints at any.
    pub sweep: Duration,
    /// This node's name.
    pub node_id: String,
    /// Cancelled when this process is told to stop: it claims nothing from then on.
    pub stopping: CancellationToken,
}

struct Recovery;

/// What recovery hears.
pub enum RecoveryMsg {
    /// It is time to look.
    Look,
    /// Look now: a flag was set on this node.
    LookNow,
    /// It is time to search for rows without an actor.
    Sweep,
    /// What was found; and the lease, as it was when the look began.
    Looked(Result<Claimed, String>, Instant),
}

struct State {
    arguments: RecoveryArguments,
    /// The newest retry that was passed on.
    retries_until: Option<DateTime<Utc>>,
    look: Look,
    search: Option<Search>,
    leases: Arc<Leases>,
}

/// A search for rows of this process without an actor.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    /// It goes on behind this id.
    after: Uuid,
    /// Rows that it could not claim.
    left: usize,
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
    let (lease, running) = (arguments.lease.clone(), arguments.running.clone());
    arguments.card.set_state(move || json!({ "without_actor": without_actor(&lease, &running) }));
    child(arguments.card.clone(), arguments.handle.clone(), move || (Recovery, arguments.clone()))
}

/// Returns the number of sagas that this process could run and that have no actor: none on hold, when no node runs any.
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
        Ok(State { arguments, retries_until: None, look: Look::Idle, search: None, leases })
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
                        warn!(%error, "the saga log cannot be searched for unfinished sagas now");
                        // It may have claimed some before it failed.
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

/// Asks for a look at the log; one at a time.
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
        reach: match () {
            () if state.arguments.stopping.is_cancelled() => Reach::Nothing,
            () if held_since.elapsed() >= state.arguments.lease_for => Reach::Everybody,
            () => Reach::OwnNode,
        },
        search_after: state.search.map(|search| search.after),
        mine: (!state.arguments.lease.is_checked(Some(held_since))).then(|| running.ids()),
        retries_since: state.retries_until,
        running: running.clone(),
        leases: state.leases.clone(),
    };
    let me = me.clone();
    state.arguments.world.claim(
        question,
        Answer::new(move |found: Option<Result<Claimed, String>>| {
            let found = found.unwrap_or_else(|| Err("the task that looked died".to_owned()));
            let _ = me.cast(RecoveryMsg::Looked(found, held_since));
        }),
    );
}

/// Passes on what was found, and tells whether there is more.
fn take_in(state: &mut State, found: Claimed, held_since: Instant) -> bool {
    let Claimed { claimed, has_more, flags, lost, search } = found;
    let RecoveryArguments { coordinator, running, lease, .. } = &state.arguments;
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
        if running.get(id).is_none() {
            running.suspect_orphans();
        }
        if cancel {
            let _ = coordinator.cast(CoordinatorMsg::Cancel(id));
        }
        if is_new_retry {
            let _ = coordinator.cast(CoordinatorMsg::Retry(id));
        }
        state.retries_until = state.retries_until.max(retry_at);
    }
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
