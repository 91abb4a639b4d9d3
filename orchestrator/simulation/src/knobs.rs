//! Sizes and limits of a run: as in the default configuration, or so small that claims need several batches and queues
//! are full.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// Sizes and limits of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knobs {
    /// Maximum number of sagas in one claim.
    pub(super) takeover_batch: i64,
    /// Number of deaths of a saga's actor, without an awaited write in between, at which it is left to a person.
    pub(super) max_claims: i32,
    /// Maximum number of sagas on a node; beyond it new ones are refused.
    pub(super) max_running: usize,
    /// Maximum number of a node's writes in flight to the saga log.
    pub(super) log_queue: usize,
    /// Maximum number of a node's concurrent calls to one participant.
    pub(super) calls_at_once: usize,
    /// Retention of a key after the end of its saga.
    pub(super) keys_kept: Duration,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            takeover_batch: 200,
            max_claims: 5,
            max_running: 1_000,
            log_queue: 1_000,
            calls_at_once: 256,
            keys_kept: Duration::from_secs(300),
        }
    }
}

impl Knobs {
    /// Draws small values.
    pub(super) fn small(rng: &mut ChaCha8Rng) -> Knobs {
        Knobs {
            takeover_batch: rng.random_range(1..=3),
            max_claims: rng.random_range(1..=3),
            max_running: rng.random_range(1..=6),
            log_queue: rng.random_range(1..=3),
            calls_at_once: rng.random_range(1..=3),
            ..Knobs::default()
        }
    }

    /// Draws a retention of seconds, so that keys are released while their clients still repeat them.
    pub(super) fn with_short_retention(self, rng: &mut ChaCha8Rng) -> Knobs {
        Knobs { keys_kept: Duration::from_millis(rng.random_range(500..8_000)), ..self }
    }

    /// Tells whether the retention is one of seconds.
    pub(super) fn has_short_retention(self) -> bool {
        self.keys_kept < Knobs::default().keys_kept
    }
}
