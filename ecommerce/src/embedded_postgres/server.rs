//! The server's process: start, readiness, stop.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    EmbeddedError,
    children::{self, Kind, Listed},
    folder::DataFolder,
    postmaster,
};

/// Only part of the socket's name: no TCP port is open unless `listen_addresses` is set.
pub(super) const PORT: u16 = 5432;

/// Override PostgreSQL's defaults. fsync stays on: an accepted saga must survive a power cut. Five pools and tools need
/// more than 100 connections; rare checkpoints, spread over time, do not disturb the group commits.
const SETTINGS: [(&str, &str); 13] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("cluster_name", "ecommerce"),
    ("max_connections", "200"),
    ("shared_buffers", "256MB"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("wal_buffers", "16MB"),
    ("max_wal_size", "2GB"),
    ("checkpoint_timeout", "15min"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

const POLL: Duration = Duration::from_millis(10);
/// A fast shutdown writes a checkpoint, which takes a while on slow disks.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// An immediate shutdown writes nothing.
const QUIT_WAIT: Duration = Duration::from_secs(5);
/// Time limit for the remains of a killed server, its shared memory and lock files, to disappear.
const REMAINS_WAIT: Duration = Duration::from_secs(10);
/// For messages only the end of a log is read.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

#[derive(Debug)]
pub(super) struct Process {
    postmaster: Postmaster,
    _listed: Listed,
}

/// The postmaster: our child, or adopted from a killed launcher.
#[derive(Debug)]
enum Postmaster {
    /// Started by us.
    Child(Child),
    /// Found running.
    Adopted(u32),
}

impl Process {
    pub(super) fn adopt(pid: u32) -> Self {
        Self { postmaster: Postmaster::Adopted(pid), _listed: Listed::adopt(pid) }
    }

    pub(super) fn pid(&self) -> u32 {
        match &self.postmaster {
            Postmaster::Child(child) => child.id(),
            Postmaster::Adopted(pid) => *pid,
        }
    }

    pub(super) fn is_running(&mut self, cluster: &Path) -> bool {
        match &mut self.postmaster {
            Postmaster::Child(child) => matches!(child.try_wait(), Ok(None)),
            Postmaster::Adopted(pid) => postmaster::is_alive(*pid, cluster),
        }
    }

    /// Requests a fast shutdown and waits; then an immediate one; then kills.
    pub(super) fn stop(&mut self, cluster: &Path) -> Result<(), EmbeddedError> {
        for (signal, patience) in [(Signal::INT, STOP_WAIT), (Signal::QUIT, QUIT_WAIT), (Signal::KILL, QUIT_WAIT)] {
            if !self.is_running(cluster) {
                return Ok(());
            }
            self.signal(signal);
            if wait_until(patience, || Ok(!self.is_running(cluster)))? && signal == Signal::INT {
                return Ok(());
            }
        }
        Err(EmbeddedError::Stop { pid: self.pid(), waited_s: STOP_WAIT.as_secs() })
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have just ended by itself, which is the goal.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Parameters of a start.
pub(super) struct Spawn<'a> {
    pub(super) folder: &'a DataFolder,
    pub(super) bin_dir: &'a Path,
    pub(super) socket_dir: &'a Path,
    pub(super) extra_settings: &'a [(String, String)],
}

impl Spawn<'_> {
    /// Starts the server and returns once it accepts connections. Waits until the remains of a killed server (shared
    /// memory, held until its last backends notice) are gone.
    pub(super) fn run(&self, patience: Duration) -> Result<Process, EmbeddedError> {
        let begun = Instant::now();
        loop {
            match self.run_once(patience) {
                Err(EmbeddedError::Start { reason, .. })
                    if tells_of_remains(&reason) && begun.elapsed() < REMAINS_WAIT =>
                {
                    thread::sleep(POLL * 10);
                    postmaster::look(&self.folder.cluster())?;
                }
                other => return other,
            }
        }
    }

    fn run_once(&self, patience: Duration) -> Result<Process, EmbeddedError> {
        let cluster = self.folder.cluster();
        let log_file = self.folder.log_file();
        let log = self.folder.account().open_log(&log_file)?;
        let log_start = log.metadata().map_or(0, |metadata| metadata.len());
        let (mut child, listed) = self.spawn(&cluster, log)?;
        let mut ended = None;
        let settled = wait_until(patience, || {
            ended = child.try_wait().map_err(EmbeddedError::io("wait for", &cluster))?;
            Ok(ended.is_some() || postmaster::is_ready(&cluster, child.id()))
        });
        if matches!(settled, Ok(true)) && ended.is_none() {
            return Ok(Process { postmaster: Postmaster::Child(child), _listed: listed });
        }
        let status = ended.map(|status| status.to_string());
        // Not ready in time: stop it, so that no half-started server remains.
        let _ = Process { postmaster: Postmaster::Child(child), _listed: listed }.stop(&cluster);
        settled?;
        let said = read_from(&log_file, log_start);
        Err(match status {
            None => EmbeddedError::NotReady { waited_s: patience.as_secs(), log_file },
            Some(_) if tells_of_full_disk(&said) => EmbeddedError::DiskFull(self.folder.dir().to_owned()),
            Some(status) => EmbeddedError::Start { reason: essence(&said).unwrap_or(status), log_file },
        })
    }

    fn spawn(&self, cluster: &Path, log: File) -> Result<(Child, Listed), EmbeddedError> {
        let program = self.bin_dir.join("postgres");
        let mut command = self.folder.account().command(&program, self.folder.dir());
        command.arg("-D").arg(cluster);
        command.arg("-k").arg(self.socket_dir);
        command.arg("-p").arg(PORT.to_string());
        let extra = self.extra_settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(extra) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let errors = log.try_clone().map_err(EmbeddedError::io("open", &program))?;
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C must reach only the launcher: it stops the services before their database.
            .process_group(0);
        children::spawn(&mut command, Kind::Server).map_err(EmbeddedError::io("run", &program))
    }
}

/// Polls until the condition holds; `false` on timeout.
pub(super) fn wait_until(
    patience: Duration,
    mut is_so: impl FnMut() -> Result<bool, EmbeddedError>,
) -> Result<bool, EmbeddedError> {
    let begun = Instant::now();
    loop {
        if is_so()? {
            return Ok(true);
        }
        if begun.elapsed() > patience {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}

/// Returns whether PostgreSQL's messages indicate a full disk.
pub(super) fn tells_of_full_disk(said: &str) -> bool {
    // The second is the hint of a write that was cut short.
    said.contains("No space left on device") || said.contains("Check free disk space")
}

/// Extracts from PostgreSQL's messages the reason why it ended, on one line; else returns the last lines.
pub(super) fn essence(said: &str) -> Option<String> {
    const TELLING: [&str; 5] = ["FATAL:", "PANIC:", "error:", "HINT:", "DETAIL:"];
    const LAST_LINES: usize = 3;
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let telling: Vec<&str> =
        lines.iter().filter_map(|line| TELLING.iter().find_map(|word| line.find(word).map(|at| &line[at..]))).collect();
    let chosen = if telling.is_empty() { &lines[lines.len().saturating_sub(LAST_LINES)..] } else { &telling };
    Some(chosen.join(" | ")).filter(|text| !text.is_empty())
}

fn tells_of_remains(reason: &str) -> bool {
    reason.contains("is still in use") || reason.contains("already exists")
}

/// Reads a log from `start` on, or only its tail if that is long.
fn read_from(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let end = file.metadata().map_or(start, |metadata| metadata.len());
        let from = start.max(end.saturating_sub(LOG_TAIL_BYTES));
        let _ = file.seek(SeekFrom::Start(from));
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_lines_are_quoted_and_else_the_last_ones() {
        let said =
            "2026-01-01 [7] LOG:  starting\n2026-01-01 [7] FATAL:  could not bind\n2026-01-01 [7] HINT:  use another\n";
        assert_eq!(essence(said).as_deref(), Some("FATAL:  could not bind | HINT:  use another"));
        assert_eq!(essence("a\nb\n\nc\nd\n").as_deref(), Some("b | c | d"));
        assert_eq!(essence("\n"), None);
    }
}
