//! `GET /ui/api/sagas?status=&user_id=&text=&limit=&cursor=`: the list of the dashboard, newest first.
//!
//! Unlike `/saga/transactions` it counts nothing, and it may be searched for a text. A search looks through so many sagas
//! a request and no further; the cursor goes on from there. What runs on this node is shown as it is, not as the log has it.

use common::fields::FieldError;
use common::http::{ApiError, Request, Response, StatusCode, json};
use serde::Serialize;
use utoipa::ToSchema;

use super::Ui;
use crate::api::list::read;
use crate::api::unreadable;
use crate::api::view::SagaView;
use crate::store::lists::{self, Search};
use crate::store::reader::{id_of, readable};

/// As long as a text may be that is searched for, in characters.
pub(super) const MAX_TEXT: usize = 100;

/// A part of the list.
#[derive(Serialize, ToSchema)]
#[schema(as = SagaList)]
pub(super) struct ListView {
    transactions: Vec<SagaView>,
    /// What to ask the next part with; null on the last. After a search a part may be empty and not the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

pub(super) async fn show(ui: Ui, request: Request) -> Result<Response, ApiError> {
    let (filter, part) = read(&request)?;
    let text = request.query.get("text").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    if text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT || text.contains('\0')) {
        let message = format!("expected at most {MAX_TEXT} characters");
        return Err(ApiError::bad_fields_422(vec![FieldError { field: "text".to_owned(), message }]));
    }
    let desk = &ui.desk;
    let search = Search { filter, text };
    let found =
        desk.saga_log.read_list(move |connection| Box::pin(async move { lists::list(connection, &search).await }));
    let lists::Found { mut sagas, searched_to } = found.await.map_err(unreadable)?;
    let next_cursor =
        part.cut(&mut sagas, |row| id_of(row).to_string()).or_else(|| searched_to.map(|last| last.to_string()));
    let is_current = desk.lease.covers_memory();
    let transactions = readable(sagas).into_iter().map(|row| {
        let running = desk.running.get(row.id).filter(|_| is_current && row.ended_at.is_none());
        match running {
            Some(saga) => SagaView::of_running(&saga),
            None => SagaView::of_row(row),
        }
    });
    Ok(json(StatusCode::OK, &ListView { transactions: transactions.collect(), next_cursor }))
}
