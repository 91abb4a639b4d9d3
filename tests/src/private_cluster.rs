//! A private PostgreSQL server, for tests that stop it.

use std::{net::Ipv4Addr, path::PathBuf, process::Command};

use ecommerce::embedded_postgres::{EmbeddedPostgres, Options};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{PATIENCE, files::TemporaryFolder, wait_until};

/// The name of a standby's folder.
const STANDBY: &str = "standby";

/// A server with its own cluster; both end when dropped.
pub struct PrivateCluster {
    /// `None` while it is stopped. Declared before the folder, so that it is dropped first.
    server: Mutex<Option<EmbeddedPostgres>>,
    settings: Vec<(String, String)>,
    folder: TemporaryFolder,
    /// Its URL, the same after each start.
    pub url: String,
}

impl PrivateCluster {
    /// Makes a cluster and starts its server.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// Like [`PrivateCluster::start`], and the server listens on an address.
    ///
    /// # Panics
    /// When that fails.
    pub async fn listening_on(address: Ipv4Addr) -> Self {
        Self::start_with(vec![("listen_addresses".to_owned(), address.to_string())]).await
    }

    async fn start_with(mut settings: Vec<(String, String)>) -> Self {
        // Without flushing: the writes of a dead server are in the kernel's cache, and no test cuts the power.
        settings.push(("fsync".to_owned(), "off".to_owned()));
        let folder = TemporaryFolder::new();
        let server = launch(&folder, &settings).await;
        let url = server.url();
        Self { server: Mutex::new(Some(server)), settings, folder, url }
    }

    /// Stops the server; its clients are disconnected.
    ///
    /// # Panics
    /// When it does not run, or does not stop.
    pub async fn stop(&self) {
        let server = self.server.lock().await.take().expect("the server runs");
        let stopped = spawn_blocking(|| server.stop()).await.expect("stopping does not panic");
        stopped.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops the server like a crash: open work is lost, and the next start recovers committed data.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub async fn crash(&self) {
        let mut server = self.server.lock().await.take().expect("the server runs");
        let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process has a positive id");
        kill_process(pid, Signal::QUIT).expect("the server's parent may signal it");
        wait_until("the server has crashed", PATIENCE, async || (!server.is_running()).then_some(())).await;
    }

    /// Copies the cluster of the stopped server, for [`PrivateCluster::restore_copy`].
    ///
    /// # Panics
    /// When that fails.
    pub async fn keep_copy(&self) {
        self.copy("server", "copy").await;
    }

    /// Replaces the cluster of the stopped server by the copy, like a restored backup: later writes are lost.
    ///
    /// # Panics
    /// When that fails.
    pub async fn restore_copy(&self) {
        self.copy("copy", "server").await;
    }

    /// Copies the cluster to a folder beside it for a [`crate::standby::Standby`], and returns that folder and the one of
    /// PostgreSQL's programs. The server is stopped and started again for that.
    pub(crate) async fn copy_for_standby(&self) -> (PathBuf, PathBuf) {
        self.stop().await;
        self.copy("server", STANDBY).await;
        self.start_again().await;
        (self.folder.path().join(STANDBY), self.bin_dir().await)
    }

    /// Returns the folder of PostgreSQL's programs.
    pub(crate) async fn bin_dir(&self) -> PathBuf {
        let server = self.server.lock().await;
        server.as_ref().map(|server| server.bin_dir().to_owned()).expect("the server runs")
    }

    /// Returns the folder of the cluster.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.folder.path().join("server").join("postgres")
    }

    async fn copy(&self, from: &str, to: &str) {
        assert!(self.server.lock().await.is_none(), "the server runs");
        let [from, to] = [from, to].map(|name| self.folder.path().join(name));
        let copied = spawn_blocking(move || {
            if to.exists() {
                std::fs::remove_dir_all(&to)?;
            }
            // Keeps the owners and modes that PostgreSQL requires.
            Command::new("cp").arg("--archive").args([from, to]).status()
        });
        let status = copied.await.expect("copying does not panic").expect("a folder can be copied");
        assert!(status.success(), "cp ends with {status}");
    }

    /// Starts the server again after [`PrivateCluster::stop`] or [`PrivateCluster::crash`].
    ///
    /// # Panics
    /// When that fails.
    pub async fn start_again(&self) {
        let mut server = self.server.lock().await;
        assert!(server.is_none(), "the server runs already");
        *server = Some(launch(&self.folder, &self.settings).await);
    }
}

async fn launch(folder: &TemporaryFolder, settings: &[(String, String)]) -> EmbeddedPostgres {
    let mut options = Options::new(folder.path().join("server"));
    options.extra_settings = settings.to_vec();
    let started = spawn_blocking(|| EmbeddedPostgres::start(options)).await;
    started.expect("starting does not panic").unwrap_or_else(|error| panic!("{error}"))
}
