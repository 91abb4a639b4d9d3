//! `GET /saga/transactions?status=&user_id=&limit=&cursor=`: newest first.

use common::fields::FieldError;
use common::http::{ApiError, Request, Response, StatusCode, json, page};
use common::ids::UserId;
use common::names::{FORM, is_name};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::WithDefinition;
use super::{ApiContext, unreadable};
use crate::store::lists::{self, Filter, Search, Total};
use crate::store::reader::{id_of, readable};
use saga_engine::Status;
use saga_engine::stored::StoredSaga;

/// A page of the list of sagas, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = SagaPage)]
pub(super) struct Page {
    /// Number of sagas on all pages: exact up to 10,000, beyond that an estimate of at least 10,001.
    total: i64,
    /// `false` if the total is an estimate; omitted if it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_is_exact: Option<bool>,
    transactions: Vec<WithDefinition>,
    /// Cursor of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

pub(super) async fn show(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let Listed { rows, total, total_is_exact, next_cursor } = find(&api, &request).await?;
    let transactions = rows.into_iter().map(|row| WithDefinition::of_row(row, api.cells.own())).collect();
    Ok(json(StatusCode::OK, &Page { total, total_is_exact, transactions, next_cursor }))
}

/// The sagas of one page.
pub(super) struct Listed {
    pub(super) rows: Vec<StoredSaga>,
    pub(super) total: i64,
    pub(super) total_is_exact: Option<bool>,
    pub(super) next_cursor: Option<String>,
}

/// Reads the page that a request asks for.
pub(super) async fn find(api: &ApiContext, request: &Request) -> Result<Listed, ApiError> {
    let (filter, part) = read(request)?;
    let (total, mut rows) = api
        .saga_log
        .read_list(move |connection| {
            Box::pin(async move {
                let total = lists::total(connection, &filter).await?;
                Ok((total, lists::list(connection, &Search { filter, text: None }).await?.sagas))
            })
        })
        .await
        .map_err(unreadable)?;
    let next_cursor = part.cut(&mut rows, |row| id_of(row).to_string());
    let (total, total_is_exact) = shown(total);
    Ok(Listed { rows: readable(rows), total, total_is_exact, next_cursor })
}

/// Returns the `total` and `total_is_exact` of a response; an exact total omits the flag.
pub(super) fn shown(Total { sagas, is_exact }: Total) -> (i64, Option<bool>) {
    (sagas, (!is_exact).then_some(false))
}

pub(crate) fn read(request: &Request) -> Result<(Filter, page::Page<Uuid>), ApiError> {
    let mut errors = Vec::new();
    let query = &request.query;
    let part = page::Page::read(query, |text| text.parse().ok(), &mut errors);
    let mut bad = |field: &str, message: String| errors.push(FieldError::new(field, message));
    let mut filter = Filter { before: part.cursor, limit: part.rows(), ..Filter::default() };
    if let Some(text) = query.get("status") {
        filter.status = Status::parse(text);
        if filter.status.is_none() {
            bad("status", "expected PENDING, COMPENSATING, COMPLETED, COMPENSATED or FAILED".to_owned());
        }
    }
    if let Some(text) = query.get("user_id") {
        match UserId::parse(text) {
            Ok(user_id) => filter.user_id = Some(user_id),
            Err(error) => bad("user_id", error.to_string()),
        }
    }
    if let Some(name) = query.get("definition") {
        match name.split_once('/') {
            _ if is_name(name) => filter.definition = Some(name.to_owned()),
            Some((name, _)) if is_name(name) => {
                bad("definition", format!("expected the name of a definition without its version: {name}"));
            }
            _ => bad("definition", format!("expected the name of a definition: {FORM}")),
        }
    }
    if errors.is_empty() { Ok((filter, part)) } else { Err(ApiError::bad_fields_422(errors)) }
}
