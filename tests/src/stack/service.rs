//! One running service of a stack.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use common::config::Settings;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::ORCHESTRATOR;
use crate::PATIENCE;

/// A port that is free, on loopback.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) struct Service {
    pub(super) address: SocketAddr,
    name: &'static str,
    shutdown: CancellationToken,
    end: JoinHandle<Result<(), String>>,
}

impl Service {
    pub(super) async fn start(name: &'static str, settings: Arc<Settings>, listener: TcpListener) -> Self {
        let shutdown = CancellationToken::new();
        let (address, end) = match name {
            ORCHESTRATOR => {
                let running = orchestrator::start(settings, listener, shutdown.clone()).await;
                let running = running.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                (running.address, tokio::spawn(running.finished()))
            }
            participant => {
                let running = domain_services::start(participant, settings, listener, shutdown.clone()).await;
                let running = running.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                (running.address, tokio::spawn(running.finished()))
            }
        };
        Self { address, name, shutdown, end }
    }

    /// Tells the service to stop, and waits until it has.
    pub(super) async fn stop(self) -> Result<(), String> {
        self.shutdown.cancel();
        match timeout(PATIENCE, self.end).await {
            Err(_) => Err(format!("{} does not stop", self.name)),
            Ok(Err(panic)) => Err(format!("{}: {panic}", self.name)),
            Ok(Ok(end)) => end.map_err(|reason| format!("{} gave up: {reason}", self.name)),
        }
    }
}

/// Listens on an address; port 0 takes a free one.
pub(super) async fn listen(address: SocketAddr) -> TcpListener {
    match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => panic!("cannot listen on {address}: {error}"),
    }
}
