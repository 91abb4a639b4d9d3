//! Ctrl-C, SIGTERM and SIGHUP, counted: the first asks for an orderly stop, the second for one at once, the third ends
//! the process whatever it is doing.

use common::telemetry;
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

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::Broken(format!("cannot listen for signals: {error}"));
        let mut received = [
            signal(SignalKind::interrupt()).map_err(failed)?,
            signal(SignalKind::terminate()).map_err(failed)?,
            signal(SignalKind::hangup()).map_err(failed)?,
        ];
        let signals = Self { stop: CancellationToken::new(), force: CancellationToken::new() };
        let Self { stop, force } = signals.clone();
        tokio::spawn(async move {
            any(&mut received).await;
            telemetry::notice("stopping: what is at work is finished first (Ctrl-C again: at once)");
            stop.cancel();
            any(&mut received).await;
            telemetry::notice("stopping at once: the next start goes on with what was at work");
            force.cancel();
            any(&mut received).await;
            std::process::exit(FORCED_EXIT);
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

async fn any(received: &mut [Signal; 3]) {
    let [interrupt, terminate, hangup] = received;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
