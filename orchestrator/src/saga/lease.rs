//! The lease of this process: a row that it renews, without which it begins nothing.
//!
//! Correctness never rests on it, only on epochs; it says who is alive, so that nobody takes over from the living.
//! A fixed node id is guarded by a session advisory lock on the lease's own connection: a second process with the same id
//! waits for the first to go, and says so. A process whose row carries another incarnation has been superseded: it gives
//! up and never registers again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::config::DatabaseSettings;
use common::db::{Connection, describe};
use common::supervision::{ActorCard, ChildSpec, Handle, child};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::store::Owner;
use crate::store::clock::DatabaseClock;
use crate::store::hold::{self, Hold};

const LOCK: &str = "select pg_try_advisory_lock(hashtextextended('saga node ' || $1::text, 0))";

const REGISTER: &str = "
    insert into node_lease (node_id, incarnation, expires_at, definitions)
    values ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond', $4)
    on conflict (node_id) do update
    set incarnation = excluded.incarnation, registered_at = clock_timestamp(), expires_at = excluded.expires_at,
        definitions = excluded.definitions, given_up_at = null
    returning clock_timestamp()";

// A row that was deleted, since it looked long dead, comes back; one of another incarnation stays.
const RENEW: &str = "
    insert into node_lease (node_id, incarnation, expires_at, definitions)
    values ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond', $4)
    on conflict (node_id) do update set expires_at = excluded.expires_at
    where node_lease.incarnation = excluded.incarnation
    returning clock_timestamp()";

const INCARNATION: &str = "select incarnation from node_lease where node_id = $1";

// The server of a host that has died does not see the end of its connection by itself: it asks after two seconds of
// silence, and three times more.
const KEEPALIVE: &str = "
    set tcp_keepalives_idle = 2; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3;
    set tcp_user_timeout = 5000";

// While all sagas are on hold, the database must not take this process for one that may begin some.
const PAUSE: &str = "
    update node_lease set expires_at = clock_timestamp()
    where node_id = $1 and incarnation = $2 and expires_at > clock_timestamp()";

// The sagas that are left are free for other processes at once.
const GIVE_UP: &str = "
    update node_lease set expires_at = least(expires_at, clock_timestamp()), given_up_at = clock_timestamp()
    where node_id = $1 and incarnation = $2";

