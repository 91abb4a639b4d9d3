//! The list of this process's PostgreSQL processes, so that a forced exit can end them.
//!
//! The usual way to stop a server is its handle. A forced exit cannot rely on it: the handle may be held by a thread
//! that is waiting for the server.

use std::{
    fs, io,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Time limit for an immediate shutdown; it writes nothing.
const QUIT_WAIT: Duration = Duration::from_secs(5);
/// Time limit for the kernel to end a killed process.
const KILL_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

static LIST: Mutex<List> = Mutex::new(List::Open(Vec::new()));

/// The running processes.
enum List {
    Open(Vec<Running>),
    /// This process is exiting: no more are started.
    Closed,
}

/// A process, distinguished by its start time from a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    pid: u32,
    started: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The postmaster; it ends its own backends.
    Server,
    /// `initdb`, leader of its own process group.
    Initdb,
}

/// Keeps a process in the list until dropped.
#[derive(Debug)]
pub(super) struct Listed(Option<Running>);

impl Listed {
    /// Lists a process that is already running.
    pub(super) fn adopt(pid: u32) -> Self {
        let running = started(pid).map(|started| Running { pid, started, kind: Kind::Server });
        if let List::Open(list) = &mut *LIST.lock() {
            list.extend(running);
        }
        Self(running)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let List::Open(list) = &mut *LIST.lock() {
            list.retain(|running| Some(*running) != self.0);
        }
    }
}

/// Starts a process and lists it.
pub(super) fn spawn(command: &mut Command, kind: Kind) -> io::Result<(Child, Listed)> {
    let mut list = LIST.lock();
    let List::Open(list) = &mut *list else {
        return Err(io::Error::other("the launcher is stopping"));
    };
    let child = command.spawn()?;
    let running = started(child.id()).map(|started| Running { pid: child.id(), started, kind });
    list.extend(running);
    Ok((child, Listed(running)))
}

/// Ends every PostgreSQL of this process immediately and starts no more. Committed data is on disk; the next start
/// recovers it.
pub fn end_all() {
    let List::Open(running) = std::mem::replace(&mut *LIST.lock(), List::Closed) else { return };
    for (signal, patience) in [(Signal::QUIT, QUIT_WAIT), (Signal::KILL, KILL_WAIT)] {
        for one in running.iter().filter(|one| one.is_alive()) {
            one.signal(signal);
        }
        let begun = Instant::now();
        while running.iter().any(Running::is_alive) && begun.elapsed() < patience {
            thread::sleep(POLL);
        }
    }
}

impl Running {
    fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    fn signal(self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        // It may have just ended by itself.
        let _ = match self.kind {
            Kind::Server => kill_process(pid, signal),
            Kind::Initdb => kill_process_group(pid, signal),
        };
    }
}

/// Returns the start time of a living process, in ticks since boot: fields 3 and 22 of proc_pid_stat(5).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!state.starts_with(['Z', 'X'])).then_some(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_and_a_dead_one_has_none() {
        let own = std::process::id();
        let begun = started(own).unwrap();
        assert!(Running { pid: own, started: begun, kind: Kind::Server }.is_alive());
        assert!(!Running { pid: own, started: begun + 1, kind: Kind::Server }.is_alive());
        assert_eq!(started(u32::MAX), None);
    }
}
