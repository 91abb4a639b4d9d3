//! The orchestrator: accepts purchases, runs one saga per purchase, and serves the state of each.
//!
//! ```text
//! orchestrator (supervisor)
//! ├─ saga-log        group commit, owns its pool
//! ├─ event-outbox    writes changes of steps that no write has carried
//! ├─ event-reader    reads events for the listeners
//! ├─ housekeeping    deletes old data
//! ├─ catalog-client … purchases-client
//! ├─ handover        gives sagas to nodes from which an operation works
//! ├─ waker           wakes FAILED sagas when an operation works again
//! ├─ definitions     keeps the saga definitions in step with the database
//! ├─ lost-commits    asks all services for commits that a failover has lost
//! ├─ lease           renews this process's lease
//! ├─ coordinator     admits, spawns, finds
//! │   └─ saga/<id>   one per running transaction
//! ├─ stall-watch     finds sagas without progress
//! ├─ recovery        claims sagas whose owner has ended
//! └─ front           HTTP
//! ```

mod api;
pub mod checkout;
mod definitions;
mod dtm;
pub mod events;
mod handover;
mod health;
mod housekeeping;
pub mod invariants;
pub mod journals;
mod live;
mod loss_watch;
mod lost_commits;
mod meters;
mod neighbours;
mod outages;
pub mod participant_client;
mod service;
pub mod store;
mod ui;
mod waker;

pub use common::service::Running;
pub use service::{StartError, start};
pub use store::migrations;

/// The service's name: in configuration, paths, metrics and logs.
pub const SERVICE: &str = "orchestrator";
