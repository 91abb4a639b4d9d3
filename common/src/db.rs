//! PostgreSQL: pools whose connections remember their prepared statements, databases that are made when missing,
//! migrations under a lock.
//!
//! A server is named by a URL of any database on it; each service then uses a database of its own there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};
use tracing::{debug, info};

use crate::config::DatabaseSettings;

/// How long a health check waits for an answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a server that is not there yet is asked again.
const WAIT_BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// The advisory lock under which databases are migrated: any number, and the same one for everybody.
const MIGRATION_LOCK: i64 = 0x5A6A_0001;

/// Why the database cannot be used. Each is one line, without a password.
#[derive(Debug, Error)]
pub enum DbError {
    /// The URL is none.
    #[error("database.url is not a PostgreSQL URL: {0}")]
    Url(String),
    /// Nobody answers there.
    #[error("cannot reach PostgreSQL at {place}: {reason}")]
    Unreachable {
        /// Host and port, or socket.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// It answered with an error.
    #[error("PostgreSQL at {place} says: {reason}")]
    Refused {
        /// Host and port, or socket.
        place: String,
        /// What it said.
        reason: String,
    },
    /// A migration did not apply.
    #[error("migration of database {database} failed: {reason}")]
    Migration {
        /// The database.
        database: String,
        /// What went wrong.
        reason: String,
    },
}

/// A connection that prepares each statement once. Statements are constants of the program, so there are only so many.
pub struct Connection {
    client: Arc<Client>,
    statements: HashMap<&'static str, Statement>,
    /// Set from `begin` until `commit` or `rollback` was answered.
    in_transaction: bool,
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Connection {
    fn new(client: Client) -> Self {
        Self { client: Arc::new(client), statements: HashMap::new(), in_transaction: false }
    }

    /// Connects outside of any pool, for what needs a session of its own.
    ///
    /// # Errors
    /// [`DbError`] if nobody answers, or not as wanted.
    pub async fn open(server: &SecretString, database: &str, settings: &DatabaseSettings) -> Result<Self, DbError> {
        let config = config(server, Some(database), Some(settings))?;
        Ok(Self::new(connect(&config).await?))
    }

    async fn prepared(&mut self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Returns all rows.
    ///
    /// # Errors
    /// What the database or the connection says.
    pub async fn query(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client.query(&statement, parameters).await
    }

    /// Returns the row, if there is one.
    ///
    /// # Errors
    /// What the database or the connection says; more than one row.
    pub async fn query_opt(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client.query_opt(&statement, parameters).await
    }

    /// Returns the one row.
    ///
    /// # Errors
    /// What the database or the connection says; no row, or more than one.
    pub async fn query_one(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Row, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client.query_one(&statement, parameters).await
    }

    /// Returns how many rows changed.
    ///
    /// # Errors
    /// What the database or the connection says.
    pub async fn execute(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<u64, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client.execute(&statement, parameters).await
    }

    /// Returns the client, for what none of these does.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens a transaction. The future sends `begin` when it is first polled and borrows nothing, so that it can be sent
    /// together with the first statement behind it: one round trip less.
    pub(crate) fn begin(&mut self) -> impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static {
        self.in_transaction = true;
        let client = self.client.clone();
        async move { client.batch_execute("begin").await }
    }

    /// Ends the transaction with `commit` or `rollback`. A connection on which neither was answered, because it failed
    /// or because whoever held it died, never goes back to its pool: the next user would commit what it left open.
    pub(crate) async fn end(&mut self, sql: &'static str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await?;
        self.in_transaction = false;
        Ok(())
    }
}

/// Opens connections for bb8: those of bb8-postgres, with their prepared statements.
#[derive(Clone, Debug)]
pub struct Manager(PostgresConnectionManager<NoTls>);

impl bb8::ManageConnection for Manager {
    type Connection = Connection;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        Ok(Connection::new(self.0.connect().await?))
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), tokio_postgres::Error> {
        connection.client.simple_query("").await.map(drop)
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.in_transaction || connection.client.is_closed()
    }
}

/// A pool of connections to one database.
pub type Pool = bb8::Pool<Manager>;

/// Makes a pool. It connects when it is used, so that a database that is away holds up nothing.
///
/// # Errors
/// [`DbError::Url`].
pub fn pool(server: &SecretString, database: &str, settings: &DatabaseSettings) -> Result<Pool, DbError> {
    let config = config(server, Some(database), Some(settings))?;
    Ok(bb8::Pool::builder()
        .max_size(settings.pool_size)
        .test_on_check_out(false)
        .connection_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .build_unchecked(Manager(PostgresConnectionManager::new(config, NoTls))))
}

/// Asks a database whether it is there, within two seconds.
///
/// # Errors
/// In words, for a health check.
pub async fn ping(pool: &Pool) -> Result<(), String> {
    let asked = async {
        let connection = pool.get().await.map_err(|error| error.to_string())?;
        connection.client.simple_query("select 1").await.map(drop).map_err(|error| describe(&error))
    };
    tokio::time::timeout(PING_TIMEOUT, asked).await.unwrap_or_else(|_| Err("no answer within 2 s".to_owned()))
}

/// Waits until a server answers.
///
/// # Errors
/// The last [`DbError`], when the time is up.
pub async fn wait_for(server: &SecretString, timeout: Duration) -> Result<(), DbError> {
    let config = config(server, None, None)?;
    let give_up = tokio::time::Instant::now() + timeout;
    loop {
        match connect(&config).await {
            Ok(_) => return Ok(()),
            Err(error) if tokio::time::Instant::now() >= give_up => return Err(error),
            Err(_) => tokio::time::sleep(WAIT_BETWEEN_TRIES).await,
        }
    }
}

/// Makes a database if it is missing; two that do so at once are no harm.
///
/// # Errors
/// [`DbError`] if the server cannot be reached or refuses.
pub async fn ensure_database(server: &SecretString, database: &str) -> Result<(), DbError> {
    let config = config(server, None, None)?;
    let client = connect(&config).await?;
    let refused = |error: tokio_postgres::Error| DbError::Refused { place: place(&config), reason: describe(&error) };
    let there =
        client.query_opt("select 1 from pg_database where datname = $1", &[&database]).await.map_err(refused)?;
    if there.is_some() {
        return Ok(());
    }
    // A name of the configuration, checked there: letters, digits and underscores. Quoted all the same.
    let quoted = database.replace('"', "\"\"");
    match client.batch_execute(&format!("create database \"{quoted}\"")).await {
        Ok(()) => {
            info!(database, "database made");
            Ok(())
        }
        Err(error) if is_made_meanwhile(&error) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

fn is_made_meanwhile(error: &tokio_postgres::Error) -> bool {
    use tokio_postgres::error::SqlState;
    error.code().is_some_and(|code| *code == SqlState::DUPLICATE_DATABASE || *code == SqlState::UNIQUE_VIOLATION)
}

/// Brings a database up to date, and returns how many migrations that took. Whoever comes second waits.
///
/// # Errors
/// [`DbError`] if the database cannot be reached or a migration fails.
pub async fn migrate(server: &SecretString, database: &str, runner: refinery::Runner) -> Result<usize, DbError> {
    let config = config(server, Some(database), None)?;
    let mut client = connect(&config).await?;
    let failed = |reason: String| DbError::Migration { database: database.to_owned(), reason };
    client
        .execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(|error| failed(describe(&error)))?;
    // The lock goes with the session, which ends with this function.
    let report = runner.run_async(&mut client).await.map_err(|error| failed(error.to_string()))?;
    Ok(report.applied_migrations().len())
}

async fn connect(config: &Config) -> Result<Client, DbError> {
    let (client, connection) = config.connect(NoTls).await.map_err(|error| match error.as_db_error() {
        Some(_) => DbError::Refused { place: place(config), reason: describe(&error) },
        None => DbError::Unreachable { place: place(config), reason: describe(&error) },
    })?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a database connection ended");
        }
    });
    Ok(client)
}

/// Returns what an error says with its cause, in one line.
pub fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error;
    match (error.as_db_error(), error.source()) {
        (Some(database), _) => format!("{} ({})", database.message(), database.code().code()),
        (None, Some(cause)) => cause.to_string(),
        (None, None) => error.to_string(),
    }
}

