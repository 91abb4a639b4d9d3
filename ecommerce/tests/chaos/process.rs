//! One service as a process: start, kill, pause, stop.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tests::{PATIENCE, wait_until};

/// Lines of a process's log shown when its test fails.
const SHOWN_LINES: usize = 15;

/// A service, running or not, with a fixed address.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Prepares a process; [`Process::start`] starts it.
    pub(crate) fn new(
        name: &str,
        address: SocketAddr,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        log: PathBuf,
    ) -> Self {
        Self { name: name.to_owned(), address, arguments, environment, log, child: Mutex::new(None) }
    }

    /// Starts it, without the ECOMMERCE_ variables of the test's environment.
    pub(crate) fn start(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecommerce"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ECOMMERCE_")) {
            // This includes ECOMMERCE_PG_BIN, which a service does not use.
            command.env_remove(name);
        }
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        command
            .current_dir("/")
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let previous = self.child.lock().replace(command.spawn().unwrap());
        assert!(previous.is_none(), "{} is already running", self.name);
    }

    /// Kills it, like a crash.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().take().unwrap_or_else(|| panic!("{} does not run", self.name));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) async fn terminate(&self) -> Option<i32> {
        self.signal(Signal::TERM);
        let ended = async || self.child.lock().as_mut()?.try_wait().unwrap();
        let status = wait_until(&format!("{} has stopped", self.name), PATIENCE, ended).await;
        self.child.lock().take();
        status.code()
    }

    /// Pauses it (SIGSTOP).
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes it (SIGCONT).
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Returns its whole log.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.lock().as_ref().map(Child::id).unwrap_or_else(|| panic!("{} does not run", self.name));
        kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().take() {
            // SIGKILL ends a paused process too.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<&str> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("--- last output of {}:\n{}", self.name, last.join("\n"));
        } else {
            tests::panics::assert_none_in(&self.said());
        }
    }
}
