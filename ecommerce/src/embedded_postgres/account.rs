//! As whom the server runs: as ourselves, or, since PostgreSQL refuses root, as an account of its own.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use super::EmbeddedError;

/// Preferred first: the account that a PostgreSQL package brings along, then the one that every system has.
const SERVER_ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The account of the server's processes and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Ours.
    Own,
    /// Another one, since we are root.
    Other {
        /// For messages.
        name: String,
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

impl Account {
    /// Returns the account to run as. An existing cluster keeps its owner, so that one made by `nobody` is not lost
    /// when a package that brings `postgres` is installed later.
    pub(super) fn for_cluster(cluster: &Path) -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if let Ok(owner) = fs::metadata(cluster)
            && owner.uid() != 0
        {
            return Ok(Self::Other { name: name_of(&passwd, owner.uid()), uid: owner.uid(), gid: owner.gid() });
        }
        SERVER_ACCOUNTS.iter().find_map(|name| by_name(&passwd, name)).ok_or(EmbeddedError::NoAccount)
    }

    /// Prepares a program to run as this account, in a folder that it can enter. PostgreSQL's own variables and our
    /// secrets are not handed on.
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

    /// Makes a folder that only this account may enter.
    pub(super) fn make_private_dir(&self, dir: &Path) -> Result<(), EmbeddedError> {
        if let Err(error) = fs::create_dir(dir)
            && !dir.is_dir()
        {
            return Err(EmbeddedError::io("create", dir)(error));
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(EmbeddedError::io("set the permissions of", dir))?;
        if let Self::Other { uid, gid, .. } = self {
            chown(dir, Some(*uid), Some(*gid)).map_err(EmbeddedError::io("give away", dir))?;
        }
        Ok(())
    }

    /// Returns the user id of files that this account makes.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// Checks that the account can enter a folder through all folders above it.
    pub(super) fn check_reach(&self, dir: &Path) -> Result<(), EmbeddedError> {
        let Self::Other { name, uid, gid } = self else {
            return Ok(());
        };
        for above in dir.ancestors() {
            let metadata = fs::metadata(above).map_err(EmbeddedError::io("look at", above))?;
            if !can_enter(&metadata, *uid, *gid) {
                return Err(EmbeddedError::OutOfReach { dir: above.to_owned(), account: name.clone() });
            }
        }
        Ok(())
    }
}

fn can_enter(metadata: &fs::Metadata, uid: u32, gid: u32) -> bool {
    let execute_bit = match () {
        () if metadata.uid() == uid => 0o100,
        () if metadata.gid() == gid => 0o010,
        () => 0o001,
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
        .map_or_else(|| format!("with user id {uid}"), str::to_owned)
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
        assert_eq!(name_of(PASSWD, 7), "with user id 7");
    }
}
