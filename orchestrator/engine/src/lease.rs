//! The lease of this process: a row that it renews, and without which it begins no saga.
//!
//! Correctness depends on epochs only, not on the lease. The lease tells which processes are alive, so that no node
//! takes sagas from a live one. A session lock, held by the session that renews the lease, guards the node id: a second
//! process with the same id waits until the first ends, and logs that. A process whose row carries another incarnation
//! has been superseded: it gives up and never registers again.

mod renewal;

use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{ActorEntry, ChildSpec, Handle, child};
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::DatabaseClock;
use crate::definition::Definitions;
use crate::hold::Hold;
use crate::owner::Owner;
use crate::world::{Answer, World};

pub use renewal::{RenewRequest, Renewal};

/// How long a stop waits until the lease is given up. After that the lease expires by itself.
const GIVE_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long after its end a lease counts as run out: after a stall of the whole process, the answer to a renewal may be
/// there already.
const RUN_OUT_MARGIN: Duration = Duration::from_millis(100);

/// Interval of looks at a lease that this process does not hold yet, or not during a hold.
const LOOK_WITHOUT_LEASE: Duration = Duration::from_secs(1);

/// The state of the lease, shared with its readers.
#[derive(Debug, Default)]
pub struct LeaseState(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    valid_until: Option<Instant>,
    held_since: Option<Instant>,
    /// The first `held_since`: no gap lies before it, in which another node might have taken sagas over.
    first_held: Option<Instant>,
    /// The `held_since` under which the sagas in memory were last known to be this process's.
    checked_under: Option<Instant>,
    last_error: Option<String>,
    /// The hold on all sagas found by the last renewal; the process then has no lease.
    hold: Option<Hold>,
    /// Until when no other node can have claimed a saga of this process although it has no lease, since all are on hold.
    owner_on_hold_until: Option<Instant>,
}

impl Inner {
    /// Tells whether no saga in memory can have been taken over unnoticed.
    fn is_owner(&self, now: Instant) -> bool {
        let is_checked = self.held_since == self.first_held || self.held_since == self.checked_under;
        self.valid_until.is_some_and(|until| now < until && is_checked)
            || self.owner_on_hold_until.is_some_and(|until| now < until)
    }
}

impl LeaseState {
    /// Tells whether the lease is valid now, counted from the moment before its last renewal was sent.
    pub fn is_valid(&self) -> bool {
        self.0.lock().valid_until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns when the lease counts as run out unless it is renewed; `None` if this process never held it, and during a
    /// hold.
    pub fn runs_out_at(&self) -> Option<Instant> {
        self.0.lock().valid_until.map(|until| until + RUN_OUT_MARGIN)
    }

    /// Tells whether a lease that this process held has run out: the process is probably cut off from the saga log.
    pub fn has_run_out(&self) -> bool {
        self.runs_out_at().is_some_and(|run_out| Instant::now() >= run_out)
    }

    /// Waits until a lease that this process held has run out.
    pub async fn run_out(&self) {
        while !self.has_run_out() {
            let look_at = self.runs_out_at().unwrap_or_else(|| Instant::now() + LOOK_WITHOUT_LEASE);
            tokio::time::sleep_until(look_at).await;
        }
    }

    /// Tells whether this process may begin sagas.
    ///
    /// # Errors
    /// The reason why it holds no lease, for a health check.
    pub fn check(&self) -> Result<(), String> {
        let inner = self.0.lock();
        if inner.valid_until.is_some_and(|until| Instant::now() < until) {
            Ok(())
        } else {
            Err(inner.last_error.clone().unwrap_or_else(|| "it was not renewed in time".to_owned()))
        }
    }

    /// Returns since when the lease has been held without a gap; `None` if it is not valid now.
    pub fn held_since(&self) -> Option<Instant> {
        let inner = self.0.lock();
        inner.held_since.filter(|_| inner.valid_until.is_some_and(|until| Instant::now() < until))
    }

    /// Tells whether status requests may be answered from memory: the lease is valid, and after its last gap a look has
    /// found the sagas that other nodes took over meanwhile.
    pub fn covers_memory(&self) -> bool {
        self.is_checked(self.held_since())
    }

    /// Tells whether actions may be called: no saga in memory can have been taken over. The lease is valid, and a look
    /// followed any gap of it; or all sagas are on hold, so that no node claims any.
    pub fn covers_actions(&self) -> bool {
        self.0.lock().is_owner(Instant::now())
    }

    /// Tells whether such a look took place under the lease held since `held_since`.
    pub fn is_checked(&self, held_since: Option<Instant>) -> bool {
        held_since.is_some() && self.0.lock().checked_under == held_since
    }

    /// Returns the hold on all sagas, if the last renewal found one.
    pub fn hold(&self) -> Option<Hold> {
        self.0.lock().hold.clone()
    }

    /// Records a hold that a renewal asked at `asked_at` has found. It keeps other nodes from claiming for at least one lease
    /// from then: after its release they wait for as long.
    fn held(&self, hold: Hold, asked_at: Instant, lease: Duration) {
        let mut inner = self.0.lock();
        inner.owner_on_hold_until = inner.is_owner(Instant::now()).then(|| asked_at + lease);
        if inner.hold.is_none() {
            warn!(since = %hold.since, reason = hold.reason, "all sagas are on hold: none begins or is recovered");
        }
        inner.valid_until = None;
        inner.last_error = None;
        inner.hold = Some(hold);
    }

    /// Records that a look under this lease has found the sagas that other nodes took over.
    pub fn checked(&self, held_since: Instant) {
        self.0.lock().checked_under = Some(held_since);
    }

    /// Records a renewal sent at `sent_at`: the lease is valid for `lease` from then.
    pub fn renewed(&self, sent_at: Instant, lease: Duration) {
        let mut inner = self.0.lock();
        let had_gap = inner.valid_until.is_none_or(|until| Instant::now() >= until);
        if had_gap {
            inner.held_since = Some(Instant::now());
            inner.first_held = inner.first_held.or(inner.held_since);
        }
        inner.valid_until = Some(sent_at + lease);
        inner.owner_on_hold_until = None;
        inner.last_error = None;
        if inner.hold.take().is_some() {
            info!("the hold is released: sagas resume");
        }
    }
}

/// Arguments of the lease's actor.
#[derive(Clone)]
pub struct LeaseArguments {
    /// The actor's entry in the actor tree.
    pub entry: Arc<ActorEntry>,
    /// The process that holds the lease.
    pub owner: Arc<Owner>,
    /// The definitions that this node knows, listed in its lease for other nodes to read.
    pub definitions: Arc<dyn Definitions>,
    /// The shared state.
    pub state: Arc<LeaseState>,
    /// The database's clock; each renewal reads it.
    pub clock: Arc<DatabaseClock>,
    /// Access to the saga log.
    pub world: Arc<dyn World>,
    /// Duration of the lease.
    pub lease: Duration,
    /// Interval of renewals.
    pub heartbeat: Duration,
    /// Cancelled when this process has been superseded.
    pub superseded: CancellationToken,
}

struct Lease;

enum LeaseMsg {
    Renew,
    /// The result of a renewal, and when it was asked for.
    Renewed(Result<Renewal, String>, Instant),
}

/// Returns the child specification of the lease's actor.
pub fn lease(arguments: LeaseArguments) -> ChildSpec {
    let (owner, state) = (arguments.owner.clone(), arguments.state.clone());
    arguments.entry.set_state(move || {
        let valid = state.is_valid();
        json!({ "node_id": owner.node_id, "incarnation": owner.incarnation, "valid": valid, "last_error": state.0.lock().last_error })
    });
    child(arguments.entry.clone(), Handle::new(), move || (Lease, arguments.clone()))
}

impl Actor for Lease {
    type Msg = LeaseMsg;
    type State = LeaseArguments;
    type Arguments = LeaseArguments;

