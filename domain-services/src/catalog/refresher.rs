//! Keeps the memory of the catalog fresh.
//!
//! A failed read leaves the memory as it is: stale products are better than none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::group_commit::BatchSender;
use common::supervision::{ActorEntry, ChildSpec, Periodic, every};
use serde_json::json;
use tracing::warn;

use super::{ProductWriter, memory::Memory, table};

pub(super) struct Refresher {
    pub(super) ledger: BatchSender<ProductWriter>,
    pub(super) memory: Memory,
    pub(super) refresh_every: Duration,
    /// Whether the last read failed, so that an outage is logged once and not at every refresh.
    pub(super) has_failed: AtomicBool,
}

pub(super) fn refresher(entry: Arc<ActorEntry>, refresher: Refresher) -> ChildSpec {
    let memory = refresher.memory.clone();
    entry.set_state(move || match memory.snapshot().map(|snapshot| snapshot.counts()) {
        None => json!({ "products": null }),
        Some((products, available)) => json!({ "products": products, "available": available }),
    });
    every(entry, Duration::ZERO, refresher)
}

impl Periodic for Refresher {
    async fn run(&self) -> Duration {
        match self.ledger.read(|connection| Box::pin(table::active(connection))).await {
            Ok(products) => {
                self.memory.replace(products);
                self.has_failed.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    warn!(%error, "products cannot be read; the catalog keeps serving those in memory");
                }
            }
        }
        self.refresh_every
    }
}
