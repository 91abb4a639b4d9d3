//! What can be in the way of an embedded server, each said in one line with what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why there is no embedded server.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    /// There is no place for the data.
    #[error("no home folder is known (HOME and XDG_DATA_HOME are not set): give a data folder with --data-dir")]
    NoHome,
    /// PostgreSQL does not run as root and there is nobody else.
    #[error("PostgreSQL does not run as root, and /etc/passwd has no account postgres or nobody")]
    NoAccount,
    /// The server's account cannot enter a folder above the data.
    #[error(
        "{dir} is closed to the account {account}, as which PostgreSQL runs here: give another data folder, such as \
         --data-dir /var/lib/ecommerce"
    )]
    OutOfReach {
        /// The folder that is closed.
        dir: PathBuf,
        /// The account.
        account: String,
    },
    /// The path has a line break.
    #[error("{0:?} has a line break in its name, which PostgreSQL does not take: give another --data-dir")]
    LineBreak(PathBuf),
    /// There is a file in the place of a folder.
    #[error("{0} is a file and not a folder: move it away, or give another --data-dir")]
    NoFolder(PathBuf),
    /// Root was given the folder of an account that PostgreSQL does not run as.
    #[error(
        "{dir} belongs to {owner}, and root uses no data folder of another account: run this as {owner}, or give \
         another --data-dir"
    )]
    ThirdAccount {
        /// The folder.
        dir: PathBuf,
        /// The account.
        owner: String,
    },
    /// Root was led elsewhere by a link.
    #[error("{0} is a link, which root does not follow in a data folder: put what it leads to in its place")]
    Link(PathBuf),
    /// A copy made by another account.
    #[error(
        "{path} belongs to {owner}, and PostgreSQL runs as {account}: give it back (chown -R {account} on the folder \
         of the data), or give another --data-dir"
    )]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// The account that it belongs to.
        owner: String,
        /// The account of the server.
        account: String,
    },
    /// Another launcher is at work.
    #[error(
        "the data folder {data_dir} is in use by {owner}: stop that one first, or give another folder with --data-dir"
    )]
    InUse {
        /// The folder.
        data_dir: PathBuf,
        /// Who has it.
        owner: String,
    },
    /// The folder of the cluster holds something else.
    #[error("{0} is no PostgreSQL cluster (it has no readable PG_VERSION): move it away, or give another --data-dir")]
    NoCluster(PathBuf),
    /// The folder that was named has no usable binaries.
    #[error("ECOMMERCE_PG_BIN={dir}: {reason}")]
    NamedFolder {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing was found, and fetching was forbidden or failed.
    #[error(
        "no PostgreSQL {wanted} found{found}; {fetch}: install one (Debian: apt-get install {package}), name its bin \
         folder in ECOMMERCE_PG_BIN, or give --database-url"
    )]
    NoBinaries {
        /// The versions that would do.
        wanted: String,
        /// What was found instead, or empty.
        found: String,
        /// Why none were fetched.
        fetch: String,
        /// The Debian package that has them.
        package: String,
    },
    /// `initdb` failed.
    #[error("initdb could not make a cluster in {dir}: {reason}")]
    Initdb {
        /// The folder.
        dir: PathBuf,
        /// Its words.
        reason: String,
    },
    /// The server ended instead of starting.
    #[error("PostgreSQL did not start: {reason} (log: {log_file})")]
    Start {
        /// The last words of its log.
        reason: String,
        /// The log.
        log_file: PathBuf,
    },
    /// The server runs but takes no connections.
    #[error("PostgreSQL took no connections within {waited_s} s (log: {log_file})")]
    NotReady {
        /// How long it was given.
        waited_s: u64,
        /// The log.
        log_file: PathBuf,
    },
    /// The server ignored the request to stop.
    #[error("PostgreSQL (process {pid}) did not stop within {waited_s} s and was killed; the next start recovers it")]
    Stop {
        /// Its process.
        pid: u32,
        /// How long it was given.
        waited_s: u64,
    },
    /// The folder for the socket in /tmp belongs to somebody else.
    #[error("{0} exists and is not ours: remove it, or give a shorter --data-dir (a socket's path has a limit)")]
    SocketFolder(PathBuf),
    /// The disk is full.
    #[error("no space left on the disk of {0}")]
    DiskFull(PathBuf),
    /// A file operation failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The operation.
        what: &'static str,
        /// What on.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// Tells whether an account may not do what it tried.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Makes a closure for `map_err`: names the operation and the path of an I/O error.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull(path),
            _ => Self::Io { what, path, source },
        }
    }
}
