//! The API description of payments.

use common::{
    http::openapi::{Description, Header, schema},
    wire::{
        payments::{ChargeRefused, ChargeReply, Payment, RefundReply},
        requests::{ChargeRequest, RefundRequest},
    },
};
use serde_json::json;

use crate::participant::describe::{action, compensation, transaction_in_path};

pub(super) const ABOUT: &str = "Charges and refunds. A charge is decided once per transaction; a refund always \
    succeeds, and a later charge is refused.";

pub(super) fn charge() -> Description {
    let description =
        Description::new("charge", "Charges a user").header(Header::IdempotencyKey).body::<ChargeRequest>(
            json!({ "user_id": "user-123", "transaction_id": "txn-456", "amount": 99.99, "product_id": "1" }),
        );
    action::<ChargeReply, ChargeRefused>(
        description,
        "The user was charged.",
        "The payment was refused and its row is kept, or the transaction was refunded before.",
    )
}

pub(super) fn refund() -> Description {
    let description = Description::new("refundTransaction", "Refunds the payment of a transaction")
        .detail("If there is no payment yet, a later charge is refused.");
    let description =
        transaction_in_path(description).optional_body::<RefundRequest>(json!({ "reason": "out of stock" }));
    compensation::<RefundReply>(description, "The payment is refunded, or there was nothing to refund.")
}

pub(super) fn refund_by_id() -> Description {
    let description = Description::new("refund", "Refunds a payment");
    let description = by_payment(description).optional_body::<RefundRequest>(json!({ "reason": "changed my mind" }));
    compensation::<RefundReply>(description, "The payment is refunded.")
        .problem(409, "The payment was never captured: there is nothing to refund.")
}

pub(super) fn show() -> Description {
    by_payment(Description::new("showPayment", "A payment")).answer::<Payment>(200, "The payment.")
}

pub(super) fn show_by_transaction() -> Description {
    transaction_in_path(Description::new("showPaymentOfTransaction", "The payment of a transaction"))
        .answer::<Payment>(200, "The payment.")
        .problem(404, "The transaction has no payment.")
}

fn by_payment(description: Description) -> Description {
    description
        .path("payment_id", schema::whole_number(1..=i64::MAX), "The payment id.")
        .problem(404, "No payment has this id.")
}
