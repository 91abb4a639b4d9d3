//! `POST /saga/transaction`: starts a saga and answers with its end, as the log holds it.

use std::time::Duration;

use chrono::Utc;
use common::fields::read;
use common::http::{ApiError, HeaderValue, Request, Response, StatusCode, json};
use common::ids::UserId;
use common::money::Money;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Desk, unreadable};
use crate::checkout::output;
use crate::saga::actor::StartAnswer;
use crate::saga::coordinator::{CoordinatorMsg, StartSaga};
use crate::saga::definition::{Order, Outputs};
use crate::saga::{SagaId, Status};
use crate::store::reader;

/// How often the row is asked where only the row can tell.
const ASK_THE_ROW_EVERY: Duration = Duration::from_millis(100);
/// How long a client that leaves waits for its saga to be in the log.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Answer<'a> {
    transaction_id: SagaId,
    status: Status,
    message: &'a str,
    details: Details<'a>,
    timestamp: String,
}

#[derive(Serialize)]
struct Details<'a> {
    user_id: &'a UserId,
    product_id: Option<&'a str>,
    payment_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Amount(#[serde(serialize_with = "common::money::as_number::serialize")] Money);

pub(super) async fn start(desk: Desk, request: Request) -> Result<Response, ApiError> {
    let order = read_order(&request)?;
    let id = desk.world.new_saga_id();
    let deadline = Instant::now() + desk.wait_limit;
    let (waiter, answer) = oneshot::channel();
    let start = StartSaga { id, order, key: None, waiter };
    desk.coordinator
        .cast(CoordinatorMsg::StartSaga(Box::new(start)))
        .map_err(|_| ApiError::unavailable("the coordinator is being restarted; nothing was done", 1))?;
    let told = tokio::select! {
        biased;
        told = tokio::time::timeout_at(deadline, answer) => told,
        // The saga goes on elsewhere; its client is told where to look.
        () = desk.handing_over.cancelled() => return leave(&desk, &request, id).await,
    };
    match told {
        Ok(Ok(answer)) => answered(&desk, &request, answer, deadline).await,
        // The saga's actor died: its row, if there is one, goes on.
        Ok(Err(_)) => ask_the_row(&desk, &request, id, deadline).await,
        Err(_) => leave(&desk, &request, id).await,
    }
}

fn read_order(request: &Request) -> Result<Order, ApiError> {
    let mut fields = request.json_fields()?;
    let user_id = fields.required("user_id", read::user_id);
    let product_id = fields.optional("product_id", read::product_id);
    let amount = fields.required("amount", read::amount);
    fields.finish().map_err(ApiError::bad_fields_422)?;
    match (user_id, amount) {
        (Some(user_id), Some(amount)) => Ok(Order { user_id, product_id, amount }),
        _ => Err(ApiError::internal("a required field is missing, and nobody said so")),
    }
}

async fn answered(
    desk: &Desk,
    request: &Request,
    answer: StartAnswer,
    deadline: Instant,
) -> Result<Response, ApiError> {
    match answer {
        StartAnswer::Settled(standing) => {
            let outputs = standing.saga.progress().log.outputs().clone();
            Ok(settled(standing.saga.id, standing.status, &standing.saga.order, &outputs, standing.error.as_deref()))
        }
        StartAnswer::Accepted(id) => Ok(accepted(request, id)),
        StartAnswer::KeyHeld(id) | StartAnswer::AskTheRow(id) => ask_the_row(desk, request, id, deadline).await,
        StartAnswer::NotStarted(reason) => {
            tracing::warn!(reason, "a purchase was not started");
            Err(ApiError::unavailable("the saga log cannot be written now; nothing was done", 1))
        }
        StartAnswer::Overloaded => Err(ApiError::unavailable("as many sagas run as may run; nothing was done", 1)),
        StartAnswer::InDoubt(id) => Err(in_doubt(id)),
    }
}

/// The wait limit has passed: the client may go as soon as the saga is in the log.
async fn leave(desk: &Desk, request: &Request, id: SagaId) -> Result<Response, ApiError> {
    let (waiter, answer) = oneshot::channel();
    let sent = desk.coordinator.cast(CoordinatorMsg::Detach(id, waiter));
    let told = async { if sent.is_ok() { answer.await.ok() } else { None } };
    match tokio::time::timeout(LEAVING_TIMEOUT, told).await {
        Ok(Some(StartAnswer::Accepted(id))) => Ok(accepted(request, id)),
        Ok(Some(StartAnswer::Settled(standing))) => {
            let outputs = standing.saga.progress().log.outputs().clone();
            Ok(settled(standing.saga.id, standing.status, &standing.saga.order, &outputs, standing.error.as_deref()))
        }
        _ => ask_the_row(desk, request, id, Instant::now()).await,
    }
}

/// Waits for a saga that this process does not run to end, and answers what its row says.
async fn ask_the_row(desk: &Desk, request: &Request, id: SagaId, deadline: Instant) -> Result<Response, ApiError> {
    loop {
        let row = desk.saga_log.read(move |connection| Box::pin(reader::by_id(connection, id))).await;
        let is_late = Instant::now() >= deadline;
        match row {
            Ok(Some(row)) if row.ended_at.is_some() || row.status == Status::Failed => {
                return Ok(settled(row.id, row.status, &row.order, &row.outputs, row.error.as_deref()));
            }
            Ok(Some(_)) if is_late => return Ok(accepted(request, id)),
            Ok(None) if is_late => return Err(in_doubt(id)),
            Err(error) if is_late => return Err(unreadable(error).with_transaction_id(id)),
            Ok(_) | Err(_) => tokio::time::sleep(ASK_THE_ROW_EVERY).await,
        }
    }
}

fn in_doubt(id: SagaId) -> ApiError {
    ApiError::unavailable("it is not known whether this purchase was accepted; its status tells", 1)
        .with_transaction_id(id)
}

fn settled(id: SagaId, status: Status, order: &Order, outputs: &Outputs, error: Option<&str>) -> Response {
    let (code, message) = match status {
        Status::Completed => (StatusCode::OK, "Transaction completed successfully"),
        Status::Compensated => (StatusCode::CONFLICT, "Transaction failed and was reverted"),
        Status::Failed => (StatusCode::BAD_GATEWAY, "Transaction failed and could not be reverted yet"),
        Status::Pending | Status::Compensating => (StatusCode::ACCEPTED, "Transaction is running"),
    };
    let answer = Answer {
        transaction_id: id,
        status,
        message,
        details: Details {
            user_id: &order.user_id,
            product_id: outputs.get(output::PRODUCT_ID),
            payment_id: outputs.get(output::PAYMENT_ID),
            amount: (status == Status::Completed).then_some(Amount(order.amount)),
            error: if status == Status::Completed { None } else { error },
        },
        timestamp: common::wire::timestamp(Utc::now()),
    };
    json(code, &answer)
}

fn accepted(request: &Request, id: SagaId) -> Response {
    let body = serde_json::json!({
        "transaction_id": id,
        "status": Status::Pending,
        "message": "Transaction accepted",
        "timestamp": common::wire::timestamp(Utc::now()),
    });
    let mut response = json(StatusCode::ACCEPTED, &body);
    if let Ok(location) = HeaderValue::from_str(&format!("{}/saga/status/{id}", request.prefix)) {
        response.headers_mut().insert("location", location);
    }
    response
}
