//! The state of a service that is about to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::CancellationToken;

/// A stop is announced first: `/health/` answers 503, so that load balancers send no new requests. Then it begins: only
/// reads are answered. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Draining {
    announced: CancellationToken,
    begun: Arc<AtomicBool>,
}

impl Draining {
    /// Creates the state of a service whose stop is announced by this token.
    pub fn announced_by(announced: CancellationToken) -> Self {
        Self { announced, begun: Arc::default() }
    }

    /// Begins to drain, announced or not: the service accepts no new work.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Returns whether the service drains.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Returns whether the service drains or will soon.
    pub fn is_announced(&self) -> bool {
        self.announced.is_cancelled() || self.has_begun()
    }
}
