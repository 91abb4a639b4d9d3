//! Sagas without progress: counted as a metric, and logged once for each stall.
//!
//! Progress is an event in a saga's log. A saga that backs off or is parked makes progress with every attempt; a saga
//! whose call never ends, or whose write is never confirmed, makes none.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation::supervision::{ActorEntry, ChildSpec, Periodic, every};
use metrics::gauge;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;

use crate::SagaId;
use crate::running::{Running, RunningSaga};

/// Maximum number of sagas logged at once; the others are only counted.
const NAMED: usize = 10;

/// Arguments of the stall watch.
pub struct StallArguments {
    /// The actor's entry in the actor tree.
    pub entry: Arc<ActorEntry>,
    /// The sagas that run in this process.
    pub running: Arc<Running>,
    /// Time without an event after which a saga counts as stalled.
    pub after: Duration,
}

struct StallWatch {
    running: Arc<Running>,
    after: Duration,
    /// Stalled sagas that were logged already.
    named: Mutex<HashSet<SagaId>>,
    count: Arc<AtomicUsize>,
}

/// Returns the child specification of the stall watch.
pub fn stall_watch(arguments: StallArguments) -> ChildSpec {
    let StallArguments { entry, running, after } = arguments;
    let count = Arc::new(AtomicUsize::new(0));
    let shown = count.clone();
    entry.set_state(move || json!({ "stalled": shown.load(Ordering::Relaxed) }));
    every(entry, Duration::ZERO, StallWatch { running, after, named: Mutex::default(), count })
}

impl Periodic for StallWatch {
    async fn run(&self) -> Duration {
        self.look();
        (self.after / 4).clamp(Duration::from_millis(100), Duration::from_secs(10))
    }
}

impl StallWatch {
    fn look(&self) {
        let now = Instant::now();
        let stalled: Vec<(Arc<RunningSaga>, Duration)> = self
            .running
            .all()
            .into_iter()
            .filter_map(|saga| {
                let silence = now.saturating_duration_since(saga.progress().changed_at);
                (silence >= self.after).then_some((saga, silence))
            })
            .collect();
        gauge!("ecommerce_sagas_stalled").set(stalled.len() as f64);
        self.count.store(stalled.len(), Ordering::Relaxed);
        let mut named = self.named.lock();
        let new: Vec<_> = stalled.iter().filter(|(saga, _)| !named.contains(&saga.id)).collect();
        for (saga, silence) in new.iter().take(NAMED) {
            let waiting_for = saga.progress().waiting_for.describe();
            warn!(saga.id = %saga.id, ?silence, %waiting_for, "a saga makes no progress");
        }
        if new.len() > NAMED {
            warn!(sagas = new.len() - NAMED, "more sagas make no progress");
        }
        *named = stalled.iter().map(|(saga, _)| saga.id).collect();
    }
}
