//! A service as a running thing: what every one of them gives whoever started it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::supervision::ActorCard;

/// A service at work.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The root of its supervision tree, as `/debug/actors` shows it.
    pub root: Arc<ActorCard>,
    /// Ends with the service.
    pub end: JoinHandle<Result<(), String>>,
}

impl Running {
    /// Waits for the end of the service: after a shutdown, once what was at work is done or its grace is over.
    ///
    /// # Errors
    /// The reason, when the service gave up.
    pub async fn finished(self) -> Result<(), String> {
        self.end.await.unwrap_or_else(|error| Err(format!("the task that waits for the end died: {error}")))
    }
}

/// Makes the prefix of a service's actors: names are unique in a process, and a process may hold several stacks.
pub fn actor_prefix(service: &str) -> String {
    static STACKS: AtomicU64 = AtomicU64::new(1);
    format!("stack-{}/{service}", STACKS.fetch_add(1, Ordering::Relaxed))
}
