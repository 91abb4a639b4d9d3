//! Shows in the metrics how much stock is left, and how many products run out.
//!
//! Every replica reads the same table, so a query over replicas takes the maximum. A failed read leaves the last values:
//! other metrics show that the database is unavailable.

use std::sync::Arc;
use std::time::Duration;

use common::group_commit::BatchSender;
use common::supervision::{ActorEntry, ChildSpec, Periodic, every};
use common::telemetry::{self, Metric, MetricKind};
use metrics::{Gauge, gauge};
use tracing::debug;

use super::{Inventory, table};
use crate::participant::ledger::JournaledWriter;

/// Interval of looks at the table: the read counts all products.
const EVERY: Duration = Duration::from_secs(10);

const PRODUCTS: &str = "ecommerce_stock_products";
const UNITS: &str = "ecommerce_stock_units";

const METRICS: [Metric; 2] = [
    (
        MetricKind::Gauge,
        PRODUCTS,
        "Products that inventory knows, by level: sold_out, low (at most inventory.low_stock) or enough.",
    ),
    (MetricKind::Gauge, UNITS, "Units of all products in stock."),
];

struct StockWatch {
    ledger: BatchSender<JournaledWriter<Inventory>>,
    low_stock: i32,
    sold_out: Gauge,
    low: Gauge,
    enough: Gauge,
    units: Gauge,
}

pub(super) fn watch(
    entry: Arc<ActorEntry>,
    ledger: BatchSender<JournaledWriter<Inventory>>,
    low_stock: i32,
) -> ChildSpec {
    telemetry::describe(&METRICS);
    let of_level = |level: &'static str| gauge!(PRODUCTS, "level" => level);
    let (sold_out, low, enough) = (of_level("sold_out"), of_level("low"), of_level("enough"));
    every(entry, Duration::ZERO, StockWatch { ledger, low_stock, sold_out, low, enough, units: gauge!(UNITS) })
}

impl Periodic for StockWatch {
    async fn run(&self) -> Duration {
        let low_stock = self.low_stock;
        let read = self.ledger.read_list(move |connection| Box::pin(table::levels(connection, low_stock))).await;
        match read {
            Ok(levels) => {
                self.sold_out.set(levels.sold_out as f64);
                self.low.set(levels.low as f64);
                self.enough.set((levels.products - levels.sold_out - levels.low) as f64);
                self.units.set(levels.units as f64);
            }
            Err(error) => debug!(%error, "the stock cannot be counted now"),
        }
        EVERY
    }
}
