//! The data folder: its place, its layout, and its lock, held by one launcher.

use std::{
    env,
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{EmbeddedError, account::Account};

/// The longest path of a Unix socket on Linux: 108 bytes with the closing NUL.
const SOCKET_PATH_LIMIT: usize = 107;
/// The socket's file name in its folder; contains `server::PORT`.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// Returns the default data folder: `/var/lib/ecommerce` for root, whose home is closed to the server's account, else
/// `$XDG_DATA_HOME/ecommerce` or `~/.local/share/ecommerce`.
///
/// # Errors
/// [`EmbeddedError::NoHome`].
pub fn default_data_dir() -> Result<PathBuf, EmbeddedError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/ecommerce"));
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("ecommerce"))
        .ok_or(EmbeddedError::NoHome)
}

/// A data folder locked by this process.
#[derive(Debug)]
pub(super) struct DataFolder {
    dir: PathBuf,
    account: Account,
    _lock: Lock,
}

/// The lock of a data folder.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// Unlocks the file before it is closed: a child between fork and exec has a copy of the descriptor, and as long as that
    /// is open, closing ours releases nothing.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl DataFolder {
    /// Creates the folder if missing, checks that the server can reach it, and takes the lock.
    pub(super) fn open(dir: &Path) -> Result<Self, EmbeddedError> {
        let absolute = std::path::absolute(dir).map_err(EmbeddedError::io("find", dir))?;
        let account = Account::for_folder(&absolute)?;
        refuse_line_break(&absolute)?;
        create(&absolute, &account)?;
        let dir = absolute.canonicalize().map_err(EmbeddedError::io("find", dir))?;
        refuse_line_break(&dir)?;
        account.check_reach(&dir)?;
        let lock = take_lock(&dir, &account)?;
        Ok(Self { dir, account, _lock: lock })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    /// Folder of a cluster under construction; a rename moves it to its place.
    pub(super) fn new_cluster(&self) -> PathBuf {
        self.dir.join("postgres.new")
    }

    pub(super) fn binaries(&self) -> PathBuf {
        self.dir.join("binaries")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// Returns the major version of the cluster; `None` if there is no cluster yet.
    pub(super) fn existing_major(&self) -> Result<Option<u32>, EmbeddedError> {
        let cluster = self.cluster();
        if !cluster.exists() {
            return Ok(None);
        }
        let version = fs::read_to_string(cluster.join("PG_VERSION"));
        if version.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            self.account.check_owner(&cluster)?;
        }
        version.ok().and_then(|text| text.trim().parse().ok()).map(Some).ok_or(EmbeddedError::NoCluster(cluster))
    }

    /// Checks that the server's account owns the cluster; a copy made by another account fails.
    pub(super) fn check_owner_of_cluster(&self) -> Result<(), EmbeddedError> {
        let cluster = self.cluster();
        ["", "PG_VERSION", "global"].iter().try_for_each(|name| self.account.check_owner(&cluster.join(name)))
    }

    /// Creates the socket's folder, closed to other accounts since the socket asks for no password, and empties it. No
    /// server is running; a stale socket lock file whose process id is in use again would prevent the start.
    pub(super) fn make_socket_dir(&self) -> Result<PathBuf, EmbeddedError> {
        let mut dir = self.dir.join("run");
        if !is_fit_for_sockets(&dir) {
            let identity = fs::metadata(&self.dir).map_err(EmbeddedError::io("inspect", &self.dir))?;
            dir = PathBuf::from(format!("/tmp/ecommerce-postgres-{:x}-{:x}", identity.dev(), identity.ino()));
            self.refuse_foreign(&dir)?;
        }
        self.account.make_private_dir(&dir)?;
        for suffix in ["", ".lock"] {
            let _ = fs::remove_file(dir.join(format!("{SOCKET_NAME}{suffix}")));
        }
        Ok(dir)
    }

    /// Removes a socket's folder outside of this one, once its server has ended. Files that a killed server left in it
    /// stay.
    pub(super) fn remove_socket_dir(&self, dir: &Path) {
        if !dir.starts_with(&self.dir) {
            let _ = fs::remove_dir(dir);
        }
    }

    /// Any account can create a name in /tmp: refuses a link or another account's folder.
    fn refuse_foreign(&self, dir: &Path) -> Result<(), EmbeddedError> {
        match fs::symlink_metadata(dir) {
            Ok(found) if found.is_dir() && found.uid() == self.account.uid() => Ok(()),
            Ok(_) => Err(EmbeddedError::SocketFolder(dir.to_owned())),
            Err(_) => Ok(()),
        }
    }
}

/// Returns whether a server setting and a client URL can name this socket folder; both split at commas.
fn is_fit_for_sockets(dir: &Path) -> bool {
    let is_short = dir.as_os_str().len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_LIMIT;
    is_short && dir.to_str().is_some_and(|text| !text.contains(','))
}

/// `initdb` rejects such a path, and every reader would misread `postmaster.pid`.
fn refuse_line_break(dir: &Path) -> Result<(), EmbeddedError> {
    if dir.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        Err(EmbeddedError::LineBreak(dir.to_owned()))
    } else {
        Ok(())
    }
}

/// Creates missing folders, accessible to the server's account whatever the umask; secret contents have their own
/// permissions. Existing folders stay unchanged.
fn create(dir: &Path, account: &Account) -> Result<(), EmbeddedError> {
    if dir.exists() && !dir.is_dir() {
        return Err(EmbeddedError::NoFolder(dir.to_owned()));
    }
    let Some(parent) = dir.parent().filter(|_| !dir.exists()) else {
        return Ok(());
    };
    create(parent, account)?;
    let canonical_parent = parent.canonicalize().map_err(EmbeddedError::io("find", parent))?;
    account.check_reach(&canonical_parent)?;
    if let Err(error) = fs::create_dir(dir)
        && !dir.is_dir()
    {
        return Err(EmbeddedError::io("create", dir)(error));
    }
    match account {
        Account::Own => Ok(()),
        Account::Other { .. } => fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
            .map_err(EmbeddedError::io("set the permissions of", dir)),
    }
}

/// The kernel releases the lock when the process ends in any way. The process id in the file is only for messages.
fn take_lock(dir: &Path, account: &Account) -> Result<Lock, EmbeddedError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let opened = account.open(options.read(true).write(true).create(true).truncate(false), OFlags::empty(), &path);
    let mut file = match opened {
        Err(error) if error.is_denied() => account.check_owner(dir).and(Err(error)),
        opened => opened,
    }?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            let owner = match owner.trim().parse::<u32>() {
                Ok(pid) => format!("process {pid}"),
                Err(_) => "another process".to_owned(),
            };
            return Err(EmbeddedError::InUse { data_dir: dir.to_owned(), owner });
        }
        Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("lock", &path)(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(EmbeddedError::io("write", &path))?;
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_locks_descriptor_locks_nothing() {
        let dir = env::temp_dir().join(format!("ecommerce-lock-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let lock = take_lock(&dir, &Account::Own).unwrap();
        assert!(matches!(take_lock(&dir, &Account::Own), Err(EmbeddedError::InUse { .. })));
        let copy = lock.0.try_clone().unwrap();
        drop(lock);
        drop(take_lock(&dir, &Account::Own).unwrap());
        drop(copy);
        fs::remove_dir_all(&dir).unwrap();
    }
}
