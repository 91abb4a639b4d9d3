//! Bodies of payments.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ids::{ProductId, TransactionId, UserId},
    money::Money,
};

/// The 200 of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChargeReply {
    /// A number here; a string at purchases and the orchestrator.
    pub payment_id: i64,
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The result in words.
    pub message: String,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The payer.
    pub user_id: UserId,
    /// The product.
    #[schema(required)]
    pub product_id: Option<ProductId>,
    /// The amount.
    pub amount: Money,
}

/// The 409 of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChargeRefused {
    /// The row kept for the refusal; null if nothing was ever charged.
    #[schema(required)]
    pub payment_id: Option<i64>,
    /// `error`.
    #[schema(pattern = "^(error)$", example = "error")]
    pub status: String,
    /// The reason.
    pub message: String,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The payer; null on a tombstone, which knows only the transaction.
    #[schema(required)]
    pub user_id: Option<UserId>,
    /// The product.
    #[schema(required)]
    pub product_id: Option<ProductId>,
}

/// The 200 of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefundReply {
    /// `compensated`.
    #[schema(pattern = "^(compensated)$", example = "compensated")]
    pub status: String,
    /// The result in words.
    pub message: String,
    /// The refunded payment; null if there was nothing to refund.
    #[schema(required)]
    pub payment_id: Option<i64>,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The user refunded.
    #[schema(required)]
    pub user_id: Option<UserId>,
    /// The amount refunded.
    #[schema(required)]
    pub amount: Option<Money>,
}

/// A payment, `GET /payments/{payment_id}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// Id of the payment.
    pub payment_id: i64,
    /// `success`, `error` or `compensated`.
    #[schema(pattern = "^(success|error|compensated)$", example = "success")]
    pub status: String,
    /// The transaction.
    pub transaction_id: String,
    /// The payer.
    pub user_id: String,
    /// The product.
    #[schema(required)]
    pub product_id: Option<String>,
    /// The amount.
    pub amount: Money,
    /// Time of the decision.
    #[serde(with = "super::rfc3339")]
    pub created_at: DateTime<Utc>,
    /// Time of the refund.
    #[serde(with = "super::rfc3339::option")]
    #[schema(required)]
    pub compensated_at: Option<DateTime<Utc>>,
}
