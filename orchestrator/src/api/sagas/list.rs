//! `GET /sagas?definition=&status=&limit=&cursor=`: newest first.

use common::http::{ApiError, Request, Response, StatusCode, json};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::SagaView;
use crate::api::ApiContext;
use crate::api::list::{self, Listed};

/// A page of the list of sagas, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AnySagaPage)]
pub(in crate::api) struct Page {
    /// Number of sagas on all pages: exact up to 10,000, beyond that an estimate of at least 10,001.
    total: i64,
    /// `false` if the total is an estimate; omitted if it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_is_exact: Option<bool>,
    sagas: Vec<SagaView>,
    /// Cursor of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

pub(in crate::api) async fn show(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let Listed { rows, total, total_is_exact, next_cursor } = list::find(&api, &request).await?;
    let sagas = rows.into_iter().map(|row| SagaView::of_row(row, api.cells.own())).collect();
    Ok(json(StatusCode::OK, &Page { total, total_is_exact, sagas, next_cursor }))
}