/// How long a stop waits for the lease to be given up. Without that it runs out.
const GIVE_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// What everybody may know of the lease.
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
    /// Whether the hold that this process was started with is put.
    hold_put: bool,
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
    pub(crate) fn is_checked(&self, held_since: Option<Instant>) -> bool {
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
    pub(crate) fn checked(&self, held_since: Instant) {
        self.inner().checked_under = Some(held_since);
    }

    pub(crate) fn renewed(&self, sent_at: Instant, lease: Duration) {
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

/// What the lease is made of.
#[derive(Clone)]
pub struct LeaseArguments {
    /// Its card.
    pub card: Arc<ActorCard>,
    /// Who holds it.
    pub owner: Arc<Owner>,
    /// The definitions that this node knows, for the others to read.
    pub definitions: Vec<String>,
    /// What everybody may know of it.
    pub state: Arc<LeaseState>,
    /// The database's clock, read with each renewal.
    pub clock: Arc<DatabaseClock>,
    /// The server.
    pub server: SecretString,
    /// The saga log's database.
    pub database: String,
    /// How to connect.
    pub settings: DatabaseSettings,
    /// How long it lasts.
    pub lease: Duration,
    /// How often it is renewed.
    pub heartbeat: Duration,
    /// Whether all sagas are put on hold before anything else.
    pub hold_at_start: bool,
    /// Cancelled when this process has been superseded.
    pub superseded: CancellationToken,
}

struct Lease;

enum LeaseMsg {
    Renew,
    Renewed(Option<Connection>),
}

struct State {
    arguments: LeaseArguments,
    connection: Option<Connection>,
}

/// Makes the lease a child.
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
    type State = State;
    type Arguments = LeaseArguments;

    async fn pre_start(&self, me: ActorRef<LeaseMsg>, arguments: LeaseArguments) -> Result<State, ActorProcessingErr> {
        me.cast(LeaseMsg::Renew)?;
        Ok(State { arguments, connection: None })
    }

    async fn handle(
        &self,
        me: ActorRef<LeaseMsg>,
        message: LeaseMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.card.handled();
        match message {
            LeaseMsg::Renew => {
                let (arguments, connection) = (state.arguments.clone(), state.connection.take());
                tokio::spawn(async move {
                    let connection = renew(&arguments, connection).await;
                    let _ = me.cast(LeaseMsg::Renewed(connection));
                });
            }
            LeaseMsg::Renewed(connection) => {
                state.connection = connection;
                if !state.arguments.superseded.is_cancelled() {
                    me.send_after(state.arguments.heartbeat, || LeaseMsg::Renew);
                }
            }
        }
        Ok(())
    }

    /// Gives the lease up: the sagas of this process have ended by now, or are left to the others.
    async fn post_stop(&self, _: ActorRef<LeaseMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let given_up = tokio::time::timeout(GIVE_UP_TIMEOUT, give_up(&state.arguments, state.connection.take())).await;
        let given_up = given_up.unwrap_or_else(|_| Err("the database does not answer".to_owned()));
        if let Err(reason) = given_up {
            warn!(reason, "the lease could not be given up: it runs out by itself");
        }
        Ok(())
    }
}

/// Renews, or registers on a new connection; returns the connection for the next time if it is still good.
async fn renew(arguments: &LeaseArguments, connection: Option<Connection>) -> Option<Connection> {
    let LeaseArguments { owner, state, lease, definitions, .. } = arguments;
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let (mut connection, is_new) = match connection {
        Some(connection) => (connection, false),
        None => match Connection::open_writable(&arguments.server, &arguments.database, &arguments.settings).await {
            Ok(connection) => (connection, true),
            Err(error) => {
                state.inner().last_error = Some(error.to_string());
                return None;
            }
        },
    };
    let sent_at = Instant::now();
    let renewed = async {
        let was_registered = state.inner().held_since.is_some();
        if is_new {
            connection.batch_execute(KEEPALIVE).await?;
            if !connection.query_one(LOCK, &[&owner.node_id]).await?.get::<_, bool>(0) {
                return twin(&mut connection, owner, was_registered).await;
            }
        }
        if arguments.hold_at_start && !state.inner().hold_put {
            hold::put(&mut connection, "an orchestrator was started with --hold").await?;
            state.inner().hold_put = true;
        }
        if let Some(hold) = hold::look(&mut connection).await? {
            connection.execute(PAUSE, &[&owner.node_id, &owner.incarnation]).await?;
            return Ok(Renewal::Held(hold));
        }
        if was_registered {
            let asked_at = Instant::now();
            let row =
                connection.query_opt(RENEW, &[&owner.node_id, &owner.incarnation, &lease_ms, definitions]).await?;
            let Some(row) = row else { return Ok(Renewal::Superseded) };
            arguments.clock.read(asked_at, row.get(0));
            return Ok(Renewal::Done);
        }
        let asked_at = Instant::now();
        let row = connection.query_one(REGISTER, &[&owner.node_id, &owner.incarnation, &lease_ms, definitions]).await?;
        arguments.clock.read(asked_at, row.get(0));
        Ok::<_, tokio_postgres::Error>(Renewal::Done)
    };
    match renewed.await {
        Ok(Renewal::Done) => {
            state.renewed(sent_at, *lease);
            Some(connection)
        }
        Ok(Renewal::Held(hold)) => {
            state.held(hold);
            Some(connection)
        }
        Ok(Renewal::TwinLives) => {
            info!(node = owner.node_id, "another process with this node id lives: waiting for it to go");
            state.inner().last_error = Some("another process with this node id lives".to_owned());
            None
        }
        Ok(Renewal::Superseded) => {
            error!(node = owner.node_id, "another process has taken this node id: giving up");
            arguments.superseded.cancel();
            None
        }
        Err(error) => {
            let reason = describe(&error);
            warn!(node = owner.node_id, reason, "the lease could not be renewed");
            state.inner().last_error = Some(reason);
            None
        }
    }
}

/// Judges a process that lives under this node id beside this one. A process that has registered before and finds another
/// one in its row has been succeeded; one that has not waits.
async fn twin(
    connection: &mut Connection,
    owner: &Owner,
    was_registered: bool,
) -> Result<Renewal, tokio_postgres::Error> {
    if was_registered
        && let Some(row) = connection.query_opt(INCARNATION, &[&owner.node_id]).await?
        && row.get::<_, Uuid>(0) != owner.incarnation
    {
        return Ok(Renewal::Superseded);
    }
    Ok(Renewal::TwinLives)
}

/// Gives the lease up for good.
async fn give_up(arguments: &LeaseArguments, connection: Option<Connection>) -> Result<(), String> {
    let LeaseArguments { owner, server, database, settings, .. } = arguments;
    let mut connection = match connection {
        Some(connection) => connection,
        None => Connection::open(server, database, settings).await.map_err(|error| error.to_string())?,
    };
    let given_up = connection.execute(GIVE_UP, &[&owner.node_id, &owner.incarnation]).await;
    given_up.map(drop).map_err(|error| describe(&error))
}

enum Renewal {
    Done,
    Held(Hold),
    TwinLives,
    Superseded,
}
