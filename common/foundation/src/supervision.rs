//! Supervised actors: trees that restart dead actors, addresses that survive a restart, and entries that show the state.
//!
//! ```text
//!   ChildSpec ──► supervisor ── spawns ──► actor          Handle  an address that is swapped at every restart
//!                    │  ▲                    │            ActorEntry  shown by `/debug/actors`; outlives restarts
//!                    │  └── ActorFailed ◄────┘
//!                    └── Respawn, after a back-off; budget spent: fails itself, one level up
//! ```
//!
//! Names are `stack/service/actor`, unique in a process, so that a process can hold several stacks.
//!
//! Why not the crate ractor-supervisor (0.2): only a message to the supervisor returns count and reason of restarts; a
//! restarted child is found only by a process-wide name; and a supervisor that stops does not stop its children in
//! order, so ractor kills them without `post_stop`. Handles, entries and the ordered stop are most of this module; only a
//! restart counter would be left to reuse.

mod entry;
mod every;
mod root;
mod supervisor;
mod view;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorRef, Message, SpawnErr};

pub use entry::ActorEntry;
pub use every::{Periodic, every};
pub use root::{Root, start};
pub use supervisor::supervisor;
pub use view::ActorView;

/// The number of restarts that a supervisor allows before it fails itself.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// This many restarts …
    pub max_restarts: u32,
    /// … within this time.
    pub within: Duration,
}

/// The wait before a restart: doubled with each restart within the budget's window.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Wait before the first restart.
    pub min: Duration,
    /// Longest wait before a restart.
    pub max: Duration,
}

impl Backoff {
    /// Returns the wait before the `nth` restart within the budget's window, counted from 1.
    fn before_restart(self, nth: u32) -> Duration {
        // After 16 doublings every back-off has reached its maximum.
        let doublings = nth.saturating_sub(1).min(16);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }
}

/// Starts an actor under a supervisor.
pub type StartFn = Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child of a supervisor.
#[derive(Clone)]
pub struct ChildSpec {
    /// Its entry in the tree.
    pub entry: Arc<ActorEntry>,
    /// Starts the child, the first time and at each restart.
    pub start: StartFn,
}

/// A supervisor and its children.
pub struct SupervisorSpec {
    /// Its entry in the tree.
    pub entry: Arc<ActorEntry>,
    /// Its restart budget.
    pub budget: Budget,
    /// Its back-off between restarts.
    pub backoff: Backoff,
    /// Its children in start order; they stop in reverse order.
    pub children: Vec<ChildSpec>,
}

/// An actor's address that survives restarts. Callers hold a handle, never an `ActorRef`.
pub struct Handle<M>(Arc<ArcSwapOption<ActorRef<M>>>);

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Default for Handle<M> {
    fn default() -> Self {
        Self(Arc::new(ArcSwapOption::empty()))
    }
}

/// The actor is unavailable: dead, restarting, or not started yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the actor is down")]
pub struct ActorDown;

impl<M: Message> Handle<M> {
    /// Creates a handle for an actor that is not started yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`ActorDown`] if the actor cannot receive it; the message is dropped.
    pub fn cast(&self, message: M) -> Result<(), ActorDown> {
        match &*self.0.load() {
            Some(actor) => actor.cast(message).map_err(|_| ActorDown),
            None => Err(ActorDown),
        }
    }

    /// Returns the current address; `None` before the first start.
    pub fn get(&self) -> Option<ActorRef<M>> {
        self.0.load().as_deref().cloned()
    }

    /// Replaces the address.
    pub fn set(&self, actor: ActorRef<M>) {
        self.0.store(Some(Arc::new(actor)));
    }
}

/// Creates a child from an actor: every start calls `make` and updates the handle; the entry stays the same.
pub fn child<A: Actor>(
    entry: Arc<ActorEntry>,
    handle: Handle<A::Msg>,
    make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
) -> ChildSpec {
    let name = entry.name().to_owned();
    let start: StartFn = Arc::new(move |supervisor| {
        let (actor, arguments) = make();
        let (handle, name) = (handle.clone(), name.clone());
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(Some(name), actor, arguments, supervisor).await?;
            handle.set(actor.clone());
            Ok(actor.get_cell())
        })
    });
    ChildSpec { entry, start }
}

#[cfg(test)]
mod tests;
