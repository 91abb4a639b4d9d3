//! Bodies of the catalog.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::Money;

/// A product, as `GET /products/{id}/` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Product {
    /// A number here; everywhere else a string.
    pub product_id: i64,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What it costs.
    pub price: Money,
    /// Where it stands.
    pub category: String,
    /// For show: inventory keeps the real one.
    pub stock: i32,
}

/// A part of the list of products, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductPage {
    /// The products.
    pub products: Vec<Product>,
    /// What to ask the next part with; null on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}
