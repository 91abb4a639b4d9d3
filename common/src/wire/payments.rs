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
    /// A number here; purchases and the orchestrator show it as a string.
    pub payment_id: i64,
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The same for people.
    pub message: String,
    /// For which transaction.
    pub transaction_id: TransactionId,
    /// Who pays.
    pub user_id: UserId,
    /// For what.
    #[schema(required)]
    pub product_id: Option<ProductId>,
    /// How much.
    pub amount: Money,
}

/// The 409 of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChargeRefused {
    /// The row that is kept of it; null where nothing was ever charged.
    #[schema(required)]
    pub payment_id: Option<i64>,
    /// `error`.
    #[schema(pattern = "^(error)$", example = "error")]
    pub status: String,
    /// Why.
    pub message: String,
    /// For which transaction.
    pub transaction_id: TransactionId,
    /// Who would have paid; null on a tombstone, which knows only the transaction.
    #[schema(required)]
    pub user_id: Option<UserId>,
    /// For what.
    #[schema(required)]
    pub product_id: Option<ProductId>,
}

/// The 200 of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefundReply {
    /// `compensated`.
    #[schema(pattern = "^(compensated)$", example = "compensated")]
    pub status: String,
    /// The same for people.
    pub message: String,
    /// The payment that was given back; null where there was nothing to give back.
    #[schema(required)]
    pub payment_id: Option<i64>,
    /// Of which transaction.
    pub transaction_id: TransactionId,
    /// Whose it was.
    #[schema(required)]
    pub user_id: Option<UserId>,
    /// How much it was.
    #[schema(required)]
    pub amount: Option<Money>,
}

/// A row, as `GET /payments/{payment_id}/` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// Its id.
    pub payment_id: i64,
    /// `success`, `error` or `compensated`.
    #[schema(pattern = "^(success|error|compensated)$", example = "success")]
    pub status: String,
    /// For which transaction.
    pub transaction_id: String,
    /// Who pays.
    pub user_id: String,
    /// For what.
    #[schema(required)]
    pub product_id: Option<String>,
    /// How much.
    pub amount: Money,
    /// When it was decided.
    #[serde(with = "super::rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it was given back.
    #[serde(with = "super::rfc3339::option")]
    #[schema(required)]
    pub compensated_at: Option<DateTime<Utc>>,
}
