//! `GET /ui/api/sagas?status=&definition=&user_id=&text=&limit=&cursor=`: the dashboard's list, newest first.
//!
//! Unlike `/saga/transactions` it has no total, and it supports a text search. A search examines a bounded number of
//! sagas per request; the cursor continues from there. Sagas that run on this node are shown from memory, not from the
//! log.

use common::http::{ApiError, Request, Response, StatusCode, json};
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::Ui;
use crate::api::list::read;
use crate::api::unreadable;
use crate::api::view::SagaView;
use crate::store::lists::{self, Search};
use crate::store::reader::{id_of, readable};

/// Maximum length of a search text, in characters.
pub(super) const MAX_TEXT: usize = 100;

/// A saga of the list with its definition.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedSaga)]
struct RowView {
    #[serde(flatten)]
    saga: SagaView,
    /// Name of its definition.
    #[schema(value_type = String)]
    definition: SmolStr,
    /// Version of its definition.
    version: i32,
}

/// A page of the list.
#[derive(Serialize, ToSchema)]
#[schema(as = SagaList)]
pub(super) struct ListView {
    transactions: Vec<RowView>,
    /// Cursor of the next page; null on the last page. In a search a page may be empty without being the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

pub(super) async fn show(ui: Ui, request: Request) -> Result<Response, ApiError> {
    let (filter, part) = read(&request)?;
    let text = request.query.get("text").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    if text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT || text.contains('\0')) {
        let message = format!("expected at most {MAX_TEXT} characters");
        return Err(ApiError::bad_field_422("text", message));
    }
    let api = &ui.api;
    let search = Search { filter, text };
    let found =
        api.saga_log.read_list(move |connection| Box::pin(async move { lists::list(connection, &search).await }));
    let lists::Found { mut sagas, searched_to } = found.await.map_err(unreadable)?;
    let next_cursor =
        part.cut(&mut sagas, |row| id_of(row).to_string()).or_else(|| searched_to.map(|last| last.to_string()));
    let is_current = api.lease.covers_memory();
    let transactions = readable(sagas).into_iter().map(|row| {
        let running = api.running.get(row.id).filter(|_| is_current && row.ended_at.is_none());
        let (definition, version) = (row.definition.clone(), row.definition_version);
        let saga = match running {
            Some(saga) => SagaView::of_running(&saga, api.cells.own()),
            None => SagaView::of_row(row, api.cells.own()),
        };
        RowView { saga, definition, version }
    });
    Ok(json(StatusCode::OK, &ListView { transactions: transactions.collect(), next_cursor }))
}
