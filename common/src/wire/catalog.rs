//! Bodies of the catalog.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::Money;

/// A product, `GET /products/{id}/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Product {
    /// A number here; in all other bodies a string.
    pub product_id: i64,
    /// Name of the product.
    pub name: String,
    /// Description of the product.
    pub description: String,
    /// Price of the product.
    pub price: Money,
    /// Category of the product.
    pub category: String,
    /// For display only: inventory keeps the real stock.
    pub stock: i32,
}

/// A page of the list of products, ordered by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductPage {
    /// Products of this page.
    pub products: Vec<Product>,
    /// Cursor of the next page; null on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}
