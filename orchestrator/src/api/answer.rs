//! Response bodies of `POST /saga/transaction`: 200, 202, 409 and 502.

use chrono::{DateTime, Utc};
use common::http::{HeaderValue, Request, Response, StatusCode, json};
use common::ids::UserId;
use common::money::Money;
use serde::Serialize;
use utoipa::ToSchema;

use crate::checkout::Order;
use crate::checkout::output;
use saga_engine::actor::Standing;
use saga_engine::definition::Outputs;
use saga_engine::stored::StoredSaga;
use saga_engine::{SagaId, Status};

/// A saga that ended or is in the attention list.
#[derive(Serialize, ToSchema)]
#[schema(as = SettledPurchase)]
pub(super) struct Settled<'a> {
    transaction_id: SagaId,
    status: Status,
    /// The status in words.
    message: &'a str,
    details: Details<'a>,
    /// When it ended.
    #[schema(format = DateTime)]
    timestamp: String,
}

/// Result of a purchase.
#[derive(Serialize, ToSchema)]
#[schema(as = PurchaseDetails)]
struct Details<'a> {
    user_id: &'a UserId,
    /// The product bought; null if none was chosen.
    #[schema(required)]
    product_id: Option<&'a str>,
    /// The payment taken (refunded if the purchase was reverted); null if there is none.
    #[schema(required)]
    payment_id: Option<&'a str>,
    /// Amount of a completed purchase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    amount: Option<Amount>,
    /// Why the purchase was reverted: a status, the service, and its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "409: payments conflict: Error processing payment")]
    error: Option<&'a str>,
}

/// An amount as a number with two decimals.
#[derive(Serialize, ToSchema)]
#[schema(value_type = f64, exclusive_minimum = 0, maximum = 99_999_999.99, example = 99.99)]
#[serde(transparent)]
pub(super) struct Amount(#[serde(serialize_with = "common::money::as_number::serialize")] Money);

/// A saga that still runs.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedPurchase)]
pub(super) struct Accepted<'a> {
    transaction_id: SagaId,
    status: Status,
    /// The status in words.
    message: &'a str,
    /// Time of this response.
    #[schema(format = DateTime)]
    timestamp: String,
}

const NOT_REVERTED: &str = "Transaction failed and could not be reverted yet";
const SETTLED_BY_HAND: &str = "Transaction failed and was settled by an operator; its status has the resolution";

/// Response from the state that the saga's actor has just written.
pub(super) fn of_standing(standing: &Standing) -> Response {
    let Standing { saga, status, error, at } = standing;
    let outputs = saga.progress().log.outputs().clone();
    settled(saga.id, *status, NOT_REVERTED, &Order::of_input(&saga.input), &outputs, error.as_deref(), *at)
}

/// Response from the row: for an ended saga, the same bytes as the first response.
pub(super) fn of_row(row: &StoredSaga) -> Response {
    let at = row.ended_at.unwrap_or_else(Utc::now);
    let failed = if row.ended_at.is_some() { SETTLED_BY_HAND } else { NOT_REVERTED };
    settled(row.id, row.status, failed, &Order::of_input(&row.input), &row.outputs, row.error.as_deref(), at)
}

fn settled(
    id: SagaId,
    status: Status,
    failed: &str,
    order: &Order,
    outputs: &Outputs,
    error: Option<&str>,
    at: DateTime<Utc>,
) -> Response {
    let (code, message) = match status {
        Status::Completed => (StatusCode::OK, "Transaction completed successfully"),
        Status::Compensated => (StatusCode::CONFLICT, "Transaction failed and was reverted"),
        Status::Failed => (StatusCode::BAD_GATEWAY, failed),
        Status::Pending | Status::Compensating => (StatusCode::ACCEPTED, "Transaction is running"),
    };
    let answer = Settled {
        transaction_id: id,
        status,
        message,
        details: Details {
            user_id: &order.user_id,
            product_id: outputs.text(output::PRODUCT_ID),
            payment_id: outputs.text(output::PAYMENT_ID),
            amount: (status == Status::Completed).then_some(Amount(order.amount)),
            error: if status == Status::Completed { None } else { error },
        },
        timestamp: common::wire::timestamp(at),
    };
    json(code, &answer)
}

/// 202: the saga is in the log and runs; `Location` is its status URL.
pub(super) fn accepted(request: &Request, id: SagaId) -> Response {
    let body = Accepted {
        transaction_id: id,
        status: Status::Pending,
        message: "Transaction accepted",
        timestamp: common::wire::timestamp(Utc::now()),
    };
    accepted_at(&format!("{}/saga/status/{id}", request.prefix), &body)
}

/// 202 with the path of a status URL as its `Location`.
pub(super) fn accepted_at(path: &str, body: &impl Serialize) -> Response {
    let mut response = json(StatusCode::ACCEPTED, body);
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert("location", location);
    }
    response
}
