//! Notifies systemd (`Type=notify`) that a service is ready, stops, and answers. Without `NOTIFY_SOCKET`, as
//! in a container, nothing is sent.
//!
//! The watchdog asks the service itself at `/health/live/`, which looks at no dependency: a restart helps a process that
//! hangs, and does not help while the database is away.

use std::{net::SocketAddr, time::Duration};

use common::{config::reachable, service::Shutdown};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::way;

/// Reports that the service is ready, then sends its signs of life and reports its stop.
pub(crate) fn ready(service: &str, address: SocketAddr, shutdown: &Shutdown) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("{service} on {address}"))]);
    let announced = shutdown.announced.clone();
    tokio::spawn(async move {
        announced.cancelled().await;
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping: running work is finished first")]);
    });
    if let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) {
        tokio::spawn(show_life(address, limit / 3, shutdown.clone()));
    }
}

/// Sends a sign of life every `pause` while the service answers within that time. A stop has its own time limit, and no
/// listener.
async fn show_life(address: SocketAddr, pause: Duration, shutdown: Shutdown) {
    let url = format!("http://{}/health/live/", reachable(address));
    // Its connection is kept, so clients that take all others cause no restart.
    let client = match way::straight().timeout(pause).build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "the watchdog cannot be served"),
    };
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answers = async { client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) };
        if shutdown.announced.is_cancelled() || answers.await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(%address, "the service does not answer: the watchdog gets no sign of life");
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot report the state of the service to systemd");
    }
}
