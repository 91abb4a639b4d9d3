//! The orchestrator: accepts purchases, runs one saga for each, and answers how each one stands.
//!
//! ```text
//! orchestrator (supervisor)
//! ├─ saga-log        group commit, owns its pool
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
pub mod invariants;
mod live;
mod participant_client;
pub mod saga;
mod service;
pub mod store;
pub mod world;

pub use common::service::Running;
pub use service::{StartError, start};
pub use store::migrations;

/// The service's name: in configuration, paths, metrics and logs.
pub const SERVICE: &str = "orchestrator";
