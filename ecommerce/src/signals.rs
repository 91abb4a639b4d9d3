//! Counts Ctrl-C, SIGTERM and SIGHUP: the first requests an orderly stop, the second a forced stop; the third ends the
//! process at once, including the PostgreSQL that it started. SIGQUIT (Ctrl-\) does that too: its default action would
//! leave that PostgreSQL running. With `http.drain_delay_ms` an orderly stop is announced first and begins after that
//! time; a signal that arrives in it only makes the stop begin.
//!
//! A signal takes effect before its message is written, and the write is not awaited: a terminal may be closed, a pipe
//! without a reader.

use std::{fs, time::Duration};

use common::{service::Shutdown, telemetry};
use ecommerce::embedded_postgres;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::ending::{Ended, Failure};

/// The stops requested so far.
#[derive(Clone)]
pub(crate) struct Signals {
    /// Announced by the first signal, begun after the drain delay or by one more signal.
    pub(crate) shutdown: Shutdown,
    /// Cancelled by the next signal after the stop began.
    pub(crate) force: CancellationToken,
}

/// Effect of SIGHUP, which a closing terminal sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Stops the command, unless the process was started with SIGHUP ignored, as `nohup` does.
    Stops,
    /// No effect: a service in production is stopped by SIGTERM or SIGINT.
    IsIgnored,
}

impl Signals {
    /// Starts listening. A stop begins `drain_delay` after it is announced, or at the next signal.
    pub(crate) fn listen(hangup: Hangup, drain_delay: Duration) -> Result<Self, Failure> {
        let failed = |error| Failure::Broken(format!("cannot listen for signals: {error}"));
        let mut stops = Stops {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hangup: None,
        };
        // A SIGHUP ignored at start stays ignored.
        let mut ignored = None;
        if !is_hangup_ignored() {
            let received = Some(signal(SignalKind::hangup()).map_err(failed)?);
            match hangup {
                Hangup::Stops => stops.hangup = received,
                Hangup::IsIgnored => ignored = received,
            }
        }
        let mut quit = signal(SignalKind::quit()).map_err(failed)?;
        let signals = Self { shutdown: Shutdown::default(), force: CancellationToken::new() };
        let Self { shutdown, force } = signals.clone();
        tokio::spawn(async move {
            stops.next().await;
            shutdown.announced.cancel();
            if !drain_delay.is_zero() {
                let ms = drain_delay.as_millis();
                telemetry::notice(&format!(
                    "a stop begins in {ms} ms; /health/ says so, and all requests are served (Ctrl-C again: it begins now)"
                ));
                // An error is the end of that time.
                let _ = timeout(drain_delay, stops.next()).await;
            }
            shutdown.begun.cancel();
            telemetry::notice("stopping: running requests are finished first (Ctrl-C again: at once)");
            stops.next().await;
            force.cancel();
            telemetry::notice("stopping at once: the next start resumes unfinished work");
            stops.next().await;
            end();
        });
        tokio::spawn(async move {
            if quit.recv().await.is_some() {
                end();
            }
        });
        tokio::spawn(async move {
            while received(&mut ignored).await {
                telemetry::notice("SIGHUP does not stop a service in production; SIGTERM does");
            }
        });
        Ok(signals)
    }

    /// Returns the outcome of a command that ran until a signal.
    pub(crate) fn ended(&self) -> Ended {
        if self.force.is_cancelled() { Ended::Forced } else { Ended::Done }
    }
}

/// The exit code of [`Ended::Forced`].
const FORCED_EXIT: i32 = 130;

/// The only exit beside `main`, for a process that may be stuck.
#[expect(clippy::exit, reason = "no task is awaited, and PostgreSQL is ended before")]
fn end() -> ! {
    embedded_postgres::end_all();
    std::process::exit(FORCED_EXIT)
}

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

/// Waits for an optional signal; `false` if it will never arrive.
async fn received(signal: &mut Option<Signal>) -> bool {
    match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    }
}

/// Returns whether this process was started with SIGHUP ignored. See `SigIgn` in proc_pid_status(5): bit 0 is signal 1.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}
