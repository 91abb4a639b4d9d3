//! Response bodies of `POST /sagas`: 200, 202, 409 and 502.

use chrono::{DateTime, Utc};
use common::http::{Request, Response, StatusCode, json};
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::outputs::{ByStep, by_step};
use crate::api::answer::accepted_at;
use saga_engine::actor::Standing;
use saga_engine::log::StepView;
use saga_engine::stored::StoredSaga;
use saga_engine::{SagaId, Status};

/// A saga that ended or is in the attention list.
#[derive(Serialize, ToSchema)]
#[schema(as = SettledSaga)]
pub(in crate::api) struct Settled {
    saga_id: SagaId,
    /// Name of its definition.
    #[schema(value_type = String)]
    definition: SmolStr,
    /// Version of its definition.
    version: i32,
    status: Status,
    /// The outputs of its steps, by step and name.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Value>>)]
    outputs: ByStep,
    /// Why it turned back, of a saga that did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// The step that turned it back, if a step did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    failed_step: Option<SmolStr>,
    /// When it ended.
    #[schema(format = DateTime)]
    timestamp: String,
}

/// A saga that still runs.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedSaga)]
pub(in crate::api) struct Accepted {
    saga_id: SagaId,
    status: Status,
    /// Time of this response.
    #[schema(format = DateTime)]
    timestamp: String,
}

/// Response from the state that the saga's actor has just written.
pub(in crate::api) fn of_standing(standing: &Standing) -> Response {
    let Standing { saga, status, error, at } = standing;
    let (outputs, steps) = {
        let progress = saga.progress();
        (by_step(progress.log.outputs()), progress.log.timeline())
    };
    let definition = (saga.definition.name.clone(), saga.definition.version);
    settled(saga.id, definition, *status, outputs, error.clone(), &steps, *at)
}

/// Response from the row: for an ended saga, the same bytes as the first response.
pub(in crate::api) fn of_row(row: &StoredSaga) -> Response {
    let at = row.ended_at.unwrap_or_else(Utc::now);
    let definition = (row.definition.clone(), row.definition_version);
    settled(row.id, definition, row.status, by_step(&row.outputs), row.error.clone(), &row.timeline, at)
}

fn settled(
    saga_id: SagaId,
    (definition, version): (SmolStr, i32),
    status: Status,
    outputs: ByStep,
    error: Option<String>,
    steps: &[StepView],
    at: DateTime<Utc>,
) -> Response {
    let code = match status {
        Status::Completed => StatusCode::OK,
        Status::Compensated => StatusCode::CONFLICT,
        Status::Failed => StatusCode::BAD_GATEWAY,
        Status::Pending | Status::Compensating => StatusCode::ACCEPTED,
    };
    let is_back = status != Status::Completed;
    let answer = Settled {
        saga_id,
        definition,
        version,
        status,
        outputs,
        failed_step: failed_step(steps, error.as_deref()).filter(|_| is_back),
        error: error.filter(|_| is_back),
        timestamp: common::wire::timestamp(at),
    };
    json(code, &answer)
}

/// Returns the step that turned a saga back: the refused one, else the one whose outcome is unknown with that error.
pub(super) fn failed_step(steps: &[StepView], error: Option<&str>) -> Option<SmolStr> {
    let caused = |step: &&StepView| error.is_some() && step.error.as_deref() == error;
    let refused = steps.iter().filter(|step| step.action == "refused").find(caused);
    let any_refused = || steps.iter().find(|step| step.action == "refused");
    let unknown = || steps.iter().find(|step| step.action != "done" && step.error.is_some());
    refused.or_else(any_refused).or_else(unknown).map(|step| step.step.clone())
}

/// 202: the saga is in the log and runs; `Location` is its status URL.
pub(in crate::api) fn accepted(request: &Request, id: SagaId) -> Response {
    let body = Accepted { saga_id: id, status: Status::Pending, timestamp: common::wire::timestamp(Utc::now()) };
    accepted_at(&format!("{}/sagas/{id}", request.prefix), &body)
}
