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

pub(super) const ABOUT: &str = "The record of purchases. A cancellation always succeeds, and a later purchase of the \
    same transaction is refused.";

pub(super) fn create() -> Description {
    let description = Description::new("createPurchase", "Records a purchase").body::<PurchaseRequest>(json!({
        "user_id": "user-123", "transaction_id": "txn-456", "product_id": "1", "payment_id": "42", "amount": 99.99,
    }));
    action::<PurchaseReply, PurchaseRefused>(
        description,
        "The purchase is recorded.",
        "The purchase was refused, or its transaction was cancelled before.",
    )
}

pub(super) fn cancel() -> Description {
    let description = Description::new("cancelTransaction", "Cancels the purchase of a transaction")
        .detail("If there is no purchase yet, a later one is refused.");
    let description = transaction_in_path(description);
    compensation::<CancelReply>(description, "The purchase is cancelled, or there was nothing to cancel.")
}

pub(super) fn cancel_by_id() -> Description {
    let description = by_purchase(Description::new("cancelPurchase", "Cancels a purchase"));
    compensation::<CancelReply>(description, "The purchase is cancelled.").problem(404, "No purchase has this id.")
}

pub(super) fn show() -> Description {
    by_purchase(Description::new("showPurchase", "A purchase"))
        .answer::<PurchaseView>(200, "The purchase.")
        .problem(404, "No purchase has this id.")
}

pub(super) fn list() -> Description {
    let description = Description::new("listPurchases", "The purchases, newest first, in pages")
        .detail("Ordered by purchase id, that is by the order of recording, independent of clocks.")
        .query("user_id", schema::text(1, 100), "Only purchases of this user.");
    page(description).answer::<PurchasePage>(200, "A page of the list.")
}

fn by_purchase(description: Description) -> Description {
    description.path("purchase_id", schema::text(1, 100), "The purchase id, or a transaction id that is not a number.")
}