    async fn pre_start(
        &self,
        me: ActorRef<LeaseMsg>,
        arguments: LeaseArguments,
    ) -> Result<LeaseArguments, ActorProcessingErr> {
        me.cast(LeaseMsg::Renew)?;
        Ok(arguments)
    }

    async fn handle(
        &self,
        me: ActorRef<LeaseMsg>,
        message: LeaseMsg,
        state: &mut LeaseArguments,
    ) -> Result<(), ActorProcessingErr> {
        state.entry.handled();
        match message {
            LeaseMsg::Renew => renew(&me, state),
            LeaseMsg::Renewed(renewal, asked_at) => {
                renewed(state, renewal, asked_at);
                if !state.superseded.is_cancelled() {
                    me.send_after(state.heartbeat, || LeaseMsg::Renew);
                }
            }
        }
        Ok(())
    }

    /// Gives the lease up: by now the sagas of this process have ended or are left to other nodes.
    async fn post_stop(&self, _: ActorRef<LeaseMsg>, state: &mut LeaseArguments) -> Result<(), ActorProcessingErr> {
        let (sender, given_up) = oneshot::channel();
        state.world.give_up_lease(
            state.owner.clone(),
            Answer::new(|given_up: Option<Result<(), String>>| {
                let _ = sender.send(given_up.unwrap_or_else(|| Err("the saga log is gone".to_owned())));
            }),
        );
        let given_up = match tokio::time::timeout(GIVE_UP_TIMEOUT, given_up).await {
            Ok(given_up) => given_up.unwrap_or_else(|_| Err("the saga log is gone".to_owned())),
            Err(_) => Err("the database does not answer".to_owned()),
        };
        if let Err(reason) = given_up {
            warn!(reason, "the lease could not be given up: it expires by itself");
        }
        Ok(())
    }
}

fn renew(me: &ActorRef<LeaseMsg>, arguments: &LeaseArguments) {
    let LeaseArguments { owner, state, lease, definitions, world, .. } = arguments;
    let request = RenewRequest {
        owner: owner.clone(),
        was_registered: state.0.lock().held_since.is_some(),
        lease: *lease,
        definitions: definitions.titles(),
    };
    let (me, asked_at) = (me.clone(), Instant::now());
    world.renew(
        request,
        Answer::new(move |renewal: Option<Result<Renewal, String>>| {
            let renewal = renewal.unwrap_or_else(|| Err("the task that renewed it died".to_owned()));
            let _ = me.cast(LeaseMsg::Renewed(renewal, asked_at));
        }),
    );
}

fn renewed(arguments: &LeaseArguments, renewal: Result<Renewal, String>, asked_at: Instant) {
    let LeaseArguments { owner, state, clock, lease, superseded, .. } = arguments;
    match renewal {
        Ok(Renewal::Granted { sent_at, time }) => {
            clock.read(sent_at, time);
            state.renewed(sent_at, *lease);
        }
        Ok(Renewal::Held(hold)) => state.held(hold, asked_at, *lease),
        Ok(Renewal::TwinLives) => {
            info!(node = owner.node_id, "another process with this node id is alive: waiting for it to end");
            state.0.lock().last_error = Some("another process with this node id is alive".to_owned());
        }
        Ok(Renewal::Superseded) => {
            error!(node = owner.node_id, "another process has taken this node id: giving up");
            superseded.cancel();
        }
        Err(reason) => {
            warn!(node = owner.node_id, reason, "the lease could not be renewed");
            state.0.lock().last_error = Some(reason);
        }
    }
}
