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
//! GET ──► Memory ◄── replaced every catalog.refresh_ms by the refresher (catalog/refresher)
//!   └ empty ──► ledger (EnsureOne, serialized across all replicas) ──► database
//! ```

mod describe;
mod memory;
mod refresher;
mod routes;
mod table;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use common::{
    config::Settings,
    db::Connection,
    group_commit::{BatchError, BatchWriter, Try},
    supervision::ActorEntry,
    wire::catalog::Product,
};

use self::{memory::Memory, refresher::Refresher};
use crate::participant::service::{Assembly, Parts, Service};

mod migrations {
    refinery::embed_migrations!("../sql/catalog");
}

pub(crate) struct Catalog;

/// The writer of the catalog's ledger.
pub(crate) struct ProductWriter;

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

impl BatchWriter for ProductWriter {
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
    type Writer = ProductWriter;

    fn migrations() -> refinery::Runner {
        migrations::migrations::runner()
    }

    fn writer(_: &Settings) -> ProductWriter {
        ProductWriter
    }

    fn assemble(parts: Parts<'_, ProductWriter>) -> Assembly {
        let memory = Memory::default();
        let api = routes::CatalogApi { ledger: parts.ledger.clone(), sampler: parts.sampler, memory: memory.clone() };
        let entry = ActorEntry::new(format!("{}/refresher", parts.prefix), "refresher");
        let refresh_every = Duration::from_millis(parts.settings.catalog.refresh_ms);
        let (ledger, has_failed) = (parts.ledger, AtomicBool::new(false));
        let refresher = refresher::refresher(entry, Refresher { ledger, memory, refresh_every, has_failed });
        Assembly { routes: routes::routes(&api), children: vec![refresher] }
    }
}
