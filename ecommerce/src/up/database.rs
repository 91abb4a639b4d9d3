//! The database of `up`: the configured server, or an embedded one that is restarted if it dies.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::{config::Settings, db::OtherPrograms};
use ecommerce::embedded_postgres::{EmbeddedPostgres, Options, default_data_dir};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::{
    configuration::without_database,
    ending::Failure,
    services::{self, SERVICES},
};

/// Interval of checks that PostgreSQL is alive, and of attempts to restart it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The database server of the services.
pub(super) enum Database {
    /// Configured by the user, for each service.
    Configured,
    /// Started by this process.
    Embedded {
        /// Shared with the threads that wait for it; taken out when stopped.
        server: Arc<Mutex<Option<EmbeddedPostgres>>>,
        url: String,
        data_dir: PathBuf,
    },
}

impl Database {
    /// Starts a server if a service has none, and puts its URL into the settings.
    pub(super) async fn start(
        settings: &mut Settings,
        data_dir: Option<PathBuf>,
        offline: bool,
    ) -> Result<Self, Failure> {
        if without_database(settings, &SERVICES).is_empty() {
            return Ok(Self::Configured);
        }
        let data_dir = match data_dir {
            Some(data_dir) => data_dir,
            None => default_data_dir()?,
        };
        let options = Options { offline, ..Options::new(data_dir.clone()) };
        let server = blocking(move || EmbeddedPostgres::start(options)).await??;
        info!(pid = server.pid(), programs = %server.bin_dir().display(), "PostgreSQL is running");
        let url = server.url();
        settings.database.url = SecretString::from(url.as_str());
        Ok(Self::Embedded { server: Arc::new(Mutex::new(Some(server))), url, data_dir })
    }

    /// Waits until the server answers, then migrates the databases.
    pub(super) async fn prepare(&self, settings: &Settings) -> Result<(), Failure> {
        let others = match self {
            Self::Configured => OtherPrograms::MayRun,
            Self::Embedded { .. } => OtherPrograms::AreStopped,
        };
        services::migrate(settings, others).await?;
        Ok(())
    }

    /// Returns the URL of the embedded server. A configured URL may contain a password and is not returned.
    pub(super) fn url(&self) -> Option<&str> {
        match self {
            Self::Configured => None,
            Self::Embedded { url, .. } => Some(url),
        }
    }

    /// Returns the data folder of the embedded server.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        match self {
            Self::Configured => None,
            Self::Embedded { data_dir, .. } => Some(data_dir),
        }
    }

    /// Restarts the embedded server when it dies; never returns. Meanwhile the services answer 503, then recover.
    pub(super) async fn keep_alive(&self) {
        let Self::Embedded { server, .. } = self else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if server.lock().as_mut().is_none_or(EmbeddedPostgres::is_running) {
                continue;
            }
            warn!("PostgreSQL died; restarting it");
            let server = server.clone();
            match blocking(move || server.lock().as_mut().map_or(Ok(()), EmbeddedPostgres::revive)).await {
                Ok(Ok(())) => info!("PostgreSQL is running again"),
                Ok(Err(error)) => error!(%error, "PostgreSQL does not start again"),
                Err(failure) => error!(%failure, "PostgreSQL does not start again"),
            }
        }
    }

    /// Stops the embedded server, after any start in progress.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        let Self::Embedded { server, .. } = self else {
            return Ok(());
        };
        blocking(move || server.lock().take().map_or(Ok(()), EmbeddedPostgres::stop)).await??;
        info!("PostgreSQL stopped");
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|error| Failure::broken("PostgreSQL", &error))
}
