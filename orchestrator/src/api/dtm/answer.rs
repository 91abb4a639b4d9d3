//! Answers of `submit`: 200, 409 and 425.

use common::http::{Response, StatusCode, json};
use serde::Serialize;
use utoipa::ToSchema;

use super::Submitted;
use saga_engine::Status;
use saga_engine::actor::Standing;
use saga_engine::stored::StoredSaga;

/// The result of a submission.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmAnswer)]
pub(super) struct Answer<'a> {
    /// `SUCCESS`, `FAILURE` or `ONGOING`.
    dtm_result: &'static str,
    /// Why the saga turned back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<&'a str>,
}

/// Response from the state that the saga's actor has just written.
pub(in crate::api) fn of_standing(submitted: &Submitted, standing: &Standing) -> Response {
    let has_ended = standing.status != Status::Failed;
    settled(submitted, standing.status, has_ended, standing.error.as_deref())
}

/// Response from the row.
pub(in crate::api) fn of_row(submitted: &Submitted, row: &StoredSaga) -> Response {
    settled(submitted, row.status, row.ended_at.is_some(), row.error.as_deref())
}

fn settled(submitted: &Submitted, status: Status, has_ended: bool, error: Option<&str>) -> Response {
    match (status, has_ended) {
        (Status::Completed, _) => success(),
        (Status::Compensated | Status::Failed, true) => {
            let message = Some(error.unwrap_or("the saga turned back"));
            json(StatusCode::CONFLICT, &Answer { dtm_result: "FAILURE", message })
        }
        // FAILED and not resolved: it is still being undone.
        (Status::Pending | Status::Compensating, _) | (Status::Compensated | Status::Failed, false) => {
            accepted(submitted)
        }
    }
}

/// Response for a saga that is in the log and runs: never 202, which the clients take for an error.
pub(in crate::api) fn accepted(submitted: &Submitted) -> Response {
    if submitted.waits {
        json(StatusCode::TOO_EARLY, &Answer { dtm_result: "ONGOING", message: None })
    } else {
        success()
    }
}

fn success() -> Response {
    json(StatusCode::OK, &Answer { dtm_result: "SUCCESS", message: None })
}
