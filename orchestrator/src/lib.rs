//! The orchestrator: accepts purchases, runs one saga per purchase, and serves the state of each.
//!
//! ```text
//! orchestrator (supervisor)
//! ├─ saga-log        group commit, owns its pool
//! ├─ event-outbox    sends changes of steps that nobody awaits
//! ├─ event-reader    reads them for whoever listens
//! ├─ housekeeping    gives up what is old
//! ├─ catalog-client … purchases-client
//! ├─ lease           who is alive
//! ├─ coordinator     admits, spawns, finds
//! │   └─ saga/<id>   one per running transaction
//! ├─ recovery        finds owners for sagas that have none
//! └─ front           HTTP
//! ```

mod api;
pub mod checkout;
pub mod events;
mod health;
mod housekeeping;
pub mod invariants;
mod live;
mod meters;
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
