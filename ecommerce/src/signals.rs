//! Ctrl-C, SIGTERM and SIGHUP, counted: the first asks for an orderly stop, the second for one at once, the third ends
//! the process whatever it is doing, and the PostgreSQL that it started with it.
//!
//! They are obeyed before anything is said about them, and what is said is not waited for: a terminal may be closed, a
//! pipe without a reader.

use std::fs;

use common::telemetry;
use ecommerce::embedded_postgres;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::ending::{Ended, Failure};

/// What was asked for so far.
#[derive(Clone)]
pub(crate) struct Signals {
    /// Cancelled by the first signal.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the second one.
    pub(crate) force: CancellationToken,
}

/// What SIGHUP, which a terminal sends when it is closed, means to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// A stop, unless the process was started with SIGHUP ignored, as `nohup` does.
    Stops,
    /// Nothing: a service in production is stopped by SIGTERM or SIGINT.
    IsIgnored,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen(hangup: Hangup) -> Result<Self, Failure> {
        let failed = |error| Failure::Broken(format!("cannot listen for signals: {error}"));
        let mut stops = Stops {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hangup: None,
        };
        // Where it is ignored already, it stays so.
        let mut ignored = None;
        if !is_hangup_ignored() {
            let received = Some(signal(SignalKind::hangup()).map_err(failed)?);
            match hangup {
                Hangup::Stops => stops.hangup = received,
                Hangup::IsIgnored => ignored = received,
            }
        }
        let signals = Self { stop: CancellationToken::new(), force: CancellationToken::new() };
        let Self { stop, force } = signals.clone();
        tokio::spawn(async move {
            stops.next().await;
            stop.cancel();
            telemetry::notice("stopping: what is at work is finished first (Ctrl-C again: at once)");
            stops.next().await;
            force.cancel();
            telemetry::notice("stopping at once: the next start goes on with what was at work");
            stops.next().await;
            end();
        });
        tokio::spawn(async move {
            while received(&mut ignored).await {
                telemetry::notice("SIGHUP does not stop a service in production; SIGTERM does");
            }
        });
        Ok(signals)
    }

    /// Says how a command ended that ran until a signal.
    pub(crate) fn ended(&self) -> Ended {
        match self.force.is_cancelled() {
            true => Ended::Forced,
            false => Ended::Done,
        }
    }
}

/// As [`Ended::Forced`].
const FORCED_EXIT: i32 = 130;

/// The only way out beside `main`: all else may be stuck.
#[expect(clippy::exit, reason = "nothing that runs is waited for, and the PostgreSQL that runs is ended before")]
fn end() -> ! {
    embedded_postgres::end_all();
    std::process::exit(FORCED_EXIT)
}

/// The signals that stop a command.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Stops {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            true = received(&mut self.hangup) => {}
        }
    }
}

/// Waits for a signal that may not be listened for; `false` if it never comes.
async fn received(signal: &mut Option<Signal>) -> bool {
    match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    }
}

/// Tells whether this process was started with SIGHUP ignored. See `SigIgn` in proc_pid_status(5): bit 0 is signal 1.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}
