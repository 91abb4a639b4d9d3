//! A running service: its address, its supervision tree and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;

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

/// Returns a prefix for a service's actor names: names are unique in a process, and a process may hold several stacks.
pub fn actor_prefix(service: &str) -> String {
    static STACKS: AtomicU64 = AtomicU64::new(1);
    format!("stack-{}/{service}", STACKS.fetch_add(1, Ordering::Relaxed))
}
