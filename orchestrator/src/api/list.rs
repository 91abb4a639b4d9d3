//! `GET /saga/transactions?status=&user_id=&limit=&cursor=`: newest first.

use std::ops::RangeInclusive;

use common::fields::FieldError;
use common::http::{ApiError, Request, Response, StatusCode, json};
use common::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::SagaView;
use super::{Desk, unreadable};
use crate::saga::Status;
use crate::store::reader::{self, Filter};

const DEFAULT_LIMIT: i64 = 100;
/// How many a client may ask for.
pub(super) const LIMITS: RangeInclusive<i64> = 1..=1_000;

/// A part of the list of purchases, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = SagaPage)]
pub(super) struct Page {
    /// How many there are in all parts.
    total: i64,
    transactions: Vec<SagaView>,
    /// What to ask the next part with; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

pub(super) async fn show(desk: Desk, request: Request) -> Result<Response, ApiError> {
    let mut filter = read(&request)?;
    let limit = filter.limit;
    // One more than shown tells whether there are more.
    filter.limit += 1;
    let (total, mut rows) = desk
        .saga_log
        .read(move |connection| Box::pin(async move { reader::list(connection, &filter).await }))
        .await
        .map_err(unreadable)?;
    let has_more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(0));
    let next_cursor = if has_more { rows.last().map(|row| row.id.to_string()) } else { None };
    let page = Page { total, transactions: rows.into_iter().map(SagaView::of_row).collect(), next_cursor };
    Ok(json(StatusCode::OK, &page))
}

fn read(request: &Request) -> Result<Filter, ApiError> {
    let mut errors = Vec::new();
    let mut bad = |field: &str, message: String| errors.push(FieldError { field: field.to_owned(), message });
    let query = &request.query;
    let mut filter = Filter { limit: DEFAULT_LIMIT, ..Filter::default() };
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
    if let Some(text) = query.get("limit") {
        match text.parse().ok().filter(|limit| LIMITS.contains(limit)) {
            Some(limit) => filter.limit = limit,
            None => bad("limit", "expected a whole number from 1 to 1000".to_owned()),
        }
    }
    if let Some(text) = query.get("cursor") {
        match text.parse::<Uuid>() {
            Ok(before) => filter.before = Some(before),
            Err(_) => bad("cursor", "expected the next_cursor of the page before".to_owned()),
        }
    }
    if errors.is_empty() { Ok(filter) } else { Err(ApiError::bad_fields_422(errors)) }
}
