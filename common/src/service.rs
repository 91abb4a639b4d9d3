//! A running service: its address, its supervision tree, its stop and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::supervision::ActorEntry;

/// A running service.
#[derive(Debug)]
pub struct Running {
    /// The address it listens on.
    pub address: SocketAddr,
    /// The root of its supervision tree, as shown by `/debug/actors`.
    pub root: Arc<ActorEntry>,
    /// Completes when the service ends.
    pub end: JoinHandle<Result<(), String>>,
}

impl Running {
    /// Waits for the service to end. After a shutdown that is when its work is done or its grace period is over.
    ///
    /// # Errors
    /// The reason why the service gave up.
    pub async fn finished(self) -> Result<(), String> {
        self.end.await.unwrap_or_else(|error| Err(format!("the task that waits for the end died: {error}")))
    }
}

/// The request to stop a service, in two steps. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled `http.drain_delay_ms` before the other: from then on `/health/` answers 503, so that load balancers
    /// choose another replica. Every request is still served.
    pub announced: CancellationToken,
    /// No new work is accepted, running work is finished.
    pub begun: CancellationToken,
}

/// Returns a prefix for a service's actor names: names are unique in a process, and a process may hold several stacks.
pub fn actor_prefix(service: &str) -> String {
    static STACKS: AtomicU64 = AtomicU64::new(1);
    format!("stack-{}/{service}", STACKS.fetch_add(1, Ordering::Relaxed))
}
