//! The inventory's routes.

use common::{
    http::{Access, ApiError, Request, Response, Routes, StatusCode, json},
    ids::{ProductId, TransactionId},
    wire::requests::{DecreaseRequest, RestockRequest},
};

use super::{Change, ChangeKind, Inventory, describe, table};
use crate::participant::{
    Action, Participant, answer,
    api::{ParticipantApi, with},
    idempotency::{Scope, transaction_id},
    request::transaction_in_path,
};

pub(super) fn routes(api: &ParticipantApi<Inventory>) -> Routes {
    Routes::new(Inventory::NAME)
        .about(describe::ABOUT)
        .post("/inventory/decrease/", Access::Service, describe::decrease, with(api, decrease))
        .post(
            "/inventory/restore/by-transaction/{transaction_id}/",
            Access::Service,
            describe::restore,
            with(api, restore),
        )
        .post("/inventory/restock/", Access::Operator, describe::restock, with(api, restock))
        .get("/inventory/{product_id}/", Access::Service, describe::show, with(api, show))
}

async fn decrease(api: ParticipantApi<Inventory>, request: Request) -> Result<Response, ApiError> {
    let DecreaseRequest { product_id, quantity, transaction_id } = request.json(ApiError::bad_fields_400)?;
    let change = Change { kind: ChangeKind::Decrease, product_id, quantity: quantity.unwrap_or(1) };
    act(api, request, transaction_id, change).await
}

async fn restock(api: ParticipantApi<Inventory>, request: Request) -> Result<Response, ApiError> {
    let RestockRequest { product_id, quantity, transaction_id } = request.json(ApiError::bad_fields_400)?;
    act(api, request, transaction_id, Change { kind: ChangeKind::Restock, product_id, quantity }).await
}

async fn act(
    api: ParticipantApi<Inventory>,
    request: Request,
    given: Option<TransactionId>,
    change: Change,
) -> Result<Response, ApiError> {
    let scope = Scope { service: Inventory::NAME, operation: change.operation(), user: None };
    let transaction_id = transaction_id(&api, given, &request, &scope).await?;
    api.act(&request, transaction_id, change).await
}

async fn restore(api: ParticipantApi<Inventory>, request: Request) -> Result<Response, ApiError> {
    let transaction_id = transaction_in_path(&request)?;
    api.compensate(&request, transaction_id).await
}

async fn show(api: ParticipantApi<Inventory>, request: Request) -> Result<Response, ApiError> {
    let asked = request.param("product_id").to_owned();
    let not_found =
        || ApiError::not_found(format!("inventory has no record of product {}", request.param("product_id")));
    // A text that is not a valid product id cannot be known to inventory.
    let product_id = ProductId::parse(&asked).map_err(|_| not_found())?;
    let stock = api
        .ledger
        .read(move |connection| Box::pin(async move { table::of_product(connection, &product_id).await }))
        .await
        .map_err(answer::unreadable)?;
    stock.map(|stock| json(StatusCode::OK, &stock)).ok_or_else(not_found)
}
