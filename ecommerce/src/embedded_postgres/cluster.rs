//! Creates a cluster: `initdb` into a temporary folder, then one rename, so that a half-made cluster is never used.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::process::CommandExt,
    process::{Output, Stdio},
};

use super::{
    EmbeddedError,
    binaries::Binaries,
    children::{self, Kind},
    folder::DataFolder,
    server,
};

/// Superuser over the socket without a password, since other accounts cannot enter the socket's folder. TCP, off by
/// default, requires a password, and none is set. The C locale sorts the same on every system.
const INITDB_ARGUMENTS: [&str; 6] = [
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-instructions",
];

/// Creates the cluster of a data folder.
///
/// # Errors
/// The message of `initdb`, or a full disk.
pub(super) fn create(folder: &DataFolder, binaries: &Binaries) -> Result<(), EmbeddedError> {
    let unfinished = folder.new_cluster();
    if let Err(error) = fs::remove_dir_all(&unfinished)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(EmbeddedError::io("remove", &unfinished)(error));
    }
    folder.account().make_private_dir(&unfinished)?;
    let initdb = binaries.dir.join("initdb");
    let mut command = folder.account().command(&initdb, folder.dir());
    command
        .args(INITDB_ARGUMENTS)
        .arg("--pgdata")
        .arg(&unfinished)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C must reach only the launcher, which handles it after this step.
        .process_group(0);
    let output = children::spawn(&mut command, Kind::Initdb)
        .and_then(|(child, _listed)| child.wait_with_output())
        .map_err(EmbeddedError::io("run", &initdb))?;
    if !output.status.success() {
        let _ = fs::remove_dir_all(&unfinished);
        return Err(failure(folder, &output));
    }
    let cluster = folder.cluster();
    fs::rename(&unfinished, &cluster).map_err(EmbeddedError::io("create", &cluster))?;
    // The rename must be on disk before any commit in the cluster is acknowledged.
    File::open(folder.dir()).and_then(|dir| dir.sync_all()).map_err(EmbeddedError::io("sync", folder.dir()))
}

fn failure(folder: &DataFolder, output: &Output) -> EmbeddedError {
    let said = String::from_utf8_lossy(&output.stderr);
    if server::tells_of_full_disk(&said) {
        return EmbeddedError::DiskFull(folder.dir().to_owned());
    }
    EmbeddedError::Initdb {
        dir: folder.dir().to_owned(),
        reason: server::essence(&said).unwrap_or_else(|| output.status.to_string()),
    }
}
