//! `GET` and `POST /ui/api/stock`: the products with their stock, and a delivery of one of them.
//!
//! Both ask one replica: they share a database. A delivery counts once per `transaction_id`, so that a repeat after an
//! answer that was lost adds nothing.

use common::http::page::{Page, plain_number};
use common::http::{ApiError, Method, Request, Response, StatusCode, json};
use common::money::Money;
use common::wire::catalog::{Product, ProductPage};
use common::wire::inventory::{RestockReply, Stock};
use common::wire::requests::RestockRequest;
use futures::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::Ui;
use crate::neighbours::NoAnswer;

const CATALOG: &str = "catalog";
const INVENTORY: &str = "inventory";
const RETRY_AFTER_S: u64 = 1;

/// A page of the products with their stock, ordered by id.
#[derive(Serialize, ToSchema)]
#[schema(as = StockList)]
pub(super) struct StockView {
    products: Vec<ProductStock>,
    /// A product with at most this many units is running low.
    low_stock: i32,
    /// Cursor of the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The stock of a product.
#[derive(Serialize, ToSchema)]
struct ProductStock {
    product_id: String,
    name: String,
    price: Money,
    /// Units in stock; null if it is unknown, or if inventory has no record of the product because nothing moved yet.
    #[schema(required)]
    quantity: Option<i32>,
    /// Why the stock is unknown.
    #[schema(required)]
    error: Option<String>,
}

pub(super) async fn show(ui: Ui, request: Request) -> Result<Response, ApiError> {
    let Page { limit, cursor } = Page::of(&request.query, plain_number).map_err(ApiError::bad_fields_422)?;
    let after = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
    let path = format!("/products/?limit={limit}{after}");
    let page = ui.neighbours.ask_any::<ProductPage>(CATALOG, Method::GET, &path, None).await;
    let ProductPage { products, next_cursor } = page.map_err(|no_answer| unanswered(CATALOG, &no_answer))?;
    let inventory = ui.neighbours.replicas(INVENTORY).await;
    let products = join_all(products.into_iter().map(|product| with_stock(&ui, &inventory, product))).await;
    Ok(json(StatusCode::OK, &StockView { products, low_stock: ui.settings.inventory.low_stock, next_cursor }))
}

fn unanswered(service: &str, no_answer: &NoAnswer) -> ApiError {
    ApiError::unavailable(format!("{service}: {no_answer}"), RETRY_AFTER_S)
}

async fn with_stock(ui: &Ui, inventory: &[String], product: Product) -> ProductStock {
    let path = format!("/inventory/{}/", product.product_id);
    let stock = ui.neighbours.ask_first::<Stock>(inventory, Method::GET, &path, None).await;
    let (quantity, error) = match stock {
        Ok(stock) => (Some(stock.quantity), None),
        Err(NoAnswer::Refused(StatusCode::NOT_FOUND, _)) => (None, None),
        Err(no_answer) => (None, Some(no_answer.to_string())),
    };
    ProductStock {
        product_id: product.product_id.to_string(),
        name: product.name,
        price: product.price,
        quantity,
        error,
    }
}

pub(super) async fn restock(ui: Ui, request: Request) -> Result<Response, ApiError> {
    let RestockRequest { product_id, quantity, transaction_id } = request.json(ApiError::bad_fields_422)?;
    let delivery = serde_json::json!({
        "product_id": product_id,
        "quantity": quantity,
        "transaction_id": transaction_id,
    });
    let reply = ui.neighbours.ask_any(INVENTORY, Method::POST, "/inventory/restock/", Some(&delivery)).await;
    let reply: RestockReply = reply.map_err(|no_answer| match no_answer {
        NoAnswer::Refused(StatusCode::CONFLICT, _) => ApiError::conflict(no_answer.to_string()),
        NoAnswer::Refused(StatusCode::UNPROCESSABLE_ENTITY, _) => ApiError::contents_differ(no_answer.to_string()),
        NoAnswer::Because(_) | NoAnswer::Refused(..) => unanswered(INVENTORY, &no_answer),
    })?;
    tracing::info!(%product_id, quantity, "a product was restocked from the dashboard");
    Ok(json(StatusCode::OK, &reply))
}
