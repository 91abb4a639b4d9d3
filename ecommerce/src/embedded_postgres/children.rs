//! The processes of PostgreSQL that this process is responsible for, so that they can be ended when nothing else works.
//!
//! The usual way to stop a server is its handle. A process that is to end at once cannot count on it: the handle may be
//! held by a thread that is itself waiting for the server.

use std::{
    fs, io,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long an immediate shutdown may take; it writes nothing.
const QUIT_WAIT: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a killed process.
const KILL_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

static LIST: Mutex<List> = Mutex::new(List::Open(Vec::new()));

/// The processes at work.
enum List {
    Open(Vec<Running>),
    /// This process ends: none is started any more.
    Closed,
}

/// A process, told from a later one with the same id by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    pid: u32,
    started: u64,
    kind: Kind,
}

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The postmaster, which ends its backends itself.
    Server,
    /// `initdb`, which leads a process group of its own.
    Initdb,
}

/// Keeps a process in the list for as long as it lasts.
#[derive(Debug)]
pub(super) struct Listed(Option<Running>);

impl Listed {
    /// Lists a process that is running already.
    pub(super) fn adopt(pid: u32) -> Self {
        let running = started(pid).map(|started| Running { pid, started, kind: Kind::Server });
        if let List::Open(list) = &mut *lock() {
            list.extend(running);
        }
        Self(running)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let List::Open(list) = &mut *lock() {
            list.retain(|running| Some(*running) != self.0);
        }
    }
}

/// Starts a process and lists it.
pub(super) fn spawn(command: &mut Command, kind: Kind) -> io::Result<(Child, Listed)> {
    let mut list = lock();
    let List::Open(list) = &mut *list else {
        return Err(io::Error::other("the launcher is ending"));
    };
    let child = command.spawn()?;
    let running = started(child.id()).map(|started| Running { pid: child.id(), started, kind });
    list.extend(running);
    Ok((child, Listed(running)))
}

/// Ends every PostgreSQL of this process at once, and for good. What was committed is on disk, and the next start
/// recovers it.
pub fn end_all() {
    let List::Open(running) = std::mem::replace(&mut *lock(), List::Closed) else { return };
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
        // It may have ended by itself just now.
        let _ = match self.kind {
            Kind::Server => kill_process(pid, signal),
            Kind::Initdb => kill_process_group(pid, signal),
        };
    }
}

fn lock() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns when a living process was started, in ticks since the boot: fields 3 and 22 of proc_pid_stat(5).
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
