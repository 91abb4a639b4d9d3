//! The data folder: where it is, what is where in it, and the lock that one launcher holds on it.

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
/// What the server names its socket within the folder; `server::PORT` is in it.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// Returns the folder for data that nobody named: `/var/lib/ecommerce` for root, whose home is closed to the server's
/// account, else `$XDG_DATA_HOME/ecommerce` or `~/.local/share/ecommerce`.
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

/// A data folder that this process holds the lock of.
#[derive(Debug)]
pub(super) struct DataFolder {
    dir: PathBuf,
    account: Account,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if need be, checks that the server can reach it and takes the lock.
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

    /// Where a cluster is made before it is moved to its place in one step.
    pub(super) fn new_cluster(&self) -> PathBuf {
        self.dir.join("postgres.new")
    }

    pub(super) fn binaries(&self) -> PathBuf {
        self.dir.join("binaries")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// Returns the major version that the cluster was made by; `None` when there is no cluster yet.
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

    /// Checks that the server's account owns the cluster, which a copy made by another account does not belong to.
    pub(super) fn check_owner_of_cluster(&self) -> Result<(), EmbeddedError> {
        let cluster = self.cluster();
        ["", "PG_VERSION", "global"].iter().try_for_each(|name| self.account.check_owner(&cluster.join(name)))
    }

    /// Makes the folder of the socket, closed to other accounts since the socket asks for no password, and empties it:
    /// no server is running, and a socket's lock file with a process id that somebody else has by now would stop ours.
    pub(super) fn make_socket_dir(&self) -> Result<PathBuf, EmbeddedError> {
        let mut dir = self.dir.join("run");
        if !is_fit_for_sockets(&dir) {
            let identity = fs::metadata(&self.dir).map_err(EmbeddedError::io("look at", &self.dir))?;
            dir = PathBuf::from(format!("/tmp/ecommerce-postgres-{:x}-{:x}", identity.dev(), identity.ino()));
            self.refuse_foreign(&dir)?;
        }
        self.account.make_private_dir(&dir)?;
        for suffix in ["", ".lock"] {
            let _ = fs::remove_file(dir.join(format!("{SOCKET_NAME}{suffix}")));
        }
        Ok(dir)
    }

    /// Anyone may make a name in /tmp: a link or another account's folder there is not used.
    fn refuse_foreign(&self, dir: &Path) -> Result<(), EmbeddedError> {
        match fs::symlink_metadata(dir) {
            Ok(found) if found.is_dir() && found.uid() == self.account.uid() => Ok(()),
            Ok(_) => Err(EmbeddedError::SocketFolder(dir.to_owned())),
            Err(_) => Ok(()),
        }
    }
}

/// Tells whether a server can be told of a folder of sockets, and clients by a URL: in both a comma separates folders.
fn is_fit_for_sockets(dir: &Path) -> bool {
    let is_short = dir.as_os_str().len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_LIMIT;
    is_short && dir.to_str().is_some_and(|text| !text.contains(','))
}

/// `initdb` takes no such path, and `postmaster.pid` would be read wrongly by all.
fn refuse_line_break(dir: &Path) -> Result<(), EmbeddedError> {
    match dir.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        true => Err(EmbeddedError::LineBreak(dir.to_owned())),
        false => Ok(()),
    }
}

/// Makes the folders that are missing, open to the server's account whatever the umask: what is secret within has its
/// own permissions. Those that exist are left as they are.
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

/// The lock is the kernel's: it goes with the process, however that ends. The process id in it is for messages alone.
fn take_lock(dir: &Path, account: &Account) -> Result<File, EmbeddedError> {
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
    Ok(file)
}
