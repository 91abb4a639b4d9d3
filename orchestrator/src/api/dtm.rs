//! `/api/dtmsvr`: the protocol of DTM's clients for sagas.
//!
//! Answers have DTM's form. A gid that is submitted again changes nothing and is answered with what became of it.

mod answer;
mod describe;
mod view;

use chrono::{DateTime, Utc};
use common::http::{Access, ApiError, Request, Response, Routes, StatusCode, json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub(super) use self::answer::{accepted, of_row, of_standing};
use self::view::{BranchView, TransactionView};
use super::start;
use super::{ApiContext, unreadable, unreadable_row, with};
use crate::dtm::Submission;
use crate::store::dtm::{self, Filter, Stopped};
use crate::store::reader;
use saga_engine::coordinator::CoordinatorMsg;
use saga_engine::record::KeyScope;

/// Maximum and default number of sagas on a page.
const MAX_LIMIT: i64 = 1_000;
const DEFAULT_LIMIT: i64 = 100;

pub(super) fn routes(api: &ApiContext) -> Routes {
    Routes::new(crate::SERVICE)
        .get("/api/dtmsvr/version", Access::KnownClient, describe::version, version)
        .get("/api/dtmsvr/newGid", Access::KnownClient, describe::new_gid, with(api, new_gid))
        .post("/api/dtmsvr/submit", Access::KnownClient, describe::submit, with(api, submit))
        .get("/api/dtmsvr/query", Access::KnownClient, describe::query, with(api, query))
        .get("/api/dtmsvr/all", Access::Operator, describe::all, with(api, all))
        .post("/api/dtmsvr/forceStop", Access::Operator, describe::force_stop, with(api, force_stop))
        .taking_basic()
}

/// A submission of a client.
pub(super) struct Submitted {
    pub(super) submission: Submission,
    /// Whether the client waits for the end.
    pub(super) waits: bool,
}

/// `{"dtm_result":"SUCCESS"}`.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmResult)]
struct Success {
    /// `SUCCESS`.
    dtm_result: &'static str,
}

/// A new gid.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmGid)]
struct NewGid {
    dtm_result: &'static str,
    gid: String,
}

/// The version of this program.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmVersion)]
struct Version {
    version: &'static str,
}

async fn version(_: Request) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, &Version { version: env!("CARGO_PKG_VERSION") }))
}

async fn new_gid(api: ApiContext, _: Request) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, &NewGid { dtm_result: "SUCCESS", gid: api.world.new_saga_id().to_string() }))
}

async fn submit(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let (submission, waits) = Submission::read(&request.body, &api.dtm_urls).map_err(ApiError::malformed)?;
    start::start(api, request, start::Wanted::Dtm(Submitted { submission, waits })).await
}

/// One saga, or null.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmTransaction)]
struct Found {
    #[schema(required)]
    transaction: Option<TransactionView>,
    branches: Vec<BranchView>,
}

async fn query(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let gid = crate::dtm::gid(request.query.get("gid").unwrap_or_default().to_owned()).map_err(ApiError::malformed)?;
    let key = gid.clone();
    let find = api
        .saga_log
        .read(move |connection| Box::pin(async move { reader::by_key(connection, &KeyScope::Gid, &key).await }));
    let Some(row) = find.await.map_err(unreadable)? else {
        return Ok(json(StatusCode::OK, &Found { transaction: None, branches: Vec::new() }));
    };
    let row = row.map_err(unreadable_row)?.saga;
    api.replicated.confirm(&row).await.map_err(super::unconfirmed(row.id))?;
    let branches = view::branches(&gid, &row);
    Ok(json(StatusCode::OK, &Found { transaction: Some(TransactionView::new(gid, &row)), branches }))
}

/// A page of sagas, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmTransactions)]
struct Page {
    transactions: Vec<TransactionView>,
    /// The `position` of the next page; empty on the last page.
    next_position: String,
}

async fn all(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let query = &request.query;
    let given = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let bad = |name: &str, expected: &str| ApiError::malformed(format!("{name}: expected {expected}"));
    let limit = match given("limit").map(str::parse::<i64>) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
        Some(_) => return Err(bad("limit", &format!("1 to {MAX_LIMIT}"))),
    };
    let time = |name: &str| match given(name) {
        None => Ok(None),
        Some(text) => {
            let millis = text.parse::<i64>().ok().filter(|millis| *millis >= 0);
            millis
                .and_then(DateTime::<Utc>::from_timestamp_millis)
                .map(Some)
                .ok_or_else(|| bad(name, "milliseconds since 1970"))
        }
    };
    let before = match given("position").map(str::parse::<Uuid>) {
        None => None,
        Some(Ok(position)) => Some(position),
        Some(Err(_)) => return Err(bad("position", "the next_position of another page")),
    };
    let filter = Filter {
        before,
        gid: given("gid").map(|text| crate::dtm::gid(text.to_owned())).transpose().map_err(ApiError::malformed)?,
        status: match given("status") {
            // No query of PostgreSQL takes it.
            Some(text) if text.contains('\0') => return Err(bad("status", "a status of a saga")),
            status => status.map(str::to_owned),
        },
        created_from: time("createTimeStart")?,
        created_to: time("createTimeEnd")?,
        limit: limit + 1,
    };
    // All transactions here are sagas.
    let is_saga = given("transType").is_none_or(|kind| kind == "saga");
    let mut rows = if is_saga {
        let list =
            api.saga_log.read_list(move |connection| Box::pin(async move { dtm::list(connection, &filter).await }));
        list.await.map_err(unreadable)?
    } else {
        Vec::new()
    };
    let has_more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_position = match rows.last() {
        Some((_, row)) if has_more => reader::id_of(row).to_string(),
        Some(_) | None => String::new(),
    };
    let view = |(gid, row)| reader::if_readable(row).map(|row| TransactionView::new(gid, &row));
    let readable = rows.into_iter().filter_map(view);
    Ok(json(StatusCode::OK, &Page { transactions: readable.collect(), next_position }))
}

/// The body of `forceStop`.
#[derive(Deserialize, ToSchema)]
#[schema(as = DtmForceStop)]
struct ForceStop {
    gid: String,
}

async fn force_stop(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let body: Result<ForceStop, _> = serde_json::from_slice(&request.body);
    let ForceStop { gid } = body.map_err(|error| ApiError::malformed(format!("the body cannot be read: {error}")))?;
    let gid = crate::dtm::gid(gid).map_err(ApiError::malformed)?;
    let asked = gid.clone();
    let stop = api
        .saga_log
        .read_in_reserve(move |connection| Box::pin(async move { dtm::force_stop(connection, &asked).await }));
    match stop.await.map_err(unreadable)? {
        Stopped::Now(id) => {
            // Its actor stops; an actor of another node finds out with its next look or write.
            let _ = api.coordinator.cast(CoordinatorMsg::Drop(id));
            Ok(json(StatusCode::OK, &Success { dtm_result: "SUCCESS" }))
        }
        Stopped::HadEnded => Err(ApiError::conflict(format!("the saga of gid {gid} has ended"))),
        Stopped::Unknown => Err(ApiError::not_found(format!("there is no saga of gid {gid}"))),
    }
}
