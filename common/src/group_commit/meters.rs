//! Metrics of a group commit. The handles are created once: a look-up for every batch would be measurable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, gauge, histogram};

use crate::telemetry::{self, Metric, MetricKind};

const BATCHES: &str = "ecommerce_group_commit_batches_total";
const ITEMS_WRITTEN: &str = "ecommerce_group_commit_items_total";
const BATCH_ITEMS: &str = "ecommerce_group_commit_batch_items";
const SECONDS: &str = "ecommerce_group_commit_seconds";
const QUEUE: &str = "ecommerce_group_commit_queue_depth";
const LIMIT: &str = "ecommerce_group_commit_queue_limit";

const READS_WAITING: &str = "ecommerce_db_pool_reads_waiting";
const READS_GIVEN_UP: &str = "ecommerce_db_pool_reads_given_up_total";

const METRICS: [Metric; 8] = [
    (MetricKind::Counter, BATCHES, "Batches committed or given up, by writer."),
    (MetricKind::Counter, ITEMS_WRITTEN, "Items in these batches, by writer."),
    (MetricKind::Histogram, BATCH_ITEMS, "Items of one batch, by writer."),
    (MetricKind::Histogram, SECONDS, "Time from the start of a batch to its answers, by writer."),
    (MetricKind::Gauge, QUEUE, "Items waiting for the next batch, by writer."),
    (MetricKind::Gauge, LIMIT, "Most items that may wait, by writer; further ones are refused."),
    (MetricKind::Gauge, READS_WAITING, "Reads that wait for a connection of a pool, by database."),
    (MetricKind::Counter, READS_GIVEN_UP, "Reads that got no connection of a pool in time, by database."),
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
    pub(super) fn of(writer: &'static str, waiting: &Arc<AtomicUsize>, max_queue: usize) -> Self {
        telemetry::describe(&METRICS);
        gauge!(LIMIT, "writer" => writer).set(max_queue as f64);
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

/// The metrics of the reads on one pool.
pub(super) struct ReadMeters {
    given_up: Counter,
}

impl ReadMeters {
    /// Creates the handles; the waiting reads are read at each scrape for as long as the pool exists.
    pub(super) fn of(database: &str, waiting: &Arc<AtomicUsize>) -> Self {
        telemetry::describe(&METRICS);
        let (gauge, waiting) = (gauge!(READS_WAITING, "database" => database.to_owned()), Arc::downgrade(waiting));
        telemetry::at_scrape(move || {
            gauge.set(waiting.upgrade()?.load(Ordering::Relaxed) as f64);
            Some(())
        });
        let given_up = counter!(READS_GIVEN_UP, "database" => database.to_owned());
        given_up.increment(0);
        Self { given_up }
    }

    pub(super) fn given_up(&self) {
        self.given_up.increment(1);
    }
}
