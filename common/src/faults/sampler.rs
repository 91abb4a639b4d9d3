//! The sampler of one service: it decides which request meets which failure.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ChangeError, FaultSettings, FaultsView, LatencyRange, OperationFaults, change, settings::InForce};

/// The outcome of a draw for the business decision of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureDraw {
    /// The operation does its work.
    Accept,
    /// The operation is refused at random.
    Refuse,
}

/// The transport faults of one delivery of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportFate {
    /// Answer 503 without doing the work.
    pub unavailable: bool,
    /// Cut the connection before the reply.
    pub cut_connection: bool,
    /// Do the work and drop this reply.
    pub lost_reply: bool,
    /// Request the work twice.
    pub duplicate: bool,
}

/// The failure settings in force of one service, and its draws. Clones share both.
#[derive(Clone)]
pub struct FaultSampler {
    shared: Arc<Shared>,
}

struct Shared {
    service: &'static str,
    in_force: ArcSwap<InForce>,
    /// The last settings from the configuration; a change through `/debug/faults` makes `in_force` differ.
    configured: ArcSwap<InForce>,
    latency: Mutex<ChaCha8Rng>,
}

impl FaultSampler {
    /// Creates the sampler of a service from its part of the settings.
    pub fn new(service: &'static str, settings: &FaultSettings) -> Self {
        let configured = Arc::new(InForce::of(service, settings));
        let latency = Mutex::new(generator(service, settings.seed));
        Self {
            shared: Arc::new(Shared {
                service,
                in_force: ArcSwap::new(configured.clone()),
                configured: ArcSwap::new(configured),
                latency,
            }),
        }
    }

    /// Returns the name of the service.
    pub fn service(&self) -> &'static str {
        self.shared.service
    }

    /// Returns the faults in force, by operation.
    pub fn settings(&self) -> Arc<BTreeMap<String, OperationFaults>> {
        self.shared.in_force.load().operations.clone()
    }

    /// Returns the seed in force.
    pub fn seed(&self) -> u64 {
        self.shared.in_force.load().seed
    }

    /// Returns the body of `GET /debug/faults`: `{"seed": 1, "<operation>": {…}, …}`. [`FaultSampler::apply_json`] accepts all
    /// of it or any part.
    pub fn json(&self) -> Value {
        let in_force = self.shared.in_force.load();
        json!(FaultsView { seed: in_force.seed, operations: (*in_force.operations).clone() })
    }

    /// Puts loaded settings in force and discards changes made through `/debug/faults`.
    pub fn replace(&self, settings: FaultSettings) {
        let next = Arc::new(InForce::of(self.service(), &settings));
        let before = self.shared.in_force.swap(next.clone());
        self.shared.configured.store(next);
        if before.seed != settings.seed {
            *self.shared.latency.lock() = generator(self.service(), settings.seed);
        }
    }

    /// Returns whether settings differ, for this service, from the last ones of the configuration. A change through
    /// `/debug/faults` does not count: it must survive a restart of the watcher.
    pub fn is_news(&self, settings: &FaultSettings) -> bool {
        **self.shared.configured.load() != InForce::of(self.service(), settings)
    }

    /// Applies the body of `PUT /debug/faults` to the settings in force, completely or not at all. The body has the
    /// form of [`FaultSampler::json`]; omitted members stay as they are. The change lasts until the next [`FaultSampler::replace`].
    ///
    /// # Errors
    /// [`ChangeError::Malformed`] if the body is not a JSON object, [`ChangeError::Fields`] with every invalid field.
    pub fn apply_json(&self, body: &[u8]) -> Result<(), ChangeError> {
        let change = change::parse(body)?;
        let mut seed_changed = None;
        // Concurrent changes must not undo each other: compare and swap, and retry after a lost race.
        loop {
            let current = self.shared.in_force.load_full();
            let next = change::apply(&current, &change).map_err(ChangeError::Fields)?;
            if next.seed != current.seed {
                seed_changed = Some(next.seed);
            }
            let seen = self.shared.in_force.compare_and_swap(&current, Arc::new(next));
            if Arc::ptr_eq(&current, &seen) {
                break;
            }
        }
        if let Some(seed) = seed_changed {
            *self.shared.latency.lock() = generator(self.service(), seed);
        }
        Ok(())
    }

    /// Makes the draw of a decision: a hash of seed, service, operation and transaction id, so the result never
    /// varies.
    pub fn decision(&self, operation: &str, transaction_id: &str) -> FailureDraw {
        let in_force = self.shared.in_force.load();
        let rate = in_force.of_operation(operation).failure_rate;
        if self.hits(rate, in_force.seed, ["decision", operation, transaction_id, ""]) {
            FailureDraw::Refuse
        } else {
            FailureDraw::Accept
        }
    }

    /// Makes the draws of one delivery. `attempt` is the `Saga-Attempt` header, empty if absent: each attempt gets its
    /// own fate.
    pub fn transport(&self, operation: &str, transaction_id: &str, attempt: &str) -> TransportFate {
        let in_force = self.shared.in_force.load();
        let faults = in_force.of_operation(operation);
        let hits = |rate, kind| self.hits(rate, in_force.seed, [kind, operation, transaction_id, attempt]);
        TransportFate {
            unavailable: hits(faults.unavailable_rate, "unavailable"),
            cut_connection: hits(faults.cut_connection_rate, "cut connection"),
            lost_reply: hits(faults.lost_reply_rate, "lost reply"),
            duplicate: hits(faults.duplicate_rate, "duplicate"),
        }
    }

    /// Draws a latency, uniform over the range of the operation.
    pub fn latency(&self, operation: &str) -> Duration {
        let LatencyRange { min, max } = self.shared.in_force.load().of_operation(operation).latency_ms;
        if min >= max {
            return Duration::from_millis(min);
        }
        // Drawn in microseconds: with whole milliseconds many timers would fire together.
        let drawn_us = self.shared.latency.lock().random_range(min * 1_000..=max * 1_000);
        Duration::from_micros(drawn_us)
    }

    /// Makes one draw. The parts are hashed with their lengths, so that no two lists of parts collide.
    fn hits(&self, rate: f64, seed: u64, parts: [&str; 4]) -> bool {
        // Also skips the hash for a rate of 0, which is every request in production.
        if rate <= 0.0 {
            return false;
        }
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        for part in [self.service()].into_iter().chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        unit_interval(&hash.finalize().into()) < rate
    }
}

impl fmt::Debug for FaultSampler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FaultSampler")
            .field("service", &self.service())
            .field("in_force", &self.shared.in_force.load())
            .finish()
    }
}

/// Converts the first 53 bits of a hash to a fraction in [0, 1). An `f64` holds 53 bits exactly, so 1 is never reached.
fn unit_interval(hash: &[u8; 32]) -> f64 {
    let first_eight = hash.first_chunk::<8>().expect("a SHA-256 hash has 32 bytes");
    let bits = u64::from_be_bytes(*first_eight) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

fn generator(service: &str, seed: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(service);
    ChaCha8Rng::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests;
