//! The clocks of a run: one for each node and one for the database, each with its own skew and with jumps. Timers are
//! monotonic and not affected, as in production. Journals and the verdict use the run's true time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// Owner of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockOf {
    Database,
    Node(usize),
}

/// Skew of each clock.
#[derive(Default)]
pub(super) struct Clocks {
    database: TimeDelta,
    nodes: BTreeMap<usize, TimeDelta>,
}

impl Clocks {
    /// Draws a skew of at most `most_ms` for every clock.
    pub(super) fn drawn(rng: &mut ChaCha8Rng, nodes: usize, most_ms: u64) -> Clocks {
        if most_ms == 0 {
            return Clocks::default();
        }
        let database = either_way(rng, most_ms);
        Clocks { database, nodes: (0..nodes).map(|node| (node, either_way(rng, most_ms))).collect() }
    }

    pub(super) fn jump(&mut self, of: ClockOf, by: TimeDelta) {
        match of {
            ClockOf::Database => self.database += by,
            ClockOf::Node(node) => *self.nodes.entry(node).or_default() += by,
        }
    }

    /// Returns the time on a clock at the true time `now`.
    pub(super) fn shows(&self, of: ClockOf, now: DateTime<Utc>) -> DateTime<Utc> {
        now + match of {
            ClockOf::Database => self.database,
            ClockOf::Node(node) => self.nodes.get(&node).copied().unwrap_or_default(),
        }
    }
}

/// Draws a skew of at most `most_ms`, forwards or backwards.
pub(super) fn either_way(rng: &mut ChaCha8Rng, most_ms: u64) -> TimeDelta {
    let most = i64::try_from(most_ms).unwrap_or(i64::MAX);
    TimeDelta::milliseconds(rng.random_range(-most..=most))
}
