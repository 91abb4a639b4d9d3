//! SQL on one database, past all services.

use std::sync::Arc;

use futures::FutureExt;
use tokio_postgres::{Client, Config, NoTls, Row, types::ToSql};

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
    /// When the server is not there or does not let us in.
    ///
    /// # Panics
    /// When the URL is none.
    pub async fn try_connect(server_url: &str, name: &str) -> Result<Self, tokio_postgres::Error> {
        let mut config: Config = server_url.parse().expect("the launcher gives a good URL");
        let (client, connection) = config.dbname(name).connect(NoTls).await?;
        // It ends with the client; why it ended early, the client's next statement says.
        tokio::spawn(connection.map(drop));
        Ok(Self(Arc::new(client)))
    }

    /// Says whether the connection still stands.
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

    /// Runs a query of one number.
    ///
    /// # Panics
    /// When it fails or gives anything else.
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
