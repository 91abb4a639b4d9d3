//! The hosts of a URL: which one is asked first, and how they share the time of a connect.
//!
//! The host that worked last is asked first. All pools and sessions of a process with the same hosts share that
//! knowledge, so one of them finds a new primary for all; sessions that were opened before then are not used again, so
//! a server that hangs costs one of them its time limit and not each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};

use super::host::Host;
use super::timeline::{Fence, Timeline};

/// The hosts of all URLs that this process uses.
static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Hosts>>>> = LazyLock::new(Mutex::default);

/// Returns the newest timeline of each system that this process uses.
pub fn timelines() -> Vec<Timeline> {
    let mut newest: Vec<Timeline> = Vec::new();
    for timeline in KNOWN.lock().values().filter_map(|hosts| hosts.fence.newest()) {
        match newest.iter_mut().find(|other| other.system == timeline.system) {
            Some(other) => other.number = other.number.max(timeline.number),
            None => newest.push(timeline),
        }
    }
    newest
}

/// Notes that a trusted caller knows this timeline. Where it is newer than the one known here, the hosts are asked again.
pub(crate) fn hear_of(timeline: Timeline) {
    for hosts in KNOWN.lock().values() {
        if hosts.fence.hear(timeline) {
            warn!(%timeline, hosts = hosts.names(), "a caller knows a newer timeline: the hosts are asked again");
            hosts.distrust(hosts.generation());
        }
    }
}

/// The hosts of a URL, and what this process knows of them.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) list: Vec<Host>,
    /// The one that worked last, as a primary.
    last: Mutex<Option<Place>>,
    /// Counts the reasons to distrust the sessions opened so far.
    generation: AtomicU64,
    pub(super) fence: Fence,
}

/// Where a server was found: a host, and for a name the address that it led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: usize,
    pub(super) address: Option<SocketAddr>,
}

impl Hosts {
    /// Returns the hosts with this list, shared by all callers in the process.
    pub(super) fn shared(list: Vec<Host>) -> Arc<Self> {
        let name = names(&list);
        let hosts = || {
            let (last, generation) = (Mutex::new(None), AtomicU64::new(0));
            Arc::new(Self { list, last, generation, fence: Fence::default() })
        };
        KNOWN.lock().entry(name).or_insert_with(hosts).clone()
    }

    /// Returns the place that worked last.
    pub(super) fn last(&self) -> Option<Place> {
        *self.last.lock()
    }

    /// Remembers where a primary was found, and returns the generation of a session there. If the primary was elsewhere
    /// before, all sessions opened so far are distrusted; a session whose connect began before that is one of them.
    pub(super) fn found(&self, place: Place, begun_in: u64) -> u64 {
        let mut last = self.last.lock();
        if *last != Some(place) && self.generation() != begun_in {
            return begun_in;
        }
        if let Some(before) = last.replace(place).filter(|before| *before != place) {
            self.distrust(begun_in);
            let (from, to) = (self.describe(before), self.describe(place));
            info!(from, to, "the primary is elsewhere now");
        }
        self.generation()
    }

    /// Returns whether all hosts must be asked: no primary was seen yet. A new process knows nothing of a failover, after
    /// which the former primary may be back.
    pub(super) fn are_unknown(&self) -> bool {
        self.list.len() > 1 && self.fence.newest().is_none()
    }

    /// Returns the generation of sessions opened now.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Distrusts the sessions of a generation, unless that has happened before.
    pub(super) fn distrust(&self, generation: u64) {
        let (same, next) = (generation, generation + 1);
        let _ = self.generation.compare_exchange(same, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Returns the address for messages; of a name that was looked up, with the address that it led to.
    pub(super) fn describe(&self, place: Place) -> String {
        match (&self.list[place.host], place.address) {
            (host @ Host::Name { name, .. }, Some(address)) if *name != address.ip().to_string() => {
                format!("{host} ({})", address.ip())
            }
            (host, _) => host.to_string(),
        }
    }

    /// Returns the addresses of all hosts for messages, without a password.
    pub(super) fn names(&self) -> String {
        names(&self.list)
    }
}

fn names(list: &[Host]) -> String {
    list.iter().map(Host::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the items with the preferred one first.
pub(super) fn preferred_first<T>(items: impl IntoIterator<Item = T>, is_preferred: impl Fn(&T) -> bool) -> Vec<T> {
    let (mut first, others): (Vec<T>, Vec<T>) = items.into_iter().partition(is_preferred);
    first.extend(others);
    first
}

/// A span of time for several attempts in turn. Each gets an equal part of what is left, so the time that one does not
/// need goes to the others.
#[derive(Clone, Copy)]
pub(super) struct TimeForAll {
    ends: Instant,
}

impl TimeForAll {
    pub(super) fn new(span: Duration) -> Self {
        Self { ends: Instant::now() + span }
    }

    /// Returns the part of the next attempt, in whole milliseconds. `attempts_left` counts this one.
    pub(super) fn part(&self, attempts_left: usize) -> Duration {
        let left = self.ends.saturating_duration_since(Instant::now());
        let part = left.as_micros() / attempts_left.max(1) as u128;
        Duration::from_millis(u64::try_from(part.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}
