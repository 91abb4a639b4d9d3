//! Reads `postmaster.pid` and decides whether a server is alive behind it.
//!
//! PostgreSQL asks only whether the process id exists. A zombie has one, and after a reboot another program may:
//! it would then refuse to start for ever. Here the process itself is looked at, in `/proc`, and a file that no living
//! server of this cluster stands behind is removed. The data folder's lock is held meanwhile, so no launcher is just
//! about to write that file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::EmbeddedError;

/// What stands behind a `postmaster.pid`.
#[derive(Debug)]
pub(super) enum Found {
    /// A server that takes connections.
    Ready {
        /// What it wrote.
        file: PidFile,
        /// The folder of the program that runs.
        bin_dir: PathBuf,
    },
    /// A server that is starting, stopping or dying.
    InTransition,
    /// No server; what a dead one left behind has been removed.
    Nothing,
}

/// What a server wrote about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster.
    pub(super) pid: u32,
    /// In the name of the socket.
    pub(super) port: u16,
    /// Where the socket is.
    pub(super) socket_dir: PathBuf,
}

/// Looks for a server of this cluster and removes the file of a dead one.
pub(super) fn look(cluster: &Path) -> Result<Found, EmbeddedError> {
    let path = cluster.join("postmaster.pid");
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(EmbeddedError::io("read", &path)(error)),
    };
    match first_pid(&text) {
        Some(pid) if is_alive(pid, cluster) => Ok(match (ready(&text), bin_dir(pid)) {
            (Some(file), Some(bin_dir)) => Found::Ready { file, bin_dir },
            _ => Found::InTransition,
        }),
        _ => {
            fs::remove_file(&path).map_err(EmbeddedError::io("remove", &path))?;
            Ok(Found::Nothing)
        }
    }
}

/// Returns what a server of this cluster wrote that takes connections now, and touches nothing: for those who hold no lock.
pub(super) fn at_work(cluster: &Path) -> Option<PidFile> {
    let text = read(&cluster.join("postmaster.pid")).ok()?;
    ready(&text).filter(|file| is_alive(file.pid, cluster))
}

/// Reads the file. The folder in it may be no UTF-8, and a file that a broken disk left may be anything.
fn read(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The folder of a process's program; `None` once the process has ended.
fn bin_dir(pid: u32) -> Option<PathBuf> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    program.parent().map(Path::to_owned)
}

/// Says whether the server with this process id has written that it takes connections.
pub(super) fn is_ready(cluster: &Path, pid: u32) -> bool {
    read(&cluster.join("postmaster.pid")).ok().and_then(|text| ready(&text)).is_some_and(|file| file.pid == pid)
}

/// Says whether a process is a living PostgreSQL in this cluster, which is every server's working directory.
pub(super) fn is_alive(pid: u32, cluster: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let at_work_here = match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(folder) => folder == cluster,
        // Another account's process does not show its folder: assume the worse, that it is a server on this cluster.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    is_living_postgres(&stat) && at_work_here
}

/// Reads `pid (name) state …`; the name may itself hold brackets and blanks.
fn is_living_postgres(stat: &str) -> bool {
    let Some((before, after)) = stat.rsplit_once(") ") else {
        return false;
    };
    let name = before.split_once('(').map_or("", |(_, name)| name);
    let is_dead = after.starts_with(['Z', 'X']);
    !is_dead && (name == "postgres" || name == "postmaster")
}

/// The process id is on the first line; a server in single-user mode writes it as a negative number.
fn first_pid(text: &str) -> Option<u32> {
    text.lines().next()?.trim().trim_start_matches('-').parse().ok()
}

/// Lines of `postmaster.pid`: pid, data folder, start time, port, socket folder, address, shared memory, status.
/// See PostgreSQL's `pidfile.h`.
fn ready(text: &str) -> Option<PidFile> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    if lines.get(7) != Some(&"ready") {
        return None;
    }
    Some(PidFile { pid: lines[0].parse().ok()?, port: lines[3].parse().ok()?, socket_dir: PathBuf::from(lines[4]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_says_ready_is_ready() {
        let text = "4711\n/d/postgres\n1700000000\n5432\n/d/run\n\n  123 456\nready   \n";
        let expected = PidFile { pid: 4711, port: 5432, socket_dir: PathBuf::from("/d/run") };
        assert_eq!(ready(text), Some(expected));
        assert_eq!(ready(&text.replace("ready   ", "starting")), None);
        assert_eq!(ready(&text.replace("ready   ", "stopping")), None);
        assert_eq!(ready("4711\n/d/postgres\n"), None);
        assert_eq!(first_pid("-4711\n"), Some(4711));
        assert_eq!(first_pid(""), None);
    }

    #[test]
    fn zombies_and_other_programs_are_no_servers() {
        assert!(is_living_postgres("12 (postgres) S 1 12 12 0"));
        assert!(!is_living_postgres("12 (postgres) Z 1 12 12 0"));
        assert!(!is_living_postgres("12 (bash) S 1 12 12 0"));
        assert!(!is_living_postgres("12 (my (postgres) thing) S 1 12"));
        assert!(!is_living_postgres(""));
    }

    #[test]
    fn the_file_of_a_dead_server_is_removed() {
        let dir = std::env::temp_dir().join(format!("postmaster-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        // This process lives, but it is no PostgreSQL.
        let other = format!("{}\n{}\n", std::process::id(), dir.display());
        for junk in [other.as_bytes(), b"", b"\n\n", b"\xff\xfe\x00", b"99999999999999999999\n", b"0\n"] {
            fs::write(dir.join("postmaster.pid"), junk).unwrap();
            assert!(matches!(look(&dir), Ok(Found::Nothing)), "{junk:?}");
            assert!(!dir.join("postmaster.pid").exists(), "{junk:?}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
