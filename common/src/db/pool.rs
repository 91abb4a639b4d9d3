//! Pools of connections to one database.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bb8::{ManageConnection, PooledConnection, QueueStrategy};
use metrics::{counter, gauge};
use secrecy::SecretString;
use tracing::{error, info, warn};

use super::connection::{Connection, statement_limit};
use super::hosts::Hosts;
use super::timeline::{LostCommits, Timeline};
use super::{DbError, Target};
use crate::config::DatabaseSettings;
use crate::telemetry::{self, Metric, MetricKind};

/// Time limit for the answer to a health check, below the limit for all checks of a service together.
const CHECK_LIMIT: Duration = Duration::from_millis(1_800);

/// Margin by which the wait for a connection exceeds the connect timeout, so that the reason for a failure is known.
const CONNECT_MARGIN: Duration = Duration::from_millis(100);

/// Settings of all sessions: each statement is planned once and finds its rows by an index.
///
/// By default the planner uses the table statistics of the moment when a statement is first run. In a new database
/// these are empty: it picks sequential scans, keeps that plan while the tables grow, and plans again and again where
/// the number of rows in a batch matters to it. Planning costs more than a short statement, above all on a table with
/// many partitions. A batch is also too short for JIT compilation to pay off.
///
/// So a statement must have a good plan without its parameters: `id < $1` can use an index, and `$1 is null or id < $1`
/// cannot.
const PLANS: [(&str, &str); 4] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("enable_mergejoin", "off"), ("jit", "off")];

/// A pool of connections to one database, one of them for batches of writes. Clones are cheap and share the
/// connections.
#[derive(Clone, Debug)]
pub struct Pool {
    reads: Connections,
    writes: Connections,
    /// One connection beyond the configured ones, for work that must not wait for reads.
    reserve: Option<Connections>,
    place: Arc<str>,
    database: Arc<str>,
    hosts: Arc<Hosts>,
    lost: Arc<ArcSwapOption<LostCommits>>,
}

/// Connections with the same settings.
#[derive(Clone, Debug)]
struct Connections {
    pool: Arc<bb8::Pool<Manager>>,
    size: u32,
    trouble: Trouble,
}

/// Why the last attempt to connect failed; `None` once it works again.
type Trouble = Arc<ArcSwapOption<DbError>>;

impl Pool {
    /// Takes a connection for reads that a decision depends on, or for single writes. It waits up to the connect
    /// timeout of the settings.
    ///
    /// # Errors
    /// [`DbError::Unreachable`] if the server is away, [`DbError::Busy`] if all connections are in use,
    /// [`DbError::ReadOnly`] if the server accepts no writes.
    pub async fn get(&self) -> Result<PooledConnection<'_, Manager>, DbError> {
        writable(self.get_of(&self.reads).await?)
    }

    /// Takes a connection for reads that are only displayed; a read-only server is accepted.
    ///
    /// # Errors
    /// See [`Pool::get`], except [`DbError::ReadOnly`].
    pub async fn get_for_display(&self) -> Result<PooledConnection<'_, Manager>, DbError> {
        self.get_of(&self.reads).await
    }

    /// Takes the writer's connection. No read ever uses it.
    ///
    /// # Errors
    /// See [`Pool::get`].
    pub async fn writer(&self) -> Result<PooledConnection<'_, Manager>, DbError> {
        writable(self.get_of(&self.writes).await?)
    }

    /// Takes the reserve connection, or one for reads if the pool has no reserve.
    ///
    /// # Errors
    /// See [`Pool::get`].
    pub(crate) async fn reserve(&self) -> Result<PooledConnection<'_, Manager>, DbError> {
        writable(self.get_of(self.reserve.as_ref().unwrap_or(&self.reads)).await?)
    }

    async fn get_of<'p>(&self, connections: &'p Connections) -> Result<PooledConnection<'p, Manager>, DbError> {
        // One attempt more than connections can lie idle: the last one gets a new connection, lost at once.
        for _ in 0..=connections.size {
            let Ok(connection) = connections.pool.get().await else {
                return Err(match connections.trouble.load_full().as_deref() {
                    Some(DbError::Refused { place, reason, .. }) => {
                        DbError::Unreachable { place: place.clone(), reason: reason.clone() }
                    }
                    Some(error) => error.clone(),
                    None => DbError::Busy { place: self.place.to_string() },
                });
            };
            if connection.is_reusable() {
                return Ok(connection);
            }
            // The connection was closed while idle, by a restart of the server; dropping it makes room for a new one.
        }
        let reason = "connections are closed as soon as they are opened".to_owned();
        Err(DbError::Unreachable { place: self.place.to_string(), reason })
    }

    /// Returns the newest timeline that was seen at the hosts of the URL; `None` before the first connection.
    pub fn timeline(&self) -> Option<Timeline> {
        self.hosts.fence.newest()
    }

    /// Returns the last loss of confirmed commits, if this process has found one.
    pub fn lost_commits(&self) -> Option<Arc<LostCommits>> {
        self.lost.load_full()
    }

    pub(crate) fn report_loss(&self, before: Timeline, now: Timeline) {
        let lost = LostCommits { database: self.database.clone(), before, now };
        error!(%lost, "confirmed commits are lost");
        counter!(LOST_COMMITS, "database" => self.database.to_string()).increment(1);
        self.lost.store(Some(Arc::new(lost)));
    }

    /// Returns the number of connections, open and idle, without the reserve.
    pub fn state(&self) -> PoolState {
        let (reads, writes) = (self.reads.pool.state(), self.writes.pool.state());
        PoolState {
            open: reads.connections + writes.connections,
            idle: reads.idle_connections + writes.idle_connections,
        }
    }

    /// Returns the maximum number of connections, without the reserve.
    pub fn size(&self) -> u32 {
        self.reads.size + self.writes.size
    }

    /// Returns the name of the database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Returns the maximum number of connections for reads.
    pub(crate) fn size_for_reads(&self) -> u32 {
        self.reads.size
    }
}

