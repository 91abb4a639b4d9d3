//! The lease of this process: a row that it renews, without which it begins no saga.
//!
//! Correctness never rests on the lease, only on epochs. The lease tells which processes are alive, so that no node takes
//! sagas from a live one. A fixed node id is guarded by a session lock of the lease's own session: a second process with
//! the same id waits for the first to end, and says so. A process whose row carries another incarnation has been
//! superseded: it gives up and never registers again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use foundation::supervision::{ActorCard, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::DatabaseClock;
use crate::hold::Hold;
use crate::owner::Owner;
use crate::world::{Answer, World};

/// How long a stop waits for the lease to be given up. After that it expires by itself.
const GIVE_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// A request to register this process, or to renew its lease.
#[derive(Clone, Debug)]
pub struct RenewRequest {
    /// The process.
    pub owner: Arc<Owner>,
    /// Whether this process held a lease before: it renews only its own row then.
    pub was_registered: bool,
    /// Duration of the lease.
    pub lease: Duration,
    /// The definitions that this node knows, as `name/version`.
    pub definitions: Vec<String>,
}

/// The answer to a [`RenewRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease is renewed.
    Granted {
        /// When the statement was sent: the lease counts from then.
        sent_at: Instant,
        /// The time of the database.
        time: DateTime<Utc>,
    },
    /// A hold on all sagas is in force: there is no lease.
    Held(Hold),
    /// Another process with this node id lives.
    TwinLives,
    /// Another process has taken this node id.
    Superseded,
}

/// The state of the lease, shared with its readers.
#[derive(Debug, Default)]
pub struct LeaseState(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    valid_until: Option<Instant>,
    held_since: Option<Instant>,
    /// The `held_since` under which the sagas in memory were last known to be this process's.
    checked_under: Option<Instant>,
    last_error: Option<String>,
    /// The hold on all sagas that was there at the last renewal; there is no lease then.
    hold: Option<Hold>,
}

impl LeaseState {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether the lease is valid now: counted from before its last renewal was sent.
    pub fn is_valid(&self) -> bool {
        self.inner().valid_until.is_some_and(|until| Instant::now() < until)
    }

    /// Tells whether this process may begin sagas.
    ///
    /// # Errors
    /// Why it holds no lease, in words, for a health check.
    pub fn check(&self) -> Result<(), String> {
        let inner = self.inner();
        match inner.valid_until.is_some_and(|until| Instant::now() < until) {
            true => Ok(()),
            false => Err(inner.last_error.clone().unwrap_or_else(|| "it was not renewed in time".to_owned())),
        }
    }

    /// Returns since when it has been held without a gap, if it is held.
    pub fn held_since(&self) -> Option<Instant> {
        let inner = self.inner();
        inner.held_since.filter(|_| inner.valid_until.is_some_and(|until| Instant::now() < until))
    }

    /// Tells whether memory may answer for sagas: the lease is valid, and since its last gap it was looked up which sagas
    /// other nodes took over meanwhile.
    pub fn covers_memory(&self) -> bool {
        self.is_checked(self.held_since())
    }

    /// Tells whether that was looked up under the lease that is held since then.
    pub fn is_checked(&self, held_since: Option<Instant>) -> bool {
        held_since.is_some() && self.inner().checked_under == held_since
    }

    /// Returns the hold on all sagas, if it was there when that was looked up last.
    pub fn hold(&self) -> Option<Hold> {
        self.inner().hold.clone()
    }

    fn held(&self, hold: Hold) {
        let mut inner = self.inner();
        if inner.hold.is_none() {
            warn!(since = %hold.since, reason = hold.reason, "all sagas are on hold: none begins, none is recovered");
        }
        inner.valid_until = None;
        inner.last_error = None;
        inner.hold = Some(hold);
    }

    /// Notes that it was.
    pub fn checked(&self, held_since: Instant) {
        self.inner().checked_under = Some(held_since);
    }

    /// Records a renewal that was sent at `sent_at`: the lease is valid for `lease` from then.
    pub fn renewed(&self, sent_at: Instant, lease: Duration) {
        let mut inner = self.inner();
        let had_gap = inner.valid_until.is_none_or(|until| Instant::now() >= until);
        if had_gap {
            inner.held_since = Some(Instant::now());
        }
        inner.valid_until = Some(sent_at + lease);
        inner.last_error = None;
        if inner.hold.take().is_some() {
            info!("the hold is released: sagas go on");
        }
    }
}

/// Arguments of the lease's actor.
#[derive(Clone)]
pub struct LeaseArguments {
    /// Its card.
    pub card: Arc<ActorCard>,
    /// The process that holds the lease.
    pub owner: Arc<Owner>,
    /// The definitions that this node knows, for other nodes to read.
    pub definitions: Vec<String>,
    /// The shared state.
    pub state: Arc<LeaseState>,
    /// The database's clock; each renewal reads it.
    pub clock: Arc<DatabaseClock>,
    /// The way to the saga log.
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
    Renewed(Result<Renewal, String>),
}

/// Makes the lease's actor a child.
pub fn lease(arguments: LeaseArguments) -> ChildSpec {
    let (owner, state) = (arguments.owner.clone(), arguments.state.clone());
    arguments.card.set_state(move || {
        let valid = state.is_valid();
        json!({ "node_id": owner.node_id, "incarnation": owner.incarnation, "valid": valid, "last_error": state.inner().last_error })
    });
    child(arguments.card.clone(), Handle::new(), move || (Lease, arguments.clone()))
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
        state.card.handled();
        match message {
            LeaseMsg::Renew => renew(&me, state),
            LeaseMsg::Renewed(renewal) => {
                renewed(state, renewal);
                if !state.superseded.is_cancelled() {
                    me.send_after(state.heartbeat, || LeaseMsg::Renew);
                }
            }
        }
        Ok(())
    }

    /// Gives the lease up: by now the sagas of this process have ended, or are left to other nodes.
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
        was_registered: state.inner().held_since.is_some(),
        lease: *lease,
        definitions: definitions.clone(),
    };
    let me = me.clone();
    world.renew(
        request,
        Answer::new(move |renewal: Option<Result<Renewal, String>>| {
            let renewal = renewal.unwrap_or_else(|| Err("the task that renewed it died".to_owned()));
            let _ = me.cast(LeaseMsg::Renewed(renewal));
        }),
    );
}

fn renewed(arguments: &LeaseArguments, renewal: Result<Renewal, String>) {
    let LeaseArguments { owner, state, clock, lease, superseded, .. } = arguments;
    match renewal {
        Ok(Renewal::Granted { sent_at, time }) => {
            clock.read(sent_at, time);
            state.renewed(sent_at, *lease);
        }
        Ok(Renewal::Held(hold)) => state.held(hold),
        Ok(Renewal::TwinLives) => {
            info!(node = owner.node_id, "another process with this node id lives: waiting for it to end");
            state.inner().last_error = Some("another process with this node id lives".to_owned());
        }
        Ok(Renewal::Superseded) => {
            error!(node = owner.node_id, "another process has taken this node id: giving up");
            superseded.cancel();
        }
        Err(reason) => {
            warn!(node = owner.node_id, reason, "the lease could not be renewed");
            state.inner().last_error = Some(reason);
        }
    }
}
