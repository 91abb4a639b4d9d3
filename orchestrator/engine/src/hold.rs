//! A hold on all sagas: while it is in force no node holds a lease, so no saga begins and none is recovered.

use chrono::{DateTime, Utc};

/// A hold on all sagas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, in the words of whoever put it.
    pub reason: String,
}
