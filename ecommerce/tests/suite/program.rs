//! Runs the binary: to its end, or as a long-running process that is always stopped at the end of the test.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tests::panics::assert_none_in;

use crate::support::{self, PATIENCE};

/// Result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Returns the error line.
    pub(crate) fn error(&self) -> &str {
        let lines: Vec<&str> = self.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "one error: {self:?}");
        lines[0]
    }
}

/// Makes a command without the ECOMMERCE and OTEL variables of the test's environment, in a folder without a `config`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecommerce"));
    for (name, _) in std::env::vars_os() {
        if ["ECOMMERCE", "OTEL"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.current_dir("/").args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    finish(&mut command(arguments))
}

pub(crate) fn finish(command: &mut Command) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (pid, (ended, end)) = (child.id(), channel::<()>());
    // A command that should have ended is stopped, and its PostgreSQL with it, so that its test fails.
    let watchdog = thread::spawn(move || {
        let is_late = end.recv_timeout(LONGEST_RUN) == Err(RecvTimeoutError::Timeout);
        if is_late {
            send(pid, Signal::TERM);
        }
        is_late
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    drop(ended);
    let is_late = watchdog.join().unwrap();
    let ran = Ran {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    };
    assert!(!is_late, "it did not end by itself: {ran:?}");
    assert_none_in(&ran.err);
    ran
}

/// How long a command may run that ends by itself.
const LONGEST_RUN: Duration = Duration::from_secs(300);

/// A process that runs until it is stopped, together with its PostgreSQL.
pub(crate) struct Server {
    child: Child,
    out: Lines,
    err: Lines,
    /// Its output before the last line that was waited for.
    pub(crate) said: String,
}

impl Server {
    /// Starts `up` on a data folder, with free ports and a profile without failures.
    pub(crate) fn up(data_dir: &Path) -> Self {
        Self::start(&mut up_command(data_dir))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Lines::of(child.stdout.take().unwrap());
        let err = Lines::of(child.stderr.take().unwrap());
        Self { child, out, err, said: String::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on standard output that begins with a word; returns the next word of the line.
    pub(crate) fn wait_for_line(&mut self, first_word: &str) -> String {
        loop {
            let Some(line) = self.out.next() else {
                panic!("the process ended without a line {first_word:?}, after {:?}", self.said);
            };
            let mut words = line.split_whitespace();
            if words.next() == Some(first_word) {
                return words.next().unwrap_or_default().to_owned();
            }
            self.said.push_str(&line);
            self.said.push('\n');
        }
    }

    /// Waits until `up` reports that all services run; returns the address of the orchestrator.
    pub(crate) fn wait_until_up(&mut self) -> String {
        let front = self.wait_for_line("orchestrator");
        self.wait_for_line("Ctrl-C");
        front
    }

    /// As [`Server::wait_until_up`], with a log in JSON: every line so far is added to `said`.
    pub(crate) fn wait_until_logged_up(&mut self) -> String {
        let mut front = None;
        loop {
            let line = self.err.next().expect("the process still writes");
            self.said.push_str(&line);
            self.said.push('\n');
            let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
            if line["message"] == "the service is running" && line["service"] == "orchestrator" {
                front = line["url"].as_str().map(str::to_owned);
            }
            if line["message"] == "all services are running" {
                return front.expect("the orchestrator is one of them");
            }
        }
    }

    /// Returns whether its output so far contains a text.
    pub(crate) fn has_said(&mut self, text: &str) -> bool {
        while let Ok(line) = self.out.0.try_recv() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        self.said.contains(text)
    }

    /// Returns all that it has written to standard output.
    pub(crate) fn printed(&self) -> String {
        self.out.1.lock().clone()
    }

    /// Waits for a line on standard error with this beginning.
    pub(crate) fn wait_for_notice(&mut self, beginning: &str) {
        while !self.err.next().expect("the process still writes").starts_with(beginning) {}
    }

    /// Waits for a line on standard error that contains this text, such as a JSON log line.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        while !self.err.next().expect("the process still writes").contains(text) {}
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for the end; returns exit code and standard error.
    pub(crate) fn wait(&mut self) -> (i32, String) {
        let mut code = None;
        support::wait_until("the process has ended", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        (code.and_then(|status| status.code()).unwrap_or(-1), self.err.rest())
    }

    /// Requests an orderly stop, as a container platform does.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let (code, err) = self.wait();
        assert_eq!(code, 0, "{err}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("standard error of the process:\n{}", self.err.rest());
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            support::wait_until("the process has ended", || !matches!(self.child.try_wait(), Ok(None)));
        }
        if !std::thread::panicking() {
            let said = self.err.1.lock();
            assert_none_in(&said);
        }
    }
}

/// `up` on a data folder, with free ports and a profile without failures.
pub(crate) fn up_command(data_dir: &Path) -> Command {
    up_with("bench", data_dir)
}

/// `up` on a data folder, with free ports.
pub(crate) fn up_with(profile: &str, data_dir: &Path) -> Command {
    let mut command = command(&["up", "--profile", profile, "--offline", "--data-dir"]);
    command.arg(data_dir);
    for service in ["ORCHESTRATOR", "CATALOG", "PAYMENTS", "INVENTORY", "PURCHASES"] {
        command.env(format!("ECOMMERCE__SERVICES__{service}__PORT"), "0");
    }
    command
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Lines of a pipe, read by a thread so that the process never blocks on a full pipe; and all lines so far.
struct Lines(Receiver<String>, Arc<Mutex<String>>);

impl Lines {
    fn of(pipe: impl std::io::Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let all = Arc::new(Mutex::new(String::new()));
        let said = all.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                *said.lock() += &format!("{line}\n");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver, all)
    }

    /// Returns the next line; `None` at the end.
    fn next(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within the time limit"),
        }
    }

    /// Returns the rest until end of file, or until 500 ms without a line: a child process may hold the pipe open.
    fn rest(&self) -> String {
        let mut rest = String::new();
        while let Ok(line) = self.0.recv_timeout(Duration::from_millis(500)) {
            rest.push_str(&line);
            rest.push('\n');
        }
        rest
    }
}
