//! The errors of an embedded server, each in one line with advice.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// The reason why there is no embedded server.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    /// No folder for the data is known.
    #[error("no home folder is known (HOME and XDG_DATA_HOME are not set): give a data folder with --data-dir")]
    NoHome,
    /// PostgreSQL does not run as root, and there is no other account.
    #[error("PostgreSQL does not run as root, and /etc/passwd has no account postgres or nobody")]
    NoAccount,
    /// The server's account cannot enter a folder above the data.
    #[error(
        "the account {account}, as which PostgreSQL runs, cannot access {dir}: give another data folder, such as \
         --data-dir /var/lib/ecommerce"
    )]
    OutOfReach {
        /// The folder that cannot be entered.
        dir: PathBuf,
        /// The account.
        account: String,
    },
    /// The path contains a line break.
    #[error("{0:?} has a line break in its name, which PostgreSQL does not support: give another --data-dir")]
    LineBreak(PathBuf),
    /// A file has the name of a needed folder.
    #[error("{0} is a file and not a folder: move it away, or give another --data-dir")]
    NoFolder(PathBuf),
    /// Under root, the folder of an account other than PostgreSQL's.
    #[error(
        "{dir} belongs to {owner}, and root does not use the data folder of another account: run this as {owner}, or \
         give another --data-dir"
    )]
    ThirdAccount {
        /// The folder.
        dir: PathBuf,
        /// The folder's owner.
        owner: String,
    },
    /// Under root, a link in the data folder.
    #[error("{0} is a link, which root does not follow in a data folder: replace it with its target")]
    Link(PathBuf),
    /// The files belong to another account, for instance after a copy.
    #[error(
        "{path} belongs to {owner}, and PostgreSQL runs as {account}: change the owner (chown -R {account} on the \
         folder of the data), or give another --data-dir"
    )]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// The file's owner.
        owner: String,
        /// The account of the server.
        account: String,
    },
    /// Another launcher is running.
    #[error(
        "the data folder {data_dir} is in use by {owner}: stop that process, or give another folder with --data-dir"
    )]
    InUse {
        /// The folder.
        data_dir: PathBuf,
        /// The process that holds the lock.
        owner: String,
    },
    /// The cluster's folder has other contents.
    #[error("{0} is not a PostgreSQL cluster (no readable PG_VERSION): move it away, or give another --data-dir")]
    NoCluster(PathBuf),
    /// The named folder has no usable binaries.
    #[error("ECOMMERCE_PG_BIN={dir}: {reason}")]
    NamedFolder {
        /// The folder.
        dir: PathBuf,
        /// The problem with the folder.
        reason: String,
    },
    /// No binaries were found, and fetching was forbidden or failed.
    #[error(
        "no PostgreSQL {wanted} found{found}; {fetch}: install one (Debian: apt-get install {package}), name its bin \
         folder in ECOMMERCE_PG_BIN, or give --database-url"
    )]
    NoBinaries {
        /// The acceptable versions.
        wanted: String,
        /// Unusable binaries that were found, or empty.
        found: String,
        /// The reason why none were fetched.
        fetch: String,
        /// The Debian package of the binaries.
        package: String,
    },
    /// `initdb` failed.
    #[error("initdb could not make a cluster in {dir}: {reason}")]
    Initdb {
        /// The folder.
        dir: PathBuf,
        /// The message of `initdb`.
        reason: String,
    },
    /// The server ended instead of starting.
    #[error("PostgreSQL did not start: {reason} (log: {log_file})")]
    Start {
        /// The last lines of its log.
        reason: String,
        /// The log.
        log_file: PathBuf,
    },
    /// The server runs but accepts no connections.
    #[error("PostgreSQL accepted no connections within {waited_s} s (log: {log_file})")]
    NotReady {
        /// Seconds waited.
        waited_s: u64,
        /// The log.
        log_file: PathBuf,
    },
    /// The server ignored the request to stop.
    #[error("PostgreSQL (process {pid}) did not stop within {waited_s} s and was killed; the next start recovers it")]
    Stop {
        /// Its process id.
        pid: u32,
        /// Seconds waited.
        waited_s: u64,
    },
    /// The socket's folder in /tmp belongs to another account.
    #[error(
        "{0} exists and is not a folder of this account: remove it, or give a shorter --data-dir (a socket path has a \
         length limit)"
    )]
    SocketFolder(PathBuf),
    /// The disk is full.
    #[error("no space left on the disk of {0}")]
    DiskFull(PathBuf),
    /// A file operation failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// Returns whether permission was denied.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Makes a closure for `map_err` that adds operation and path to an I/O error.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull(path),
            _ => Self::Io { what, path, source },
        }
    }
}
