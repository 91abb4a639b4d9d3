//! The part of the log that a standby has.

use std::collections::BTreeMap;

use super::leases::Lease;
use super::{DurableLog, OpenTransactions, Row};
use saga_engine::SagaId;

/// The rows that a standby has.
pub(crate) struct Replica {
    rows: BTreeMap<SagaId, Row>,
    leases: BTreeMap<String, Lease>,
}

impl DurableLog {
    /// Returns the state of a standby that has received everything so far.
    pub(crate) fn replica(&self) -> Replica {
        Replica { rows: self.rows.clone(), leases: self.leases.rows.clone() }
    }

    /// Replaces the log by the standby's, and returns the number of lost sagas. Open transactions end with
    /// their sessions.
    pub(crate) fn fail_over(&mut self, standby: Replica) -> u64 {
        let lost = self.rows.keys().filter(|id| !standby.rows.contains_key(id)).count() as u64;
        self.rows = standby.rows;
        self.leases.rows = standby.leases;
        self.open = OpenTransactions::default();
        lost
    }
}
