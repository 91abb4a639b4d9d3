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

pub(super) const ABOUT: &str = "Charges and refunds. A charge is decided once per transaction; a refund always succeeds, \
    and forbids a charge that comes after it.";

pub(super) fn charge() -> Description {
    let description =
        Description::new("charge", "Takes a payment").header(Header::IdempotencyKey).body::<ChargeRequest>(
            json!({ "user_id": "user-123", "transaction_id": "txn-456", "amount": 99.99, "product_id": "1" }),
        );
    action::<ChargeReply, ChargeRefused>(
        description,
        "The payment was taken.",
        "The payment was refused, or the transaction was given back before. A refused one is kept as a row.",
    )
}

pub(super) fn refund() -> Description {
    let description = Description::new("refundTransaction", "Gives the payment of a transaction back")
        .detail("Where there is none yet, one that comes later is refused.");
    let description =
        transaction_in_path(description).optional_body::<RefundRequest>(json!({ "reason": "out of stock" }));
    compensation::<RefundReply>(description, "It is given back, or there was nothing to give back.")
}

pub(super) fn refund_by_id() -> Description {
    let description = Description::new("refund", "Gives a payment back");
    let description = by_payment(description).optional_body::<RefundRequest>(json!({ "reason": "changed my mind" }));
    compensation::<RefundReply>(description, "It is given back.")
        .problem(409, "The payment was never captured: there is nothing to give back.")
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
        .path("payment_id", schema::whole_number(1..=i64::MAX), "The payment.")
        .problem(404, "There is no such payment.")
}
