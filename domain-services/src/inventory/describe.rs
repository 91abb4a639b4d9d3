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

pub(super) const ABOUT: &str = "The stock that counts. It never goes below 0, and no decrement is lost, whatever comes at \
    once. A product that it has not seen starts with the configured stock.";

pub(super) fn decrease() -> Description {
    let description =
        Description::new("decrease", "Takes a product from the stock")
            .header(Header::IdempotencyKey)
            .body::<DecreaseRequest>(json!({ "product_id": "1", "quantity": 2, "transaction_id": "txn-456" }));
    action::<DecreaseReply, StockRefused>(
        description,
        "It was taken.",
        "There is not enough, or the failure lab says so, or the transaction was given back before.",
    )
}

pub(super) fn restore() -> Description {
    let description = Description::new("restore", "Gives the stock of a transaction back")
        .detail("A saga asks for it only where `checkout.compensate_inventory` is set.");
    compensation::<RestoreReply>(
        transaction_in_path(description),
        "It is given back, or there was nothing to give back; a decrease that comes later is refused.",
    )
}

pub(super) fn restock() -> Description {
    let description = Description::new("restock", "Adds to the stock")
        .header(Header::IdempotencyKey)
        .body::<RestockRequest>(json!({ "product_id": "1", "quantity": 50 }));
    action::<RestockReply, StockRefused>(description, "It was added.", "There would be more than can be counted.")
}

pub(super) fn show() -> Description {
    Description::new("showStock", "The stock of a product")
        .path("product_id", schema::text(1, 100), "The product.")
        .answer::<Stock>(200, "The stock.")
        .problem(404, "Inventory has not seen this product.")
}
