//! The flag of a service that is about to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set once, before a stop. From then on `/health/` answers 503, so that load balancers send no new clients, and only
/// reads are answered. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// Sets the flag: the service is unhealthy from now on and accepts no new work.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Returns whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
