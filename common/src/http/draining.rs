//! The flag that says that a service is about to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set once, before a stop: `/health/` is 503 from then on, so that no new client is sent here, and only reads are still
/// answered. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// Sets it: unhealthy from now on, and no new work.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Tells whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
