//! A PostgreSQL server of one test's own, for tests that stop it.

use ecommerce::embedded_postgres::{EmbeddedPostgres, Options};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::files::TemporaryFolder;

/// A server with a cluster of its own. Both end with the value.
pub struct PrivateCluster {
    /// `None` while it is stopped. Before the folder, so that it ends first.
    server: Mutex<Option<EmbeddedPostgres>>,
    folder: TemporaryFolder,
    /// Where it is, whenever it runs.
    pub url: String,
}

impl PrivateCluster {
    /// Makes a cluster and starts its server.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start() -> Self {
        let folder = TemporaryFolder::new();
        let server = launch(&folder).await;
        let url = server.url();
        Self { server: Mutex::new(Some(server)), folder, url }
    }

    /// Stops the server; who is connected is disconnected.
    ///
    /// # Panics
    /// When it does not run, or does not stop.
    pub async fn stop(&self) {
        let server = self.server.lock().await.take().expect("the server runs");
        let stopped = spawn_blocking(|| server.stop()).await.expect("stopping does not panic");
        stopped.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts the server again after [`PrivateCluster::stop`].
    ///
    /// # Panics
    /// When that fails.
    pub async fn start_again(&self) {
        let mut server = self.server.lock().await;
        assert!(server.is_none(), "the server runs already");
        *server = Some(launch(&self.folder).await);
    }
}

async fn launch(folder: &TemporaryFolder) -> EmbeddedPostgres {
    let options = Options::new(folder.path().join("server"));
    let started = spawn_blocking(|| EmbeddedPostgres::start(options)).await;
    started.expect("starting does not panic").unwrap_or_else(|error| panic!("{error}"))
}
