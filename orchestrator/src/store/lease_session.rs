//! The session of the lease: the lock on the node id, the hold, and the renewals, on a dedicated connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::config::DatabaseSettings;
use common::db::{Connection, describe};
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use super::hold;
use crate::lost_commits::{self, LostCommits};
use crate::outages::Outages;
use saga_engine::lease::{RenewRequest, Renewal};
use saga_engine::owner::Owner;

const LOCK: &str = "select pg_try_advisory_lock(hashtextextended('saga node ' || $1::text, 0))";

const REGISTER: &str = "
    insert into node_lease (node_id, incarnation, expires_at, definitions, open_breakers)
    values ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond', $4, $5)
    on conflict (node_id) do update
    set incarnation = excluded.incarnation, registered_at = clock_timestamp(), expires_at = excluded.expires_at,
        definitions = excluded.definitions, open_breakers = excluded.open_breakers, given_up_at = null
    returning clock_timestamp()";

// A row that was deleted as long expired is inserted again; a row of another incarnation stays.
const RENEW: &str = "
    insert into node_lease (node_id, incarnation, expires_at, definitions, open_breakers)
    values ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond', $4, $5)
    on conflict (node_id) do update
    set expires_at = excluded.expires_at, definitions = excluded.definitions, open_breakers = excluded.open_breakers
    where node_lease.incarnation = excluded.incarnation
    returning clock_timestamp()";

const INCARNATION: &str = "select incarnation from node_lease where node_id = $1";

// The lock is held by a session whose process uses it no more: a former one of this process, or one of a process that has
// not renewed its lease in time. Whatever stands between may keep such a session open for hours. During a hold no process
// renews its lease.
const END_FORMER_SESSION: &str = "
    select pg_terminate_backend(l.pid)
    from pg_locks l join node_lease n on n.node_id = $1
    where (n.incarnation = $2 or n.expires_at < clock_timestamp()) and not exists (select from saga_hold)
      and l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.pid <> pg_backend_pid()
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('saga node ' || $1::text, 0)";

// A server does not notice by itself that the host of a connection has died: it probes after two seconds of silence,
// and three more times.
const KEEPALIVE: &str = "
    set tcp_keepalives_idle = 2; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3;
    set tcp_user_timeout = 5000";

// While all sagas are on hold, the lease is expired: the database must not treat this process as one that may begin
// sagas.
const PAUSE: &str = "
    update node_lease set expires_at = clock_timestamp()
    where node_id = $1 and incarnation = $2 and expires_at > clock_timestamp()";

// Other processes may claim the remaining sagas at once.
const GIVE_UP: &str = "
    update node_lease set expires_at = least(expires_at, clock_timestamp()), given_up_at = clock_timestamp()
    where node_id = $1 and incarnation = $2";

/// The lease's session; its connection is opened on demand.
pub struct LeaseSession {
    server: SecretString,
    database: String,
    settings: DatabaseSettings,
    /// Whether a hold on all sagas must still be set before anything else.
    hold_at_start: AtomicBool,
    outages: Arc<Outages>,
    lost: Arc<LostCommits>,
    connection: Mutex<Option<Connection>>,
}

impl LeaseSession {
    /// Makes a session without a connection. With `hold_at_start` it puts all sagas on hold before anything else.
    pub fn new(server: SecretString, database: String, settings: DatabaseSettings, hold_at_start: bool) -> Self {
        let hold_at_start = AtomicBool::new(hold_at_start);
        let (outages, lost) = (Arc::default(), Arc::default());
        Self { server, database, settings, hold_at_start, outages, lost, connection: Mutex::default() }
    }

    /// Publishes the operations that do not work from this process with each renewal.
    pub(crate) fn publishing(self, outages: Arc<Outages>) -> Self {
        Self { outages, ..self }
    }

    /// Puts all sagas on hold for these losses too.
    pub(crate) fn with_losses(self, lost: Arc<LostCommits>) -> Self {
        Self { lost, ..self }
    }

    /// Renews the lease, or registers the process. The connection is kept only if it can be used again.
    ///
    /// # Errors
    /// The reason why it is not known whether the lease is renewed.
    pub async fn renew(&self, request: RenewRequest) -> Result<Renewal, String> {
        let mut kept = self.connection.lock().await;
        // A session on a server that is no longer the primary would renew a lease that no other node sees.
        let (mut connection, is_new) = match kept.take().filter(Connection::is_reusable) {
            Some(connection) => (connection, false),
            None => {
                let opened = Connection::open_writable(&self.server, &self.database, &self.settings).await;
                (opened.map_err(|error| error.to_string())?, true)
            }
        };
        let renewal = self.renew_on(&mut connection, is_new, &request).await.map_err(|error| describe(&error))?;
        if matches!(renewal, Renewal::Granted { .. } | Renewal::Held(_)) {
            *kept = Some(connection);
        }
        Ok(renewal)
    }

    async fn renew_on(
        &self,
        connection: &mut Connection,
        is_new: bool,
        request: &RenewRequest,
    ) -> Result<Renewal, tokio_postgres::Error> {
        let RenewRequest { owner, was_registered, lease, definitions } = request;
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        if is_new {
            connection.batch_execute(KEEPALIVE).await?;
            if !connection.query_one(LOCK, &[&owner.node_id]).await?.get::<_, bool>(0) {
                return twin(connection, owner, *was_registered).await;
            }
        }
        if self.hold_at_start.load(Ordering::Relaxed) {
            hold::put(connection, "an orchestrator was started with --hold").await?;
            self.hold_at_start.store(false, Ordering::Relaxed);
        }
        for loss in self.lost.open() {
            hold::put_for_loss(connection, &loss, &lost_commits::reason(&loss)).await?;
            self.lost.treated(&loss);
        }
        if let Some(hold) = hold::look(connection).await? {
            connection.execute(PAUSE, &[&owner.node_id, &owner.incarnation]).await?;
            return Ok(Renewal::Held(hold));
        }
        let sent_at = Instant::now();
        let statement = if *was_registered { RENEW } else { REGISTER };
        let open = self.outages.operations();
        let row = connection
            .query_opt(statement, &[&owner.node_id, &owner.incarnation, &lease_ms, definitions, &open])
            .await?;
        Ok(match row {
            Some(row) => Renewal::Granted { sent_at, time: row.get(0) },
            None => Renewal::Superseded,
        })
    }

    /// Gives up the lease for good: other processes may claim the remaining sagas at once.
    ///
    /// # Errors
    /// The reason why it was not given up.
    pub async fn give_up(&self, owner: Arc<Owner>) -> Result<(), String> {
        let mut connection = match self.connection.lock().await.take() {
            Some(connection) => connection,
            None => Connection::open(&self.server, &self.database, &self.settings)
                .await
                .map_err(|error| error.to_string())?,
        };
        let given_up = connection.execute(GIVE_UP, &[&owner.node_id, &owner.incarnation]).await;
        given_up.map(drop).map_err(|error| describe(&error))
    }
}

/// Handles another session with this node id. A process that was registered and finds another incarnation in its row has
/// been superseded. A session that is left over is ended, so that the next renewal gets the lock; else the process waits.
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
    let ended = connection.execute(END_FORMER_SESSION, &[&owner.node_id, &owner.incarnation]).await?;
    if ended > 0 {
        info!(node.id = owner.node_id, "a session that was left over with this node id is ended");
    }
    Ok(Renewal::TwinLives)
}
