//! `GET /sagas/{saga_id}`: as the status of a purchase, from memory or from the log.

use common::http::{ApiError, Request, Response, StatusCode, json};

use super::view::SagaView;
use crate::api::{ApiContext, status};

pub(in crate::api) async fn show(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let cell = api.cells.own();
    let view = match status::find(&api, &request).await? {
        status::Found::Running(saga) => SagaView::of_running(&saga, cell),
        status::Found::Row(row) => SagaView::of_row(*row, cell),
    };
    Ok(json(StatusCode::OK, &view))
}
