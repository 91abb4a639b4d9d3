//! Bodies of purchases.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ids::{PaymentId, ProductId, TransactionId, UserId},
    money::Money,
};

/// The 200 of a purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseReply {
    /// Id of the purchase.
    pub purchase_id: i64,
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The buyer.
    pub user_id: UserId,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The product.
    pub product_id: ProductId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The amount.
    pub amount: Money,
}

/// The 409 of a purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseRefused {
    /// `error`.
    #[schema(pattern = "^(error)$", example = "error")]
    pub status: String,
    /// The reason in words.
    pub message: String,
    /// The reason as an error code.
    #[schema(example = "CONFLICT")]
    pub error: String,
}

/// The 200 of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CancelReply {
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The result in words.
    pub message: String,
    /// The transaction of the purchase.
    pub transaction_id: TransactionId,
}

/// A purchase, `GET /purchases/{id}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseView {
    /// Id of the purchase.
    pub purchase_id: i64,
    /// `success` or `cancelled`.
    #[schema(pattern = "^(success|cancelled)$", example = "success")]
    pub status: String,
    /// The buyer.
    pub user_id: String,
    /// The transaction.
    pub transaction_id: String,
    /// The product.
    pub product_id: String,
    /// The payment.
    pub payment_id: String,
    /// The amount.
    pub amount: Money,
    /// Time of the purchase.
    #[serde(with = "super::rfc3339")]
    pub created_at: DateTime<Utc>,
    /// Time of the cancellation.
    #[serde(with = "super::rfc3339::option")]
    #[schema(required)]
    pub cancelled_at: Option<DateTime<Utc>>,
}

/// A page of the list of purchases, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchasePage {
    /// Purchases of this page.
    pub purchases: Vec<PurchaseView>,
    /// Cursor of the next page; null on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}
