//! A hold on all sagas: while it is in force no node holds a lease, so no saga begins and none is recovered.

use chrono::{DateTime, Utc};

/// A hold on all sagas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Time from which it is in force.
    pub since: DateTime<Utc>,
    /// The operator's reason.
    pub reason: String,
}
