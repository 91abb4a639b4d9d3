//! The request that takes or renews the lease, and its answer.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::hold::Hold;
use crate::owner::Owner;

/// A request to register this process, or to renew its lease.
#[derive(Clone, Debug)]
pub struct RenewRequest {
    /// The process.
    pub owner: Arc<Owner>,
    /// Whether this process has held a lease before; then it only renews its own row.
    pub was_registered: bool,
    /// Duration of the lease.
    pub lease: Duration,
    /// The definitions that this node knows, as `name/version`.
    pub definitions: Vec<String>,
}

/// The answer to a [`RenewRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease is renewed.
    Granted {
        /// When the statement was sent, from which the lease counts.
        sent_at: Instant,
        /// The database's time.
        time: DateTime<Utc>,
    },
    /// A hold on all sagas is in force, so the lease is not granted.
    Held(Hold),
    /// Another process with this node id is alive.
    TwinLives,
    /// Another process has taken this node id.
    Superseded,
}
