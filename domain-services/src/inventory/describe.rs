//! The API description of inventory.

use common::{
    http::openapi::{Description, Header, schema},
    wire::{
        inventory::{DecreaseReply, RestockReply, RestoreReply, Stock, StockRefused},
        requests::{DecreaseRequest, RestockRequest},
    },
};
use serde_json::json;

use crate::participant::describe::{action, compensation, transaction_in_path};

pub(super) const ABOUT: &str = "The authoritative stock. It never goes below 0, and no decrement is lost under \
    concurrency. A product without a record starts with the configured stock.";

pub(super) fn decrease() -> Description {
    let description =
        Description::new("decrease", "Decreases the stock of a product")
            .header(Header::IdempotencyKey)
            .body::<DecreaseRequest>(json!({ "product_id": "1", "quantity": 2, "transaction_id": "txn-456" }));
    action::<DecreaseReply, StockRefused>(
        description,
        "The stock was decreased.",
        "The stock is insufficient, a failure was simulated, or the stock of the transaction was restored before.",
    )
}

pub(super) fn restore() -> Description {
    let description = Description::new("restore", "Restores the stock of a transaction")
        .detail("Sagas call this only if `checkout.compensate_inventory` is set.");
    compensation::<RestoreReply>(
        transaction_in_path(description),
        "The stock is restored, or there was nothing to restore; a later decrease is refused.",
    )
}

pub(super) fn restock() -> Description {
    let description = Description::new("restock", "Increases the stock of a product")
        .header(Header::IdempotencyKey)
        .body::<RestockRequest>(json!({ "product_id": "1", "quantity": 50 }));
    action::<RestockReply, StockRefused>(description, "The stock was increased.", "The stock would exceed its maximum.")
}

pub(super) fn show() -> Description {
    Description::new("showStock", "The stock of a product")
        .path("product_id", schema::text(1, 100), "The product id.")
        .answer::<Stock>(200, "The stock.")
        .problem(404, "Inventory has no record of this product.")
}
