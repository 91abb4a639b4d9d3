//! An embedded PostgreSQL: installed binaries run as a child of this process, on a Unix socket, in a data folder.
//!
//! ```text
//! <data dir>/            lock          held by the running launcher: two launchers would share one cluster
//!                        postgres/     the cluster (postgres.new/ while initdb writes it)
//!                        run/          the socket; in /tmp if this path is unfit for a socket
//!                        binaries/     from the wheel, if no PostgreSQL is installed
//!                        postgres.log  the server's log
//! ```
//! So a first run needs no database server. It is a full PostgreSQL with fsync on: committed data survives a power cut.
//! A server whose launcher was killed continues to run, and the next launcher adopts it with its original settings.
//!
//! It does not: listen on TCP (unless `listen_addresses` is among the extra settings), upgrade a cluster to another
//! major version, or run as root, which PostgreSQL refuses; under root the server runs as `postgres` or `nobody`. Root
//! rejects a folder of a third account and follows no link in a data folder, since another account could have put it
//! there.
//!
//! All calls block, for up to some seconds; async callers wrap them in `spawn_blocking`. Processes are identified
//! through `/proc`, so this works on Linux only.

mod account;
mod binaries;
mod children;
mod cluster;
mod error;
mod folder;
mod postmaster;
mod server;
mod wheel;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use self::{
    binaries::Binaries,
    folder::DataFolder,
    postmaster::{Found, PidFile},
    server::{Process, Spawn},
};
pub use self::{binaries::Search, children::end_all, error::EmbeddedError, folder::default_data_dir};

/// The oldest major version that supports the SQL of this system.
pub const OLDEST_MAJOR: u32 = 14;

/// Crash recovery may have to replay much of the log; a longer start is an error.
const START_WAIT: Duration = Duration::from_secs(60);

/// Options of the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the cluster and its files; created if missing.
    pub data_dir: PathBuf,
    /// Forbids fetching binaries if none are installed.
    pub offline: bool,
    /// Settings added to the built-in ones, as `postgres -c name=value` takes them.
    pub extra_settings: Vec<(String, String)>,
    /// Search order for binaries.
    pub search: Search,
    /// Prints a one-line notice about a slow operation.
    pub say: fn(&str),
}

impl Options {
    /// Makes options with the search of the environment and notices on standard error.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            offline: false,
            extra_settings: Vec::new(),
            search: Search::from_environment(),
            say: common::telemetry::notice,
        }
    }
}

/// Returns the URL of the server running in a data folder, if any: for tools that do not hold the folder's lock.
pub fn running_url(data_dir: &Path) -> Option<String> {
    // A server is identified by its working directory, whose path contains no links.
    let file = postmaster::at_work(&data_dir.join("postgres").canonicalize().ok()?)?;
    Some(socket_url(&file.socket_dir, file.port))
}

/// Without a host before `?host=`: clients would try that host first.
fn socket_url(socket_dir: &Path, port: u16) -> String {
    let socket_dir = socket_dir.to_string_lossy();
    let host = utf8_percent_encode(&socket_dir, NON_ALPHANUMERIC);
    format!("postgres://postgres@/postgres?host={host}&port={port}")
}

/// A running server. Dropping it stops the server; [`EmbeddedPostgres::stop`] also returns errors.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    folder: DataFolder,
    bin_dir: PathBuf,
    extra_settings: Vec<(String, String)>,
    process: Process,
    socket_dir: PathBuf,
    port: u16,
    at_the_end: AtTheEnd,
}

/// Fate of the server when its handle is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtTheEnd {
    Stop,
    LeaveRunning,
}

impl EmbeddedPostgres {
    /// Starts the server, after creating a missing cluster, and returns once it accepts connections. Adopts a server
    /// that already runs on this folder.
    ///
    /// # Errors
    /// In one line: another launcher running, no binaries or a wrong version, a folder that is not writable or out of
    /// the server account's reach, a full disk, or the server's own message.
    pub fn start(options: Options) -> Result<Self, EmbeddedError> {
        let folder = DataFolder::open(&options.data_dir)?;
        let existing_major = folder.existing_major()?;
        if let Some(running) = wait_out_transitions(&folder)? {
            return Ok(Self::adopt(folder, options.extra_settings, running));
        }
        let binaries = Binaries::find(&options, &folder, existing_major)?;
        match existing_major {
            Some(_) => folder.check_owner_of_cluster()?,
            None => cluster::create(&folder, &binaries)?,
        }
        Self::launch(folder, binaries.dir, options.extra_settings)
    }

