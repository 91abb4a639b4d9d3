//! Judges which other processes are alive: by whether a process's lease changes, on this node's monotonic clock, and
//! not by the time in the lease. A database clock set back would make dead processes look alive; one set forward would
//! make live processes look dead.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::owner::Owner;

/// The owners whose sagas may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None: this process is about to stop.
    Nothing,
    /// This process, earlier processes of its node, and processes that gave up their lease. Of no other: after an
    /// outage every process looks dead.
    OwnNode,
    /// Also every process whose lease no longer changes.
    Everybody,
}

/// Another process, as seen by one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenOwner {
    /// The process.
    pub owner: Owner,
    /// State of its lease.
    pub lease: SeenLease,
    /// Whether it owns unfinished sagas.
    pub has_sagas: bool,
}

/// Lease of another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenLease {
    /// The process has no lease, or another process has taken its node id.
    None,
    /// The process gave its lease up.
    GivenUp,
    /// The lease's end, as text: only a change of it matters.
    Until(String),
}

/// Leases of other processes, as seen by earlier looks.
#[derive(Debug)]
pub struct Leases {
    node_id: String,
    /// A process whose lease has not changed for this long is dead.
    lease: Duration,
    seen: Mutex<HashMap<Uuid, Sighting>>,
}

/// The last seen end of a lease, and when it was first seen.
#[derive(Debug)]
struct Sighting {
    until: String,
    since: Instant,
}

impl Leases {
    /// Makes an empty judgement for a process of node `node_id`; `lease` is the duration of a lease.
    pub fn new(node_id: &str, lease: Duration) -> Self {
        Self { node_id: node_id.to_owned(), lease, seen: Mutex::default() }
    }

    /// Returns the dead owners whose sagas may be claimed within `reach`. `asked_at` is the time before the leases were
    /// read.
    pub(super) fn judge(&self, others: Vec<SeenOwner>, reach: Reach, asked_at: Instant) -> Vec<Owner> {
        let mut seen = self.seen.lock();
        let mut before = std::mem::take(&mut *seen);
        let mut dead = Vec::new();
        for SeenOwner { owner, lease, has_sagas } in others {
            let is_still = match &lease {
                SeenLease::None | SeenLease::GivenUp => true,
                SeenLease::Until(until) => {
                    let sighting = before
                        .remove(&owner.incarnation)
                        .filter(|sighting| sighting.until == *until)
                        .unwrap_or_else(|| Sighting { until: until.clone(), since: Instant::now() });
                    let stood_still_for = asked_at.saturating_duration_since(sighting.since);
                    seen.insert(owner.incarnation, sighting);
                    stood_still_for >= self.lease
                }
            };
            let may_be_claimed = match reach {
                Reach::Nothing => false,
                Reach::OwnNode => owner.node_id == self.node_id || lease == SeenLease::GivenUp,
                Reach::Everybody => owner.node_id == self.node_id || is_still,
            };
            if has_sagas && may_be_claimed {
                dead.push(owner);
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(5);

    fn other(node_id: &str, lease: SeenLease) -> SeenOwner {
        let owner = Owner { node_id: node_id.to_owned(), incarnation: Uuid::from_u128(7) };
        SeenOwner { owner, lease, has_sagas: true }
    }

    fn until(text: &str) -> SeenLease {
        SeenLease::Until(text.to_owned())
    }

    async fn dead_after(leases: &Leases, wait: Duration, seen: SeenOwner, reach: Reach) -> bool {
        tokio::time::advance(wait).await;
        !leases.judge(vec![seen], reach, Instant::now()).is_empty()
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_is_dead_once_its_lease_has_stood_still_for_one_lease_whatever_the_lease_says() {
        let leases = Leases::new("me", LEASE);
        let second = Duration::from_secs(1);
        for (wait, lease, is_dead) in [
            (second, until("3000-01-01"), false),
            (LEASE - second, until("3000-01-01"), false),
            (second, until("1970-01-01"), false),
            (LEASE - second, until("1970-01-01"), false),
            (second, until("1970-01-01"), true),
            (second, until("1970-01-02"), false),
        ] {
            assert_eq!(
                dead_after(&leases, wait, other("it", lease.clone()), Reach::Everybody).await,
                is_dead,
                "{lease:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_of_the_own_node_and_one_that_gave_its_lease_up_are_dead_at_once() {
        let cases = [
            (Reach::OwnNode, "me", until("3000-01-01"), true),
            (Reach::OwnNode, "me", SeenLease::None, true),
            (Reach::OwnNode, "it", SeenLease::GivenUp, true),
            (Reach::OwnNode, "it", SeenLease::None, false),
            (Reach::Everybody, "it", SeenLease::None, true),
            (Reach::Nothing, "me", SeenLease::GivenUp, false),
        ];
        for (reach, node, lease, is_dead) in cases {
            let leases = Leases::new("me", LEASE);
            let seen = other(node, lease);
            assert_eq!(dead_after(&leases, Duration::ZERO, seen.clone(), reach).await, is_dead, "{reach:?} {seen:?}");
        }
    }
}
