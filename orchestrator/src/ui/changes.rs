//! `GET /ui/api/sagas/{saga_id}/changes`: the kept changes of one saga, in the form of its events. The page of a saga
//! draws its attempts from them, also those before it was opened.

use common::http::{ApiError, Request, Response, StatusCode, json};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Ui;
use crate::api::{saga_id, unreadable};
use crate::store::saga_events;

/// The kept changes of a saga.
#[derive(Serialize, ToSchema)]
#[schema(as = KeptChanges)]
pub(super) struct ChangesView {
    /// The changes, oldest first, each as the data of an event. A very long list is cut.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Box<RawValue>>,
}

pub(super) async fn show(ui: Ui, request: Request) -> Result<Response, ApiError> {
    let id = saga_id(&request)?;
    let api = &ui.api;
    let read = api.saga_log.read_list(move |connection| Box::pin(saga_events::read(connection, id)));
    let found = read.await.map_err(unreadable)?;
    let changes = found.ok_or_else(|| ApiError::not_found(format!("there is no saga {id}")))?;
    let shown = |change: &saga_engine::change::StateChange| RawValue::from_string(change.shown(id, api.cells.own()));
    let changes: Result<Vec<_>, _> = changes.iter().map(shown).collect();
    let changes = changes.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(json(StatusCode::OK, &ChangesView { changes }))
}
