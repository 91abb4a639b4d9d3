//! The catalog's routes.

use common::{
    faults::FaultSampler,
    group_commit::{BatchSender, Written},
    http::{Access, ApiError, Request, Response, Routes, StatusCode, json, page::plain_number},
    wire::{
        catalog::{Product, ProductPage},
        journal::JournalView,
    },
};
use serde::Serialize;
use tracing::{info, warn};

use super::{EnsureOne, ProductWriter, describe, memory::Memory, table};
use crate::participant::{
    self,
    answer::{self, RETRY_AFTER_S},
    api::{simulated_read, with},
    request::{page_by_id, transaction_in_path},
};

/// The operation name of a product read in the failure lab.
const PRODUCT: &str = "product";

/// Shared state of the handlers.
#[derive(Clone)]
pub(super) struct CatalogApi {
    pub(super) ledger: BatchSender<ProductWriter>,
    pub(super) sampler: FaultSampler,
    pub(super) memory: Memory,
}

pub(super) fn routes(api: &CatalogApi) -> Routes {
    Routes::new("catalog")
        .about(describe::ABOUT)
        .get("/products/random/", Access::Client, describe::random, with(api, random))
        .get("/products/{product_id}/", Access::Client, describe::by_id, with(api, by_id))
        .get("/products/", Access::Client, describe::list, with(api, list))
        .get("/journal/{transaction_id}/", Access::Service, participant::describe::journal, journal)
}

async fn random(api: CatalogApi, request: Request) -> Result<Response, ApiError> {
    simulated_read(&api.sampler, &request, PRODUCT, async {
        if let Some(product) = api.memory.random() {
            return Ok(shown(&*product));
        }
        match api.ledger.write(EnsureOne::new()).await {
            Written::Committed(products) => api.memory.replace(products),
            Written::Rejected(refused) => {
                warn!(%refused, "no product could be made");
                return Err(no_database());
            }
            Written::NotWritten(reason) | Written::InDoubt(reason) => {
                warn!(%reason, "no product could be made");
                return Err(no_database());
            }
        }
        // The writer has just ensured that a product is available.
        api.memory.random().map(|product| shown(&*product)).ok_or_else(no_database)
    })
    .await
}

async fn by_id(api: CatalogApi, request: Request) -> Result<Response, ApiError> {
    simulated_read(&api.sampler, &request, PRODUCT, async {
        let asked = request.param("product_id");
        let not_found = || ApiError::typed_not_found("product-not-found", format!("Product {asked} not found"));
        // A text that is not a number, or is out of range, matches no product.
        let product_id = plain_number(asked).ok_or_else(not_found)?;
        if let Some(product) = api.memory.by_id(product_id) {
            return Ok(shown(&*product));
        }
        // Memory lags by up to one refresh, and "not found" makes a saga compensate: confirm it in the database.
        let product = api
            .ledger
            .read(move |connection| Box::pin(table::active_by_id(connection, product_id)))
            .await
            .map_err(answer::unreadable)?;
        product.map(|product| shown(&product)).ok_or_else(not_found)
    })
    .await
}

async fn list(api: CatalogApi, request: Request) -> Result<Response, ApiError> {
    let page = page_by_id(&request)?;
    let after = page.cursor.unwrap_or(0);
    let read = api.ledger.read_list(move |connection| Box::pin(table::page(connection, after, page.rows())));
    let read = read.await;
    let mut products = match (read, api.memory.snapshot()) {
        (Ok(products), _) => products,
        (Err(error), Some(snapshot)) => {
            info!(%error, "the list is served from memory");
            snapshot.page(after, page.rows())
        }
        (Err(error), None) => return Err(answer::unreadable(error)),
    };
    let next_cursor = page.cut(&mut products, |product: &Product| product.product_id.to_string());
    Ok(json(StatusCode::OK, &ProductPage { products, next_cursor }))
}

/// Always empty, since the catalog decides nothing; the route exists because every participant has it.
async fn journal(request: Request) -> Result<Response, ApiError> {
    let transaction_id = transaction_in_path(&request)?;
    Ok(json(StatusCode::OK, &JournalView { transaction_id: transaction_id.into_string(), entries: Vec::new() }))
}

fn shown(product: &(impl Serialize + ?Sized)) -> Response {
    json(StatusCode::OK, product)
}

fn no_database() -> ApiError {
    ApiError::unavailable("no products are loaded and the database cannot be reached now; try again", RETRY_AFTER_S)
}
