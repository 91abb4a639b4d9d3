//! The leases of the processes, and the hold on all sagas.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::mutation::{Mutation, is_mutated};
use saga_engine::hold::Hold;
use saga_engine::lease::Renewal;
use saga_engine::owner::Owner;
use tokio::time::Instant;

#[derive(Clone)]
pub(super) struct Lease {
    pub(super) incarnation: Uuid,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) is_given_up: bool,
}

/// The leases, by node id.
#[derive(Default)]
pub struct Leases {
    pub(super) rows: BTreeMap<String, Lease>,
    /// The hold on all sagas, and when it was put.
    hold: Option<(Hold, Instant)>,
    /// When each process last renewed, by its incarnation.
    renewed: BTreeMap<Uuid, Instant>,
}

impl Leases {
    /// Registers a process under its node id, or renews its lease, unless all sagas are on hold.
    pub fn renew(
        &mut self,
        owner: &Owner,
        was_registered: bool,
        sent_at: Instant,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Renewal {
        let others = self.rows.get(&owner.node_id).is_some_and(|row| row.incarnation != owner.incarnation);
        if let Some((hold, _)) = &self.hold {
            let hold = hold.clone();
            self.end(owner, now);
            return Renewal::Held(hold);
        }
        if was_registered && others {
            return Renewal::Superseded;
        }
        // A process that gave its lease up never takes one again.
        let is_given_up = was_registered && self.rows.get(&owner.node_id).is_some_and(|row| row.is_given_up);
        let row = Lease { incarnation: owner.incarnation, expires_at: now + lease, is_given_up };
        self.rows.insert(owner.node_id.clone(), row);
        self.renewed.insert(owner.incarnation, Instant::now());
        Renewal::Granted { sent_at, time: now }
    }

    /// Gives up the lease of a process.
    pub fn give_up(&mut self, owner: &Owner, now: DateTime<Utc>) {
        self.end(owner, now);
        if let Some(row) = self.rows.get_mut(&owner.node_id).filter(|row| row.incarnation == owner.incarnation) {
            row.is_given_up = true;
        }
    }

    /// Ends the lease of a process now.
    fn end(&mut self, owner: &Owner, now: DateTime<Utc>) {
        if let Some(row) = self.rows.get_mut(&owner.node_id).filter(|row| row.incarnation == owner.incarnation) {
            row.expires_at = row.expires_at.min(now);
        }
    }

    pub(super) fn is_live(&self, owner: &Owner, now: DateTime<Utc>) -> bool {
        if is_mutated(Mutation::IgnoreLease) {
            // One millisecond in five every process looks dead.
            return now.timestamp_millis() % 5 != 0;
        }
        self.rows.get(&owner.node_id).is_some_and(|row| row.incarnation == owner.incarnation && row.expires_at > now)
    }

    /// Tells whether a process renewed its lease within this time.
    pub fn was_renewed_within(&self, owner: &Owner, lease: Duration) -> bool {
        self.renewed.get(&owner.incarnation).is_some_and(|renewed| renewed.elapsed() < lease)
    }

    /// Puts all sagas on hold, if they are not.
    pub fn hold(&mut self, since: DateTime<Utc>) {
        let hold = Hold { since, reason: "the simulator".to_owned() };
        self.hold.get_or_insert_with(|| (hold, Instant::now()));
    }

    /// Releases the hold.
    pub fn release(&mut self) {
        self.hold = None;
    }

    /// Tells whether the present hold had been put at this time of the database's clock.
    pub fn was_held_at(&self, at: DateTime<Utc>) -> bool {
        self.hold.as_ref().is_some_and(|(hold, _)| hold.since <= at)
    }

    /// Tells whether all sagas have been on hold for longer than this.
    pub fn is_held_for(&self, time: Duration) -> bool {
        self.hold.as_ref().is_some_and(|(_, since)| since.elapsed() > time)
    }
}
