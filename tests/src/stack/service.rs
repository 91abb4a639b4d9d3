//! One running service of a stack.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use common::{config::Settings, http::Transport, service::Shutdown};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

use super::ORCHESTRATOR;
use crate::{PATIENCE, panics};

/// Any free port on loopback.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Threads per service; a pause has to block all of them.
const THREADS: usize = 2;

/// A service on its own runtime, so that it can be killed and paused like a process.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    name: &'static str,
    shutdown: Shutdown,
    end: JoinHandle<Result<(), String>>,
    /// The name of its threads.
    pub(super) threads: String,
    /// `None` while it is dropped.
    runtime: Option<Runtime>,
}

impl Service {
    pub(super) async fn start(
        name: &'static str,
        settings: Arc<Settings>,
        listener: TcpListener,
        transport: Transport,
    ) -> Self {
        let shutdown = Shutdown::default();
        let threads = panics::watch(&format!("{name} {}", Uuid::new_v4().simple()));
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).thread_name(&threads).enable_all().build();
        let runtime = runtime.expect("a runtime");
        // Registers the listener with the new runtime.
        let listener = listener.into_std().expect("a listener can change its runtime");
        let stop = shutdown.clone();
        let started = runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener can change its runtime");
            match name {
                ORCHESTRATOR => {
                    orchestrator::start(settings, listener, transport, stop).await.map_err(|error| format!("{error:?}"))
                }
                participant => domain_services::start(participant, settings, listener, transport, stop)
                    .await
                    .map_err(|error| format!("{error:?}")),
            }
        });
        let running = started.await.expect("a start does not panic").unwrap_or_else(|error| panic!("{name}: {error}"));
        let address = running.address;
        let end = runtime.spawn(running.finished());
        Self { address, name, shutdown, end, threads, runtime: Some(runtime) }
    }

    /// Requests a stop and waits for the end of the service.
    pub(super) async fn stop(mut self) -> Result<(), String> {
        self.shutdown.begun.cancel();
        match timeout(PATIENCE, &mut self.end).await {
            Err(_) => Err(format!("{} does not stop", self.name)),
            Ok(Err(panic)) => Err(format!("{}: {panic}", self.name)),
            Ok(Ok(end)) => end.map_err(|reason| format!("{} gave up: {reason}", self.name)),
        }
    }

    /// Ends the service at any point of its work, like `kill -9`: without farewell or last write.
    pub(super) fn crash(self) {
        drop(self);
    }

    /// Blocks every thread of the service, like SIGSTOP, until the value is dropped.
    pub(super) async fn pause(&self) -> Paused {
        let runtime = self.runtime.as_ref().expect("it runs");
        let (release, released) = watch::channel(());
        let mut held = Vec::new();
        for _ in 0..THREADS {
            let (caught, is_caught) = oneshot::channel();
            let mut released = released.clone();
            runtime.spawn(async move {
                let _ = caught.send(());
                // Blocks its thread; with all threads blocked, timers and sockets stand still too.
                std::thread::scope(|scope| {
                    scope.spawn(|| futures::executor::block_on(released.changed()).is_ok());
                });
            });
            held.push(is_caught);
        }
        for caught in held {
            timeout(PATIENCE, caught).await.expect("a thread is free at some time").expect("the task runs");
        }
        Paused { _release: release }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Drops every task at its current await point, without waiting.
            runtime.shutdown_background();
        }
    }
}

/// A paused service; it resumes when this is dropped.
pub struct Paused {
    _release: watch::Sender<()>,
}

/// Listens on an address; port 0 takes a free one.
pub(super) async fn listen(address: SocketAddr) -> TcpListener {
    match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => panic!("cannot listen on {address}: {error}"),
    }
}
