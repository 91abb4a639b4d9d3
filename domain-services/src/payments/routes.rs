//! The routes of payments.

use common::{
    http::{Access, ApiError, Request, Response, Routes, StatusCode, json, page::plain_number},
    ids::TransactionId,
    wire::{
        payments::Payment,
        requests::{ChargeRequest, RefundRequest},
    },
};

use super::{CHARGE, Payments, describe, table};
use crate::participant::{
    Participant, answer,
    api::{ParticipantApi, with},
    idempotency::{Scope, transaction_id},
    request::transaction_in_path,
};

pub(super) fn routes(api: &ParticipantApi<Payments>) -> Routes {
    Routes::new(Payments::NAME)
        .about(describe::ABOUT)
        .post("/payments/", Access::Service, describe::charge, with(api, charge))
        .post("/payments/{payment_id}/refund/", Access::Service, describe::refund_by_id, with(api, refund_by_id))
        .post("/payments/by-transaction/{transaction_id}/refund/", Access::Service, describe::refund, with(api, refund))
        .get("/payments/{payment_id}/", Access::Service, describe::show, with(api, show))
        .get(
            "/payments/by-transaction/{transaction_id}/",
            Access::Service,
            describe::show_by_transaction,
            with(api, show_by_transaction),
        )
}

async fn charge(api: ParticipantApi<Payments>, request: Request) -> Result<Response, ApiError> {
    let charge: ChargeRequest = request.json(ApiError::bad_fields_400)?;
    let scope = Scope { service: Payments::NAME, operation: CHARGE, user: Some(charge.user_id.as_str()) };
    let transaction_id = transaction_id(&api, charge.transaction_id.clone(), &request, &scope).await?;
    api.act(&request, transaction_id, charge).await
}

async fn refund(api: ParticipantApi<Payments>, request: Request) -> Result<Response, ApiError> {
    let transaction_id = transaction_in_path(&request)?;
    check_reason(&request)?;
    api.compensate(&request, transaction_id).await
}

/// Looks the transaction up and refunds it. No race is possible in between: the transaction of a payment id never
/// changes, and the ledger decides whether there is something to refund.
async fn refund_by_id(api: ParticipantApi<Payments>, request: Request) -> Result<Response, ApiError> {
    let payment = find(&api, request.param("payment_id")).await?;
    check_reason(&request)?;
    if payment.status == "error" {
        let payment_id = payment.payment_id;
        return Err(ApiError::conflict(format!("payment {payment_id} was never captured: there is nothing to refund")));
    }
    let transaction_id = TransactionId::parse(&payment.transaction_id)
        .map_err(|_| ApiError::internal("a payment has an invalid transaction id"))?;
    api.compensate(&request, transaction_id).await
}

async fn show(api: ParticipantApi<Payments>, request: Request) -> Result<Response, ApiError> {
    let payment = find(&api, request.param("payment_id")).await?;
    Ok(json(StatusCode::OK, &payment))
}

async fn show_by_transaction(api: ParticipantApi<Payments>, request: Request) -> Result<Response, ApiError> {
    let asked = request.param("transaction_id");
    let not_found = || ApiError::not_found(format!("transaction {asked} has no payment"));
    let transaction_id = TransactionId::parse(asked).map_err(|_| not_found())?;
    let payment = api
        .ledger
        .read(move |connection| Box::pin(async move { table::by_transaction(connection, &transaction_id).await }))
        .await
        .map_err(answer::unreadable)?;
    payment.map(|payment| json(StatusCode::OK, &payment)).ok_or_else(not_found)
}

async fn find(api: &ParticipantApi<Payments>, asked: &str) -> Result<Payment, ApiError> {
    let not_found = || ApiError::not_found(format!("there is no payment {asked}"));
    let payment_id = plain_number(asked).ok_or_else(not_found)?;
    let payment = api.ledger.read(move |connection| Box::pin(table::by_id(connection, payment_id))).await;
    payment.map_err(answer::unreadable)?.ok_or_else(not_found)
}

/// Checks the body, which may be omitted.
fn check_reason(request: &Request) -> Result<(), ApiError> {
    if request.body.is_empty() { Ok(()) } else { request.json(ApiError::bad_fields_400).map(|_: RefundRequest| ()) }
}
