//! Metrics of a group commit. The handles are created once: a look-up for every batch would be measurable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, gauge, histogram};

use crate::telemetry::{self, Metric, MetricKind};

const BATCHES: &str = "group_commit_batches_total";
const ITEMS_WRITTEN: &str = "group_commit_items_total";
const BATCH_ITEMS: &str = "group_commit_batch_items";
const SECONDS: &str = "group_commit_seconds";
const QUEUE: &str = "group_commit_queue_depth";

const METRICS: [Metric; 5] = [
    (MetricKind::Counter, BATCHES, "Batches committed or given up, by writer."),
    (MetricKind::Counter, ITEMS_WRITTEN, "Items in these batches, by writer."),
    (MetricKind::Histogram, BATCH_ITEMS, "Items of one batch, by writer."),
    (MetricKind::Histogram, SECONDS, "Time from the start of a batch to its answers, by writer."),
    (MetricKind::Gauge, QUEUE, "Items waiting for the next batch, by writer."),
];

/// The handles of one writer.
pub(super) struct Meters {
    batches: Counter,
    items: Counter,
    batch_items: Histogram,
    seconds: Histogram,
}

impl Meters {
    /// Creates the handles; the queue depth is read at each scrape for as long as the queue exists.
    pub(super) fn of(writer: &'static str, waiting: &Arc<AtomicUsize>) -> Self {
        telemetry::describe(&METRICS);
        let (depth, waiting) = (gauge!(QUEUE, "writer" => writer), Arc::downgrade(waiting));
        telemetry::at_scrape(move || {
            depth.set(waiting.upgrade()?.load(Ordering::Relaxed) as f64);
            Some(())
        });
        Self {
            batches: counter!(BATCHES, "writer" => writer),
            items: counter!(ITEMS_WRITTEN, "writer" => writer),
            batch_items: histogram!(BATCH_ITEMS, "writer" => writer),
            seconds: histogram!(SECONDS, "writer" => writer),
        }
    }

    pub(super) fn observe(&self, size: u64, took: Duration) {
        self.batches.increment(1);
        self.items.increment(size);
        self.batch_items.record(size as f64);
        self.seconds.record(took);
    }
}
