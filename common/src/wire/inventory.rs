//! Bodies of inventory.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{ProductId, TransactionId};

/// The 200 of a decrease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecreaseReply {
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The same for people.
    pub message: String,
    /// Of what.
    pub product_id: ProductId,
    /// What is left.
    pub remaining_quantity: i32,
}

/// The 409 of a decrease or a restock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockRefused {
    /// `error`.
    #[schema(pattern = "^(error)$", example = "error")]
    pub status: String,
    /// Why.
    pub message: String,
}

/// The 200 of `POST /inventory/restore/by-transaction/{transaction_id}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreReply {
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The same for people.
    pub message: String,
    /// Whose stock was put back.
    pub transaction_id: TransactionId,
    /// Of what; null where there was nothing to put back.
    #[schema(required)]
    pub product_id: Option<ProductId>,
    /// How much; null where there was nothing to put back.
    #[schema(required)]
    pub quantity: Option<i32>,
}

/// The 200 of `POST /inventory/restock/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestockReply {
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The same for people.
    pub message: String,
    /// Of what.
    pub product_id: ProductId,
    /// What there is now.
    pub quantity: i32,
}

/// `GET /inventory/{product_id}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stock {
    /// Of what.
    pub product_id: ProductId,
    /// How much there is.
    pub quantity: i32,
    /// When that changed last.
    #[serde(with = "super::rfc3339")]
    pub last_updated: DateTime<Utc>,
}
