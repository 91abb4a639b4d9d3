//! PostgreSQL: connection pools with prepared statements, creation of missing databases, migrations under a lock.
//!
//! A connection in an unknown state never returns to its pool. A server is named by the URL of any database on it
//! (`postgres://user:password@host:port/`, or with `?host=/folder` for a socket); each service uses its own database on
//! that server. This module leaves the durability settings of the server unchanged.

mod batch_statement;
mod bound;
mod connection;
mod error;
mod pool;
mod roles;
mod session;
mod setup;

#[cfg(test)]
pub(crate) mod test_server;

use std::time::Duration;

use bb8::ManageConnection;
use bb8_postgres::PostgresConnectionManager;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Config, NoTls};

use crate::config::DatabaseSettings;

use session::Session;

pub use batch_statement::BatchStatement;
pub use bound::{Bound, Parameter};
pub use connection::Connection;
pub(crate) use connection::{Commit, is_refusal};
pub use error::{DbError, describe};
pub(crate) use pool::try_write;
pub use pool::{Manager, Pool, check_writable, pool, pool_with_reserve};
pub use roles::{ensure_owned_database, names_user};
pub use session::{Access, check_pooling};
pub use setup::{ensure_database, migrate, wait_for};

/// Connect timeout for callers without settings.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Database to connect to if neither the caller nor the URL names one: every cluster has it.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Where to connect, and with which session settings.
#[derive(Clone, Debug)]
struct Target {
    config: Config,
    connect_timeout: Duration,
    /// Session settings: those of the URL first, then ours.
    session: Vec<(String, String)>,
}

impl Target {
    fn new(
        server: &SecretString,
        database: Option<&str>,
        settings: Option<&DatabaseSettings>,
    ) -> Result<Self, DbError> {
        let parsed = server.expose_secret().parse::<Config>();
        let config = parsed.map_err(|error| DbError::Url(describe(&error)))?;
        let (mut config, session) = session::take_options(config)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(DbError::Url("the host is missing".to_owned()));
        }
        if let Some(database) = database {
            config.dbname(database);
        } else if config.get_dbname().is_none() {
            config.dbname(MAINTENANCE_DATABASE);
        }
        config.application_name("ecommerce");
        let connect_timeout =
            settings.map_or(CONNECT_TIMEOUT, |settings| Duration::from_millis(settings.connect_timeout_ms));
        config.connect_timeout(connect_timeout);
        let target = Self { config, connect_timeout, session };
        let Some(settings) = settings else { return Ok(target) };
        // Dropping a future does not stop its statement on the server. These two limits do, and release the locks of
        // the session.
        let limit = settings.statement_timeout_ms.to_string();
        Ok(target.with_session(&[("statement_timeout", &limit), ("idle_in_transaction_session_timeout", &limit)]))
    }

    /// Adds session settings.
    fn with_session(mut self, settings: &[(&str, &str)]) -> Self {
        self.session.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// Connects and applies the session settings.
    async fn connect(&self) -> Result<Session, DbError> {
        let opener = PostgresConnectionManager::new(self.config.clone(), NoTls);
        let open = async {
            let client = opener.connect().await?;
            Session::prepare(client, &self.session).await
        };
        // `connect_timeout` of the configuration covers only the socket; a hung server accepts the connection and never
        // answers.
        match tokio::time::timeout(self.connect_timeout, open).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(DbError::of_connecting(self, &error)),
            Err(_) => {
                let reason = format!("no answer within {:?}", self.connect_timeout);
                Err(DbError::Unreachable { place: self.place(), reason })
            }
        }
    }

    /// Returns the address of the server, without a password.
    fn place(&self) -> String {
        use tokio_postgres::config::Host;
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => format!("{host}:{port}"),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => format!("socket {}", folder.display()),
            None => self.config.get_hostaddrs().iter().map(|host| format!("{host}:{port}")).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
