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
    /// The result in words.
    pub message: String,
    /// The product.
    pub product_id: ProductId,
    /// Stock that is left.
    pub remaining_quantity: i32,
}

/// The 409 of a decrease or a restock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockRefused {
    /// `error`.
    #[schema(pattern = "^(error)$", example = "error")]
    pub status: String,
    /// The reason.
    pub message: String,
}

/// The 200 of `POST /inventory/restore/by-transaction/{transaction_id}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreReply {
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The result in words.
    pub message: String,
    /// The transaction whose stock was put back.
    pub transaction_id: TransactionId,
    /// The product; null if there was nothing to put back.
    #[schema(required)]
    pub product_id: Option<ProductId>,
    /// The quantity put back; null if there was nothing to put back.
    #[schema(required)]
    pub quantity: Option<i32>,
}

/// The 200 of `POST /inventory/restock/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestockReply {
    /// `success`.
    #[schema(pattern = "^(success)$", example = "success")]
    pub status: String,
    /// The result in words.
    pub message: String,
    /// The product.
    pub product_id: ProductId,
    /// Stock after the restock.
    pub quantity: i32,
}

/// `GET /inventory/{product_id}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stock {
    /// The product.
    pub product_id: ProductId,
    /// Stock of the product.
    pub quantity: i32,
    /// Time of the last change.
    #[serde(with = "super::rfc3339")]
    pub last_updated: DateTime<Utc>,
}