    /// Returns the URL of the server, with the superuser and the database `postgres`.
    pub fn url(&self) -> String {
        socket_url(&self.socket_dir, self.port)
    }

    /// Returns the process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the folder of `postgres`, `initdb`, `psql` and their like.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Returns the server's log file.
    pub fn log_file(&self) -> PathBuf {
        self.folder.log_file()
    }

    /// Returns whether the server's process is alive.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running(&self.folder.cluster())
    }

    /// Restarts the server if it has died; does nothing while it lives.
    ///
    /// # Errors
    /// As [`EmbeddedPostgres::start`], from the launch on.
    pub fn revive(&mut self) -> Result<(), EmbeddedError> {
        if self.is_running() {
            return Ok(());
        }
        self.process = Spawn {
            folder: &self.folder,
            bin_dir: &self.bin_dir,
            socket_dir: &self.socket_dir,
            extra_settings: &self.extra_settings,
        }
        .run(START_WAIT)?;
        self.port = server::PORT;
        Ok(())
    }

    /// Stops the server: open transactions are rolled back, committed data is on disk.
    ///
    /// # Errors
    /// When the server did not stop in time and was killed; the next start recovers it.
    pub fn stop(mut self) -> Result<(), EmbeddedError> {
        self.end()
    }

    /// Releases the folder and leaves the server running, for the next launcher to adopt.
    pub fn leave_running(mut self) {
        self.at_the_end = AtTheEnd::LeaveRunning;
    }

    fn launch(
        folder: DataFolder,
        bin_dir: PathBuf,
        extra_settings: Vec<(String, String)>,
    ) -> Result<Self, EmbeddedError> {
        let socket_dir = folder.make_socket_dir()?;
        let process =
            Spawn { folder: &folder, bin_dir: &bin_dir, socket_dir: &socket_dir, extra_settings: &extra_settings }
                .run(START_WAIT)?;
        Ok(Self {
            folder,
            bin_dir,
            extra_settings,
            process,
            socket_dir,
            port: server::PORT,
            at_the_end: AtTheEnd::Stop,
        })
    }

    fn end(&mut self) -> Result<(), EmbeddedError> {
        let ended = self.process.stop(&self.folder.cluster());
        self.folder.remove_socket_dir(&self.socket_dir);
        ended
    }

    fn adopt(folder: DataFolder, extra_settings: Vec<(String, String)>, running: Running) -> Self {
        Self {
            folder,
            bin_dir: running.bin_dir,
            extra_settings,
            process: Process::adopt(running.file.pid),
            socket_dir: running.file.socket_dir,
            port: running.file.port,
            at_the_end: AtTheEnd::Stop,
        }
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        // After `stop` the process is gone, and this does nothing.
        if self.at_the_end == AtTheEnd::Stop && self.is_running() {
            let _ = self.end();
        }
    }
}

/// A server that was found running.
struct Running {
    file: PidFile,
    bin_dir: PathBuf,
}

/// Returns the ready server on this folder, if any. Waits for a server that is still starting or stopping because its
/// launcher was killed; removes the pid file of a dead one.
fn wait_out_transitions(folder: &DataFolder) -> Result<Option<Running>, EmbeddedError> {
    let cluster = folder.cluster();
    let mut ready = None;
    let settled = server::wait_until(START_WAIT, || match postmaster::look(&cluster)? {
        Found::Ready { file, bin_dir } => {
            ready = Some(Running { file, bin_dir });
            Ok(true)
        }
        Found::InTransition => Ok(false),
        Found::Nothing => Ok(true),
    })?;
    if settled {
        Ok(ready)
    } else {
        Err(EmbeddedError::NotReady { waited_s: START_WAIT.as_secs(), log_file: folder.log_file() })
    }
}
