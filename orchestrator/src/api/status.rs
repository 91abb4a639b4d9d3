//! `GET /saga/status/{transaction_id}`: from memory while the saga runs here, otherwise from the log, once the status in
//! the row is known to be replicated.

use std::sync::Arc;

use common::http::{ApiError, Request, Response, StatusCode, json};

use super::view::WithDefinition;
use super::{ApiContext, saga_id, secret, unconfirmed, unknown, unreadable, unreadable_row};
use crate::store::reader;
use saga_engine::SagaId;
use saga_engine::running::RunningSaga;
use saga_engine::stored::StoredSaga;

pub(super) async fn show(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let cell = api.cells.own();
    let view = match find(&api, &request).await? {
        Found::Running(saga) => WithDefinition::of_running(&saga, cell),
        Found::Row(row) => WithDefinition::of_row(*row, cell),
    };
    Ok(json(StatusCode::OK, &view))
}

/// A saga that runs here, or its row.
pub(super) enum Found {
    Running(Arc<RunningSaga>),
    Row(Box<StoredSaga>),
}

/// Tells whether a person has settled a FAILED saga, which its actor learns with its next write.
async fn is_settled(api: &ApiContext, id: SagaId) -> bool {
    let row = api.saga_log.read_for_display(move |connection| Box::pin(reader::by_id(connection, id))).await;
    matches!(row, Ok(Some(Ok(row))) if row.ended_at.is_some())
}

/// Finds the saga of a request.
pub(super) async fn find(api: &ApiContext, request: &Request) -> Result<Found, ApiError> {
    let id = saga_id(request)?;
    // Without a valid lease another node may own this saga by now. A saga that is not in the log does not exist yet,
    // and an ended one is read from the log.
    if api.lease.covers_memory()
        && let Some(saga) = api.running.get(id)
    {
        let (is_shown, is_failed) = {
            let log = &saga.progress().log;
            (log.is_begun() && log.ended().is_none(), log.is_marked_failed())
        };
        if is_shown && !(is_failed && is_settled(api, id).await) {
            secret::check(request, id, saga.secret.as_ref())?;
            return Ok(Found::Running(saga));
        }
    }
    // A read-only server may show the rows it has; only a writable one can tell that there is no such saga.
    let shown = api.saga_log.read_for_display(move |connection| Box::pin(reader::by_id(connection, id))).await;
    let row = match shown.map_err(unreadable)? {
        Some(row) => row,
        None => {
            let read = || async {
                api.saga_log.read(move |connection| Box::pin(reader::by_id(connection, id))).await.map_err(unreadable)
            };
            unknown::find(api, id, read).await?
        }
    };
    let row = row.map_err(unreadable_row)?;
    secret::check(request, id, row.secret.as_ref())?;
    api.replicated.confirm(&row).await.map_err(unconfirmed(id))?;
    Ok(Found::Row(Box::new(row)))
}