fn config(
    server: &SecretString,
    database: Option<&str>,
    settings: Option<&DatabaseSettings>,
) -> Result<Config, DbError> {
    let mut config: Config =
        server.expose_secret().parse().map_err(|error: tokio_postgres::Error| DbError::Url(describe(&error)))?;
    if let Some(database) = database {
        config.dbname(database);
    }
    config.application_name("ecommerce");
    let timeout_ms = settings.map_or(5_000, |settings| settings.connect_timeout_ms);
    config.connect_timeout(Duration::from_millis(timeout_ms));
    if let Some(settings) = settings {
        // A future that is dropped does not stop the server's work; this does.
        config.options(format!("-c statement_timeout={}", settings.statement_timeout_ms));
    }
    Ok(config)
}

fn place(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => format!("{host}:{port}"),
        #[cfg(unix)]
        Some(Host::Unix(folder)) => format!("socket {}", folder.display()),
        None => "nowhere: the URL names no host".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_never_shows_the_password() {
        for (url, expected) in [
            ("postgres://u:secret@db.example:6000/x", "db.example:6000"),
            ("postgres://u:secret@db.example/x", "db.example:5432"),
            ("postgres://u@localhost/x?host=/run/pg", "localhost:5432"),
        ] {
            assert_eq!(place(&url.parse().unwrap()), expected);
        }
    }

    #[test]
    fn a_bad_url_is_said_in_one_line() {
        let error = pool(
            &SecretString::from("nonsense"),
            "x",
            &crate::config::ConfigSource::embedded("bench").load().unwrap().database,
        );
        assert!(error.is_err_and(|error| !error.to_string().contains('\n')));
    }
}
