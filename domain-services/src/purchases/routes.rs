//! The routes of purchases.

use common::{
    http::{Access, ApiError, Request, Response, Routes, StatusCode, json, page::plain_number},
    ids::{TransactionId, UserId},
    wire::{
        purchases::{PurchasePage, PurchaseView},
        requests::PurchaseRequest,
    },
};

use super::{Purchases, describe, table};
use crate::participant::{
    Participant, answer,
    api::{ParticipantApi, with},
    request::{page_by_id, read_transaction_id, transaction_in_path},
};

pub(super) fn routes(api: &ParticipantApi<Purchases>) -> Routes {
    Routes::new(Purchases::NAME)
        .about(describe::ABOUT)
        .post("/purchases/", Access::Service, describe::create, with(api, create))
        .get("/purchases/", Access::Service, describe::list, with(api, list))
        .get("/purchases/{purchase_id}/", Access::Service, describe::show, with(api, show))
        .delete("/purchases/{purchase_id}/cancel/", Access::Service, describe::cancel_by_id, with(api, cancel_by_id))
        .delete(
            "/purchases/by-transaction/{transaction_id}/cancel/",
            Access::Service,
            describe::cancel,
            with(api, cancel),
        )
}

async fn create(api: ParticipantApi<Purchases>, request: Request) -> Result<Response, ApiError> {
    let purchase: PurchaseRequest = request.json(ApiError::bad_fields_400)?;
    api.act(&request, purchase.transaction_id.clone(), purchase).await
}

async fn cancel(api: ParticipantApi<Purchases>, request: Request) -> Result<Response, ApiError> {
    let transaction_id = transaction_in_path(&request)?;
    api.compensate(&request, transaction_id).await
}

/// Cancels by purchase id, or by transaction id if the text is not a number.
async fn cancel_by_id(api: ParticipantApi<Purchases>, request: Request) -> Result<Response, ApiError> {
    let asked = request.param("purchase_id");
    let transaction_id = if is_number(asked) { find(&api, asked).await?.transaction_id } else { asked.to_owned() };
    let transaction_id = read_transaction_id(&transaction_id)?;
    api.compensate(&request, transaction_id).await
}

/// Shows by purchase id, or by transaction id if the text is not a number.
async fn show(api: ParticipantApi<Purchases>, request: Request) -> Result<Response, ApiError> {
    let purchase = find(&api, request.param("purchase_id")).await?;
    Ok(json(StatusCode::OK, &purchase))
}

async fn list(api: ParticipantApi<Purchases>, request: Request) -> Result<Response, ApiError> {
    let page = page_by_id(&request)?;
    let user_id = request.query.get("user_id").map(UserId::parse).transpose();
    let user_id = user_id.map_err(|error| ApiError::bad_field_400("user_id", error.to_string()))?;
    let before = page.cursor.unwrap_or(i64::MAX);
    let mut purchases = api
        .ledger
        .read_list(move |connection| {
            Box::pin(async move { table::page(connection, user_id.as_ref(), before, page.rows()).await })
        })
        .await
        .map_err(answer::unreadable)?;
    let next_cursor = page.cut(&mut purchases, |purchase| purchase.purchase_id.to_string());
    Ok(json(StatusCode::OK, &PurchasePage { purchases, next_cursor }))
}

async fn find(api: &ParticipantApi<Purchases>, asked: &str) -> Result<PurchaseView, ApiError> {
    let not_found = || ApiError::not_found(format!("there is no purchase {asked}"));
    let found = if is_number(asked) {
        let purchase_id = plain_number(asked).ok_or_else(not_found)?;
        api.ledger.read(move |connection| Box::pin(table::by_id(connection, purchase_id))).await
    } else {
        let transaction_id = TransactionId::parse(asked).map_err(|_| not_found())?;
        api.ledger
            .read(move |connection| Box::pin(async move { table::by_transaction(connection, &transaction_id).await }))
            .await
    };
    found.map_err(answer::unreadable)?.ok_or_else(not_found)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
