//! Pools of connections to one database.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bb8::{ManageConnection, PooledConnection, QueueStrategy};
use metrics::gauge;
use secrecy::SecretString;
use tracing::{info, warn};

use super::connection::{Connection, statement_limit};
use super::{DbError, Target};
use crate::config::DatabaseSettings;
use crate::telemetry::{self, Metric, MetricKind};

/// How long a health check waits for an answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// A pool of connections to one database. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: Arc<bb8::Pool<Manager>>,
    size: u32,
    place: Arc<str>,
    /// Why connecting failed the last time, until it works again.
    trouble: Arc<ArcSwapOption<String>>,
}

impl Pool {
    /// Takes a connection, waiting for it up to the connect timeout of the settings.
    ///
    /// # Errors
    /// [`DbError::Unreachable`] if the server is away, [`DbError::Busy`] if all connections are in use.
    pub async fn get(&self) -> Result<PooledConnection<'_, Manager>, DbError> {
        // One more than can lie idle: then a new one was made, and lost at once.
        for _ in 0..=self.size {
            let Ok(connection) = self.connections.get().await else {
                let place = self.place.to_string();
                return Err(match &*self.trouble.load() {
                    Some(reason) => DbError::Unreachable { place, reason: reason.to_string() },
                    None => DbError::Busy { place },
                });
            };
            if connection.is_reusable() {
                return Ok(connection);
            }
            // It was closed while it lay idle, by a restart of the server; dropping it makes room for a new one.
        }
        let reason = "connections are closed as soon as they are made".to_owned();
        Err(DbError::Unreachable { place: self.place.to_string(), reason })
    }

    /// Returns how many connections it has, and what became of the others.
    pub fn state(&self) -> bb8::State {
        self.connections.state()
    }

    /// Returns how many connections it may have.
    pub fn size(&self) -> u32 {
        self.size
    }
}

/// Makes a pool. It connects when it is used, so that a database that is away holds up nothing.
///
/// # Errors
/// [`DbError::Url`].
pub fn pool(server: &SecretString, database: &str, settings: &DatabaseSettings) -> Result<Pool, DbError> {
    let target = Target::new(server, Some(database), Some(settings))?;
    let place: Arc<str> = target.place().into();
    let trouble = Arc::new(ArcSwapOption::empty());
    let connect_timeout = target.connect_timeout;
    let manager = Manager {
        target,
        database: database.to_owned(),
        answer_limit: statement_limit(settings),
        trouble: trouble.clone(),
    };
    let connections = bb8::Pool::builder()
        .max_size(settings.pool_size)
        // The one used last has its statements prepared and its session warm.
        .queue_strategy(QueueStrategy::Lifo)
        // Costs a round trip each time; `get` sees closed ones without.
        .test_on_check_out(false)
        .connection_timeout(connect_timeout)
        .build_unchecked(manager);
    let connections = Arc::new(connections);
    measure(database, settings.pool_size, &connections);
    Ok(Pool { connections, size: settings.pool_size, place, trouble })
}

const CONNECTIONS: &str = "db_pool_connections";
const MOST: &str = "db_pool_max_connections";

const METRICS: [Metric; 2] = [
    (MetricKind::Gauge, CONNECTIONS, "Open connections of a pool, by database and state (idle, used)."),
    (MetricKind::Gauge, MOST, "Connections that a pool may have, by database."),
];

/// Has the pool read into metrics, as long as it lives.
fn measure(database: &str, size: u32, connections: &Arc<bb8::Pool<Manager>>) {
    telemetry::describe(&METRICS);
    let of_state = |state: &'static str| gauge!(CONNECTIONS, "database" => database.to_owned(), "state" => state);
    let (idle, used) = (of_state("idle"), of_state("used"));
    let most = gauge!(MOST, "database" => database.to_owned());
    let pool = Arc::downgrade(connections);
    telemetry::at_scrape(move || {
        let pool = pool.upgrade()?;
        let state = pool.state();
        idle.set(f64::from(state.idle_connections));
        used.set(f64::from(state.connections.saturating_sub(state.idle_connections)));
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
    trouble: Arc<ArcSwapOption<String>>,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = DbError;

    async fn connect(&self) -> Result<Connection, DbError> {
        let connected = Connection::to(&self.target, self.answer_limit).await;
        let trouble = connected.as_ref().err().map(|error| Arc::new(error.reason().to_owned()));
        let before = self.trouble.swap(trouble);
        // Said once when it begins and once when it is over: a pool that finds nobody tries on and on.
        match (&connected, before) {
            (Ok(_), Some(_)) => info!(database = self.database, "the database is back"),
            (Err(error), None) => warn!(database = self.database, %error, "no database"),
            (Ok(_), None) | (Err(_), Some(_)) => {}
        }
        connected
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), DbError> {
        let answer = connection.batch_execute("").await;
        answer.map_err(|error| DbError::of_statement(&self.target, &error))
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_reusable()
    }
}

/// Asks a database whether it is there, within two seconds.
///
/// # Errors
/// In words, for a health check.
pub async fn ping(pool: &Pool) -> Result<(), String> {
    let asked = async {
        let mut connection = pool.get().await.map_err(|error| error.to_string())?;
        connection.batch_execute("select 1").await.map_err(|error| super::describe(&error))
    };
    let in_time = tokio::time::timeout(PING_TIMEOUT, asked).await;
    in_time.unwrap_or_else(|_| Err(format!("no answer within {PING_TIMEOUT:?}")))
}
