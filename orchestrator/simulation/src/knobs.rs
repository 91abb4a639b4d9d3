//! The knobs of a run: as in the configuration, or as small as they may be, where batches end in the middle of things and
//! every queue is full.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// The knobs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knobs {
    /// Sagas in one claim.
    pub(super) takeover_batch: i64,
    /// How often a saga's own actor may die without an awaited write.
    pub(super) max_claims: i32,
    /// New sagas that may run at once on a node.
    pub(super) max_running: usize,
    /// Writes of a node that may wait for the saga log.
    pub(super) log_queue: usize,
    /// Calls of a node to one participant at once.
    pub(super) calls_at_once: usize,
    /// How long after its saga's end a key is kept.
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
    /// Draws small ones.
    pub(super) fn small(dice: &mut ChaCha8Rng) -> Knobs {
        Knobs {
            takeover_batch: dice.random_range(1..=3),
            max_claims: dice.random_range(1..=3),
            max_running: dice.random_range(1..=6),
            log_queue: dice.random_range(1..=3),
            calls_at_once: dice.random_range(1..=3),
            ..Knobs::default()
        }
    }

    /// Keeps keys for seconds, so that they are released while their clients still repeat them.
    pub(super) fn with_short_retention(self, dice: &mut ChaCha8Rng) -> Knobs {
        Knobs { keys_kept: Duration::from_millis(dice.random_range(500..8_000)), ..self }
    }

    /// Tells whether keys are kept for seconds only.
    pub(super) fn has_short_retention(self) -> bool {
        self.keys_kept < Knobs::default().keys_kept
    }
}
