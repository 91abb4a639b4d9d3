//! The catalog: the products on sale. A saga only reads it, so it keeps no step journal.
//!
//! | route | answered from |
//! |---|---|
//! | `GET /products/random/` | memory; if no product is available, exactly one is created |
//! | `GET /products/{product_id}/` | memory, then the database, then 404 `product-not-found` |
//! | `GET /products/` | the database, or memory while the database is unreachable |
//! | `GET /journal/{transaction_id}/` | constant: always empty |
//!
//! ```text
//! GET ──► Memory ◄── replaced every catalog.refresh_ms by the shelf-keeper (catalog/keeper)
//!   └ empty ──► ledger (EnsureOne, serialized across all replicas) ──► database
//! ```

mod describe;
mod keeper;
mod memory;
mod routes;
mod table;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use common::{
    config::Settings,
    db::Connection,
    group_commit::{BatchError, BatchWriter, Try},
    supervision::{self, ActorEntry, Handle},
    wire::catalog::Product,
};

use self::{
    keeper::{ShelfKeeper, ShelfKeeperArgs},
    memory::Memory,
};
use crate::participant::service::{Assembly, Parts, Service};

mod migrations {
    refinery::embed_migrations!("../sql/catalog");
}

pub(crate) struct Catalog;

/// The writer of the catalog's ledger.
pub(crate) struct ShelfWriter;

/// Ensures that a product is available. The reply is the list of all active products.
///
/// Each request has its own number, so that all waiting requests share one batch and one read of the table.
#[derive(Clone, Debug)]
pub(crate) struct EnsureOne {
    ticket: String,
}

impl EnsureOne {
    fn new() -> Self {
        static TICKETS: AtomicU64 = AtomicU64::new(0);
        Self { ticket: TICKETS.fetch_add(1, Ordering::Relaxed).to_string() }
    }
}

impl BatchWriter for ShelfWriter {
    type Item = EnsureOne;
    type Answer = Vec<Product>;

    fn key(item: &EnsureOne) -> Cow<'_, str> {
        Cow::Borrowed(&item.ticket)
    }

    async fn write(
        &self,
        connection: &mut Connection,
        items: &[EnsureOne],
        _: Try,
    ) -> Result<Vec<Vec<Product>>, BatchError> {
        table::ensure_one(connection).await?;
        let products = table::active(connection).await?;
        Ok(vec![products; items.len()])
    }
}

impl Service for Catalog {
    const NAME: &'static str = "catalog";
    type Writer = ShelfWriter;

    fn migrations() -> refinery::Runner {
        migrations::migrations::runner()
    }

    fn writer(_: &Settings) -> ShelfWriter {
        ShelfWriter
    }

    fn assemble(parts: Parts<'_, ShelfWriter>) -> Assembly {
        let memory = Memory::default();
        let api = routes::CatalogApi { ledger: parts.ledger.clone(), sampler: parts.sampler, memory: memory.clone() };
        let entry = ActorEntry::new(format!("{}/shelf-keeper", parts.prefix), "shelf keeper");
        let refresh_every = Duration::from_millis(parts.settings.catalog.refresh_ms);
        let (shared, ledger) = (entry.clone(), parts.ledger);
        let keeper = supervision::child(entry, Handle::new(), move || {
            let args = ShelfKeeperArgs {
                entry: shared.clone(),
                ledger: ledger.clone(),
                memory: memory.clone(),
                refresh_every,
            };
            (ShelfKeeper, args)
        });
        Assembly { routes: routes::routes(&api), children: vec![keeper] }
    }
}
