//! The wire format between the services, identical on both sides: headers, bodies, times.
//!
//! The bodies are those of the API: members in this order, ids and amounts in the form that clients see.

pub mod catalog;
pub mod inventory;
pub mod journal;
pub mod payments;
pub mod purchases;
pub mod requests;

pub use foundation::supervision::ActorView;
pub use foundation::time::{rfc3339, timestamp};

/// The saga of a call. Its value is the transaction id.
pub const SAGA_ID: &str = "saga-id";
/// The saga's step that a call belongs to.
pub const SAGA_STEP: &str = "saga-step";
/// Number of the attempt of the step: 1, 2, …
pub const SAGA_ATTEMPT: &str = "saga-attempt";
/// The epoch of the saga's owner; it grows with each takeover.
pub const SAGA_EPOCH: &str = "saga-epoch";
/// On a 409: the refusal is a recorded decision. Its only value is [`REFUSED`].
pub const SAGA_DECISION: &str = "saga-decision";
/// The value of [`SAGA_DECISION`], and of [`SAGA_ACTION`] if the action was refused.
pub const REFUSED: &str = "refused";
/// On the 200 of a compensation: the state in which it found its action. Its values are [`ACTION_DONE`], [`REFUSED`]
/// and [`ACTION_NONE`].
pub const SAGA_ACTION: &str = "saga-action";
/// The action was done, and is undone now.
pub const ACTION_DONE: &str = "done";
/// The action never ran, and never will.
pub const ACTION_NONE: &str = "none";
/// The problem type of a 503 from a service that is stopping: it did nothing, and a replacement will answer soon.
pub const STOPPING: &str = "stopping";
/// On a call of the orchestrator: the newest timeline of each database system that it uses, as
/// `<system identifier>/<timeline>`, separated by commas.
pub const DATABASE_TIMELINE: &str = "database-timeline";
/// On a repeated answer: `true`.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// A client's key for a request, which makes it safe to repeat.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// A client's secret for a saga: its status, events and cancel need it again.
pub const SAGA_SECRET: &str = "saga-secret";
/// Identifies a request in the logs of services and client.
pub const REQUEST_ID: &str = "x-request-id";
/// W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// On a request about a saga: the number of the cell that forwarded it. It is never forwarded again.
pub const CELL_FORWARDED: &str = "saga-cell-forwarded";
/// The path prefix that a proxy removed.
pub const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

#[cfg(test)]
mod tests;
