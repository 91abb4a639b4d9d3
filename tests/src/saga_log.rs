//! An empty saga log, for suites that run its statements without an orchestrator.

use common::{
    config::{ConfigSource, DatabaseSettings},
    db::{self, Pool},
};
use saga_engine::owner::Owner;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::{cluster, database::Database};

/// A migrated database of the shared test server.
pub struct SagaLog {
    /// Its name.
    pub name: String,
    /// Settings with the URL of the server.
    pub settings: DatabaseSettings,
    /// The pool of an orchestrator.
    pub pool: Pool,
    /// A connection beside the pool.
    pub database: Database,
}

impl SagaLog {
    /// Creates the database.
    ///
    /// # Panics
    /// When it cannot be created.
    pub async fn new() -> Self {
        let server = cluster::server_url().await;
        let settings = ConfigSource::embedded("bench").with("database.url", server).load().expect("good settings");
        let (settings, name) = (settings.database, format!("t{}", Uuid::new_v4().simple()));
        db::ensure_database(&settings.url, &name).await.expect("the test server makes databases");
        let migrated =
            db::migrate(&settings.url, &name, orchestrator::migrations(), db::OtherPrograms::AreStopped).await;
        migrated.expect("migrations apply to an empty database");
        let pool = db::pool(&settings.url, &name, &settings).expect("a good URL");
        let database = Database::connect(server, &name).await;
        Self { name, settings, pool, database }
    }

    /// Drops the database, whatever connections to it are open.
    ///
    /// # Panics
    /// When it cannot be dropped.
    pub async fn drop_database(self) {
        let server = Database::connect(self.settings.url.expose_secret(), "postgres").await;
        server.run(&format!("drop database {} with (force)", self.name)).await;
    }
}

/// Registers a process with a lease that outlasts any test, and returns it.
///
/// # Panics
/// When the statement fails.
pub async fn owner(database: &Database, node_id: &str) -> Owner {
    let owner = Owner { node_id: node_id.to_owned(), incarnation: Uuid::new_v4() };
    let register =
        "insert into node_lease (node_id, incarnation, expires_at) values ($1, $2, now() + interval '1 day')";
    database.rows(register, &[&owner.node_id, &owner.incarnation]).await;
    owner
}