fn writable(connection: PooledConnection<'_, Manager>) -> Result<PooledConnection<'_, Manager>, DbError> {
    connection.require_writable()?;
    Ok(connection)
}

/// Number of connections of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// All open connections.
    pub open: u32,
    /// Open connections not in use.
    pub idle: u32,
}

/// Creates a pool. It connects on first use, so an unreachable database delays nothing. It has at least one connection
/// for the writer and one for reads, whatever `database.pool_size` says.
///
/// # Errors
/// [`DbError::Url`] if the URL is invalid.
pub fn pool(server: &SecretString, database: &str, settings: &DatabaseSettings) -> Result<Pool, DbError> {
    make(server, database, settings, Reserve::None)
}

/// Like [`pool`], with one reserve connection beyond `database.pool_size`.
///
/// # Errors
/// [`DbError::Url`] if the URL is invalid.
pub fn pool_with_reserve(server: &SecretString, database: &str, settings: &DatabaseSettings) -> Result<Pool, DbError> {
    make(server, database, settings, Reserve::One)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reserve {
    None,
    One,
}

fn make(server: &SecretString, database: &str, settings: &DatabaseSettings, reserve: Reserve) -> Result<Pool, DbError> {
    let target = Target::new(server, Some(database), Some(settings))?;
    let (place, hosts): (Arc<str>, _) = (target.hosts.names().into(), target.hosts.clone());
    let outage = Trouble::default();
    let connections = |target: Target, size: u32| {
        let (connect_timeout, trouble) = (target.connect_timeout, Trouble::default());
        let manager = Manager {
            target,
            database: database.to_owned(),
            answer_limit: statement_limit(settings),
            trouble: trouble.clone(),
            outage: outage.clone(),
        };
        let pool = bb8::Pool::builder()
            .max_size(size)
            // The connection used last has its statements prepared and its session warm.
            .queue_strategy(QueueStrategy::Lifo)
            // A test costs a round trip each time; `get` detects closed connections without one.
            .test_on_check_out(false)
            .connection_timeout(connect_timeout + CONNECT_MARGIN)
            .build_unchecked(manager);
        Connections { pool: Arc::new(pool), size, trouble }
    };
    let target = target.with_session(&PLANS);
    let writes = connections(target.clone(), 1);
    let reserve = (reserve == Reserve::One).then(|| connections(target.clone(), 1));
    let reads = connections(target, settings.pool_size.saturating_sub(1).max(1));
    let (database_name, lost) = (Arc::from(database), Arc::default());
    let pool = Pool { reads, writes, reserve, place, database: database_name, hosts, lost };
    measure(database, &pool);
    Ok(pool)
}

const CONNECTIONS: &str = "ecommerce_db_pool_connections";
const MOST: &str = "ecommerce_db_pool_max_connections";

const LOST_COMMITS: &str = "ecommerce_lost_commits_total";

const METRICS: [Metric; 3] = [
    (MetricKind::Counter, LOST_COMMITS, "Failovers after which confirmed commits were missing, by database."),
    (MetricKind::Gauge, CONNECTIONS, "Open connections of a pool, by database and state (idle, used)."),
    (MetricKind::Gauge, MOST, "Maximum number of connections of a pool, by database."),
];

/// Registers gauges of the pool, read at each scrape for as long as the pool exists.
fn measure(database: &str, pool: &Pool) {
    telemetry::describe(&METRICS);
    counter!(LOST_COMMITS, "database" => database.to_owned()).increment(0);
    let of_state = |state: &'static str| gauge!(CONNECTIONS, "database" => database.to_owned(), "state" => state);
    let (idle, used) = (of_state("idle"), of_state("used"));
    let most = gauge!(MOST, "database" => database.to_owned());
    let size = pool.size();
    let (reads, writes) = (Arc::downgrade(&pool.reads.pool), Arc::downgrade(&pool.writes.pool));
    telemetry::at_scrape(move || {
        let (reads, writes) = (reads.upgrade()?.state(), writes.upgrade()?.state());
        let free = reads.idle_connections + writes.idle_connections;
        idle.set(f64::from(free));
        used.set(f64::from((reads.connections + writes.connections).saturating_sub(free)));
        most.set(f64::from(size));
        Some(())
    });
}

/// Opens connections for bb8.
#[derive(Debug)]
pub struct Manager {
    target: Target,
    database: String,
    answer_limit: Duration,
    /// Of these connections.
    trouble: Trouble,
    /// Of all connections to the database, for the log.
    outage: Trouble,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = DbError;

    async fn connect(&self) -> Result<Connection, DbError> {
        let connected = Connection::to(&self.target, self.answer_limit).await;
        let trouble = connected.as_ref().err().map(|error| Arc::new(error.clone()));
        self.trouble.store(trouble.clone());
        let before = self.outage.swap(trouble);
        // Logged once when an outage begins and once when it ends: without a server the pool keeps trying to connect.
        match (&connected, before) {
            (Ok(_), Some(_)) => info!(database = self.database, "the database is reachable again"),
            (Err(error), None) => warn!(database = self.database, %error, "the database is unreachable"),
            (Ok(_), None) | (Err(_), Some(_)) => {}
        }
        connected
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), DbError> {
        let answer = connection.batch_execute("").await;
        answer.map_err(|error| DbError::of_statement(connection.place(), &error))
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_reusable()
    }
}

/// Checks that a database answers and accepts writes, within two seconds.
///
/// # Errors
/// The reason in words, for a health check.
pub async fn check_writable(pool: &Pool) -> Result<(), String> {
    const TAKES_NO_WRITES: &str = "select pg_is_in_recovery(), current_setting('transaction_read_only')::bool";
    within_check_limit(&pool.reads, async {
        let mut connection = pool.get().await.map_err(|error| error.to_string())?;
        let asked = connection.query_one(TAKES_NO_WRITES, &[]).await;
        let row = asked.map_err(|error| super::describe(&error))?;
        match (row.get(0), row.get(1)) {
            (true, _) => Err("the server is in recovery: a standby, or being restored".to_owned()),
            (false, true) => Err("the database is read-only".to_owned()),
            (false, false) => Ok(()),
        }
    })
    .await
}

/// Writes a small record on the writer's connection: a message in the write-ahead log that has no reader. Its commit
/// waits for disk and standbys like any other.
///
/// # Errors
/// The reason in words, for a health check.
pub(crate) async fn try_write(pool: &Pool) -> Result<(), String> {
    const WRITE: &str = "select pg_logical_emit_message(true, 'ecommerce', 'health')::text";
    within_check_limit(&pool.writes, async {
        let mut connection = pool.writer().await.map_err(|error| error.to_string())?;
        connection.query_one(WRITE, &[]).await.map(drop).map_err(|error| super::describe(&error))
    })
    .await
}

/// The wait for a connection is longer than the limit, so the reason why there is none may be known before.
async fn within_check_limit(
    connections: &Connections,
    check: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    let in_time = tokio::time::timeout(CHECK_LIMIT, check).await;
    in_time.unwrap_or_else(|_| {
        let trouble = connections.trouble.load_full();
        Err(trouble.map_or_else(|| format!("no answer within {CHECK_LIMIT:?}"), |trouble| trouble.to_string()))
    })
}
