//! SQL on one database, bypassing all services.

use std::sync::Arc;

use futures::FutureExt;
use tokio_postgres::{Client, Config, NoTls, Row, config::TargetSessionAttrs, types::ToSql};

/// A connection to one database.
#[derive(Clone)]
pub struct Database(Arc<Client>);

impl Database {
    /// Connects to a database of a server.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(server_url: &str, name: &str) -> Self {
        match Self::try_connect(server_url, name).await {
            Ok(database) => database,
            Err(error) => panic!("cannot connect to {name}: {error}"),
        }
    }

    /// Connects to a database of a server.
    ///
    /// # Errors
    /// When the server is unreachable or rejects the connection.
    ///
    /// # Panics
    /// When the URL is invalid.
    pub async fn try_connect(server_url: &str, name: &str) -> Result<Self, tokio_postgres::Error> {
        let mut config: Config = server_url.parse().expect("the launcher gives a good URL");
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let (client, connection) = config.dbname(name).connect(NoTls).await?;
        // The task ends with the client. After an early end the client's next statement returns the error.
        tokio::spawn(connection.map(drop));
        Ok(Self(Arc::new(client)))
    }

    /// Returns whether the connection is open.
    pub fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Panics
    /// When it fails.
    pub async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        match self.0.query(sql, parameters).await {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    /// Runs a query that returns one number.
    ///
    /// # Panics
    /// When it fails or returns anything else.
    pub async fn number(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> i64 {
        let rows = self.rows(sql, parameters).await;
        match &rows[..] {
            [row] => row.get(0),
            _ => panic!("{} rows from {sql}", rows.len()),
        }
    }

    /// Runs statements without parameters.
    ///
    /// # Panics
    /// When one fails.
    pub async fn run(&self, sql: &str) {
        if let Err(error) = self.0.batch_execute(sql).await {
            panic!("{sql}: {error:?}");
        }
    }
}
