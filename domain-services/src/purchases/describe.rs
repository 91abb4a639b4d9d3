//! The API description of purchases.

use common::{
    http::openapi::{Description, schema},
    wire::{
        purchases::{CancelReply, PurchasePage, PurchaseRefused, PurchaseReply, PurchaseView},
        requests::PurchaseRequest,
    },
};
use serde_json::json;

use crate::participant::describe::{action, compensation, page, transaction_in_path};

pub(super) const ABOUT: &str = "The record of what was bought. A cancellation always succeeds, and forbids a purchase that \
    comes after it.";

pub(super) fn create() -> Description {
    let description = Description::new("createPurchase", "Records a purchase").body::<PurchaseRequest>(json!({
        "user_id": "user-123", "transaction_id": "txn-456", "product_id": "1", "payment_id": "42", "amount": 99.99,
    }));
    action::<PurchaseReply, PurchaseRefused>(
        description,
        "It is recorded.",
        "It was refused, or the transaction was cancelled before.",
    )
}

pub(super) fn cancel() -> Description {
    let description = Description::new("cancelTransaction", "Cancels the purchase of a transaction")
        .detail("Where there is none yet, one that comes later is refused.");
    compensation::<CancelReply>(transaction_in_path(description), "It is cancelled, or there was nothing to cancel.")
}

pub(super) fn cancel_by_id() -> Description {
    let description = by_purchase(Description::new("cancelPurchase", "Cancels a purchase"));
    compensation::<CancelReply>(description, "It is cancelled.").problem(404, "There is no purchase of this number.")
}

pub(super) fn show() -> Description {
    by_purchase(Description::new("showPurchase", "A purchase"))
        .answer::<PurchaseView>(200, "The purchase.")
        .problem(404, "There is no such purchase.")
}

pub(super) fn list() -> Description {
    let description = Description::new("listPurchases", "The purchases, newest first, in parts")
        .detail("Newest first is by purchase id: in the order in which they were recorded, whatever the clocks say.")
        .query("user_id", schema::text(1, 100), "Only those of this user.");
    page(description).answer::<PurchasePage>(200, "A part of the list.")
}

fn by_purchase(description: Description) -> Description {
    description.path("purchase_id", schema::text(1, 100), "Its id; or its transaction id, where that is not a number.")
}
