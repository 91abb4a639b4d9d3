//! `GET /sagas/{saga_id}`: as the status of a purchase, from memory or from the log.

use common::http::{ApiError, Request, Response, StatusCode, json};

use super::view::SagaView;
use crate::api::{ApiContext, status};
use saga_engine::definition::Definitions as _;

pub(in crate::api) async fn show(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let cell = api.cells.own();
    let view = match status::find(&api, &request).await? {
        status::Found::Running(saga) => SagaView::of_running(&saga, cell).with_graph(Some(&saga.definition)),
        status::Found::Row(row) => {
            let definition = api.definitions.find(&row.definition, row.definition_version, &row.input);
            SagaView::of_row(*row, cell).with_graph(definition.as_deref())
        }
    };
    Ok(json(StatusCode::OK, &view))
}
