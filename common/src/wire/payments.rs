//! Bodies of payments.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ProductId, TransactionId, UserId},
    money::Money,
};

/// The 200 of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeReply {
    /// A number here; purchases and the orchestrator show it as a string.
    pub payment_id: i64,
    /// `success`.
    pub status: String,
    /// The same for people.
    pub message: String,
    /// For which transaction.
    pub transaction_id: TransactionId,
    /// Who pays.
    pub user_id: UserId,
    /// For what.
    pub product_id: Option<ProductId>,
    /// How much.
    pub amount: Money,
}

/// The 409 of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRefused {
    /// The row that is kept of it; null where nothing was ever charged.
    pub payment_id: Option<i64>,
    /// `error`.
    pub status: String,
    /// Why.
    pub message: String,
    /// For which transaction.
    pub transaction_id: TransactionId,
    /// Who would have paid; null on a tombstone, which knows only the transaction.
    pub user_id: Option<UserId>,
    /// For what.
    pub product_id: Option<ProductId>,
}

/// The 200 of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundReply {
    /// `compensated`.
    pub status: String,
    /// The same for people.
    pub message: String,
    /// The payment that was given back; null where there was nothing to give back.
    pub payment_id: Option<i64>,
    /// Of which transaction.
    pub transaction_id: TransactionId,
    /// Whose it was.
    pub user_id: Option<UserId>,
    /// How much it was.
    pub amount: Option<Money>,
}

/// A row, as `GET /payments/{payment_id}/` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its id.
    pub payment_id: i64,
    /// `success`, `error` or `compensated`.
    pub status: String,
    /// For which transaction.
    pub transaction_id: String,
    /// Who pays.
    pub user_id: String,
    /// For what.
    pub product_id: Option<String>,
    /// How much.
    pub amount: Money,
    /// When it was decided.
    #[serde(with = "super::rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it was given back.
    #[serde(with = "super::rfc3339::option")]
    pub compensated_at: Option<DateTime<Utc>>,
}
