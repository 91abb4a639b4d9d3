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
    /// Its id.
    pub purchase_id: i64,
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// Who bought.
    pub user_id: UserId,
    /// In which transaction.
    pub transaction_id: TransactionId,
    /// What.
    pub product_id: ProductId,
    /// Paid how.
    pub payment_id: PaymentId,
    /// For how much.
    pub amount: Money,
}

/// The 409 of a purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseRefused {
    /// `error`.
    #[schema(pattern = "^(error)$", example = "error")]
    pub status: String,
    /// The same for people.
    pub message: String,
    /// Why, in a word.
    #[schema(example = "CONFLICT")]
    pub error: String,
}

/// The 200 of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CancelReply {
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The same for people.
    pub message: String,
    /// Whose purchase it was.
    pub transaction_id: TransactionId,
}

/// A row, as `GET /purchases/{id}/` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseView {
    /// Its id.
    pub purchase_id: i64,
    /// `success` or `cancelled`.
    #[schema(pattern = "^(success|cancelled)$", example = "success")]
    pub status: String,
    /// Who bought.
    pub user_id: String,
    /// In which transaction.
    pub transaction_id: String,
    /// What.
    pub product_id: String,
    /// Paid how.
    pub payment_id: String,
    /// For how much.
    pub amount: Money,
    /// When.
    #[serde(with = "super::rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it was cancelled.
    #[serde(with = "super::rfc3339::option")]
    #[schema(required)]
    pub cancelled_at: Option<DateTime<Utc>>,
}

/// A part of the list of purchases, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchasePage {
    /// The purchases.
    pub purchases: Vec<PurchaseView>,
    /// What to ask the next part with; null on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}
