//! Reads `postmaster.pid` and checks whether its server is alive.
//!
//! PostgreSQL checks only whether the process id exists. A zombie has one, and after a reboot another program may: then
//! PostgreSQL would refuse to start for ever. Here the process itself is checked in `/proc`, and a file without a
//! living server of this cluster is removed. The caller holds the data folder's lock, so no launcher is about to write
//! the file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::EmbeddedError;

/// State of a `postmaster.pid`.
#[derive(Debug)]
pub(super) enum Found {
    /// A server that accepts connections.
    Ready {
        /// The file's contents.
        file: PidFile,
        /// The folder of the running program.
        bin_dir: PathBuf,
    },
    /// A server that is starting, stopping or dying.
    InTransition,
    /// No server; the file of a dead one has been removed.
    Nothing,
}

/// The contents of `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster.
    pub(super) pid: u32,
    /// Part of the socket's name.
    pub(super) port: u16,
    /// The socket's folder.
    pub(super) socket_dir: PathBuf,
}

/// Finds the server of this cluster; removes the file of a dead one.
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

/// Returns the pid file of a server of this cluster that accepts connections. Changes nothing, so it needs no lock.
pub(super) fn at_work(cluster: &Path) -> Option<PidFile> {
    let text = read(&cluster.join("postmaster.pid")).ok()?;
    ready(&text).filter(|file| is_alive(file.pid, cluster))
}

/// Reads the file lossily: its folder may not be UTF-8, and a broken disk may leave any bytes.
fn read(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the folder of a process's program; `None` once the process has ended.
fn bin_dir(pid: u32) -> Option<PathBuf> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    program.parent().map(Path::to_owned)
}

/// Returns whether the pid file says that the server with this process id accepts connections.
pub(super) fn is_ready(cluster: &Path, pid: u32) -> bool {
    read(&cluster.join("postmaster.pid")).ok().and_then(|text| ready(&text)).is_some_and(|file| file.pid == pid)
}

/// Returns whether a process is a living PostgreSQL of this cluster: a server's working directory is its cluster.
pub(super) fn is_alive(pid: u32, cluster: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let at_work_here = match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(folder) => folder == cluster,
        // The folder of another account's process is hidden: assume the worse case, a server on this cluster.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    is_living_postgres(&stat) && at_work_here
}

/// Parses `pid (name) state …`; the name may contain brackets and blanks.
fn is_living_postgres(stat: &str) -> bool {
    let Some((before, after)) = stat.rsplit_once(") ") else {
        return false;
    };
    let name = before.split_once('(').map_or("", |(_, name)| name);
    let is_dead = after.starts_with(['Z', 'X']);
    !is_dead && (name == "postgres" || name == "postmaster")
}

/// The process id is on the first line; single-user mode writes it as a negative number.
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
        // This process lives but is not a PostgreSQL.
        let other = format!("{}\n{}\n", std::process::id(), dir.display());
        for junk in [other.as_bytes(), b"", b"\n\n", b"\xff\xfe\x00", b"99999999999999999999\n", b"0\n"] {
            fs::write(dir.join("postmaster.pid"), junk).unwrap();
            assert!(matches!(look(&dir), Ok(Found::Nothing)), "{junk:?}");
            assert!(!dir.join("postmaster.pid").exists(), "{junk:?}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
