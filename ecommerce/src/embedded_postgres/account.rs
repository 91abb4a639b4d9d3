//! The account of the server: our own, or, since PostgreSQL refuses root, another one.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use rustix::fs::OFlags;

use super::EmbeddedError;

/// A larger log is rotated at a start.
const LOG_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// In order of preference: the account of a PostgreSQL package, then one that exists on every system.
const SERVER_ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The account of the server's processes and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Our own.
    Own,
    /// Another account, because we are root.
    Other {
        /// Used in messages.
        name: String,
        uid: u32,
        gid: u32,
    },
}

impl Account {
    /// Returns the account to run as. An existing cluster keeps its owner, so that a cluster created by `nobody` stays
    /// usable after a package installs `postgres`.
    pub(super) fn for_folder(dir: &Path) -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let accounts: Vec<Self> = SERVER_ACCOUNTS.iter().filter_map(|name| by_name(&passwd, name)).collect();
        let cluster = dir.join("postgres");
        let owner = match fs::symlink_metadata(&cluster) {
            Ok(found) if found.is_symlink() => return Err(EmbeddedError::Link(cluster)),
            Ok(found) => found.uid(),
            Err(_) => 0,
        };
        let found = fs::metadata(dir).map_or(0, |found| found.uid());
        if let Some(third) =
            [found, owner].into_iter().find(|uid| *uid != 0 && !accounts.iter().any(|one| one.uid() == *uid))
        {
            return Err(EmbeddedError::ThirdAccount { dir: dir.to_owned(), owner: name_of(&passwd, third) });
        }
        let kept = accounts.iter().position(|account| account.uid() == owner).unwrap_or_default();
        accounts.into_iter().nth(kept).ok_or(EmbeddedError::NoAccount)
    }

    /// Makes a command that runs as this account, in a folder that it can enter. PostgreSQL's own variables and our
    /// secrets are removed from its environment.
    pub(super) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("PG") || name_text.starts_with("ECOMMERCE") {
                command.env_remove(&name);
            }
        }
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Creates a folder that only this account may enter. An existing folder is changed through its handle, so that a
    /// link swapped in meanwhile does no harm.
    pub(super) fn make_private_dir(&self, dir: &Path) -> Result<(), EmbeddedError> {
        if let Err(error) = fs::create_dir(dir)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(EmbeddedError::io("create", dir)(error));
        }
        let mut options = OpenOptions::new();
        let folder = self.open(options.read(true), OFlags::DIRECTORY, dir)?;
        folder
            .set_permissions(fs::Permissions::from_mode(0o700))
            .map_err(EmbeddedError::io("set the permissions of", dir))?;
        if let Self::Other { uid, gid, .. } = self {
            fchown(&folder, Some(*uid), Some(*gid)).map_err(EmbeddedError::io("change the owner of", dir))?;
        }
        Ok(())
    }

    /// Opens the server's log for appending. A large log is rotated.
    pub(super) fn open_log(&self, path: &Path) -> Result<File, EmbeddedError> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() > LOG_LIMIT_BYTES) {
            let _ = fs::rename(path, path.with_extension("log.1"));
        }
        self.open(OpenOptions::new().create(true).append(true), OFlags::empty(), path)
    }

    /// Opens a file or folder in the data folder. Root follows no link there.
    pub(super) fn open(&self, options: &mut OpenOptions, flags: OFlags, path: &Path) -> Result<File, EmbeddedError> {
        let flags = match self {
            Self::Own => flags,
            Self::Other { .. } => flags | OFlags::NOFOLLOW,
        };
        let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
        opened.map_err(|error| match self.refuse_link(path) {
            Err(link) => link,
            Ok(()) => EmbeddedError::io("open", path)(error),
        })
    }

    /// Refuses a link in the data folder if root would follow it.
    pub(super) fn refuse_link(&self, path: &Path) -> Result<(), EmbeddedError> {
        match self {
            Self::Other { .. } if path.is_symlink() => Err(EmbeddedError::Link(path.to_owned())),
            _ => Ok(()),
        }
    }

    /// Checks that the server's account owns a file of its cluster.
    pub(super) fn check_owner(&self, path: &Path) -> Result<(), EmbeddedError> {
        let found = fs::metadata(path).map_err(EmbeddedError::io("inspect", path))?;
        if found.uid() == self.uid() {
            return Ok(());
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Err(EmbeddedError::WrongOwner {
            path: path.to_owned(),
            owner: name_of(&passwd, found.uid()),
            account: name_of(&passwd, self.uid()),
        })
    }

    /// Returns the owner of the files that this account creates.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// Checks that the account can enter a folder and all its ancestors.
    pub(super) fn check_reach(&self, dir: &Path) -> Result<(), EmbeddedError> {
        let Self::Other { name, uid, gid } = self else {
            return Ok(());
        };
        for above in dir.ancestors() {
            let metadata = fs::metadata(above).map_err(EmbeddedError::io("inspect", above))?;
            if !can_enter(&metadata, *uid, *gid) {
                return Err(EmbeddedError::OutOfReach { dir: above.to_owned(), account: name.clone() });
            }
        }
        Ok(())
    }
}

fn can_enter(metadata: &fs::Metadata, uid: u32, gid: u32) -> bool {
    let execute_bit = if metadata.uid() == uid {
        0o100
    } else if metadata.gid() == gid {
        0o010
    } else {
        0o001
    };
    metadata.mode() & execute_bit != 0
}

/// Finds an account in the text of /etc/passwd: `name:password:uid:gid:…`.
fn by_name(passwd: &str, wanted: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == wanted)?;
        Some(Account::Other {
            name: name.to_owned(),
            uid: fields.nth(1)?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

fn name_of(passwd: &str, uid: u32) -> String {
    let uid = uid.to_string();
    passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&uid))
        .and_then(|line| line.split(':').next())
        .map_or(uid, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533::/nonexistent:/usr/sbin/nologin\n";

    #[test]
    fn accounts_are_found_by_name_and_by_id() {
        let nobody = Account::Other { name: "nobody".to_owned(), uid: 65534, gid: 65533 };
        assert_eq!(by_name(PASSWD, "nobody"), Some(nobody));
        assert_eq!(by_name(PASSWD, "postgres"), None);
        assert_eq!(name_of(PASSWD, 65534), "nobody");
        assert_eq!(name_of(PASSWD, 7), "7");
    }
}
