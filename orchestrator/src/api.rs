//! The orchestrator's HTTP routes.

mod answer;
pub(crate) mod cells;
mod describe;
mod dtm;
mod events;
pub(crate) mod inspect;
pub(crate) mod list;
mod operate;
mod preference;
mod purchase;
mod sagas;
mod secret;
mod start;
mod status;
mod unknown;
pub(crate) mod view;

use std::sync::Arc;
use std::time::Duration;

use common::group_commit::{BatchSender, ReadError};
use common::http::{
    Access, ApiError, Because, HeaderValue, Request, Response, Routes, StatusCode, header, json, negotiation, with_body,
};
use common::supervision::Handle;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use self::cells::Cells;
use crate::definitions::Registry;
use crate::dtm::AllowedUrls;
use crate::events::Events;
use crate::journals::Journals;
use crate::store::replicated::Replicated;
use crate::store::writer::SagaLogWriter;
use saga_engine::SagaId;
use saga_engine::clock::DatabaseClock;
use saga_engine::coordinator::CoordinatorMsg;
use saga_engine::definition::Definition;
use saga_engine::lease::LeaseState;
use saga_engine::recovery::RecoveryMsg;
use saga_engine::running::Running;
use saga_engine::stored::UnreadableRow;
use saga_engine::world::World;

type HandlerFuture = BoxFuture<'static, Result<Response, ApiError>>;

/// Shared state of the handlers.
#[derive(Clone)]
pub(crate) struct ApiContext {
    pub(crate) coordinator: Handle<CoordinatorMsg>,
    /// The definition of new purchases.
    pub(crate) checkout: Arc<Definition>,
    /// All definitions.
    pub(crate) definitions: Arc<Registry>,
    /// The URLs that branches of DTM's clients may have.
    pub(crate) dtm_urls: Arc<AllowedUrls>,
    pub(crate) recovery: Handle<RecoveryMsg>,
    pub(crate) running: Arc<Running>,
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) replicated: Arc<Replicated>,
    pub(crate) lease: Arc<LeaseState>,
    pub(crate) journals: Arc<Journals>,
    pub(crate) events: Events,
    pub(crate) world: Arc<dyn World>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) wait_limit: Duration,
    /// Maximum time between a saga's id and its begin.
    pub(crate) begin_limit: Duration,
    /// The clock that measures `begin_limit`.
    pub(crate) clock: Arc<DatabaseClock>,
    /// Cancelled when this process hands its running sagas over to their next owner.
    pub(crate) handing_over: CancellationToken,
}

pub(crate) fn routes(api: &ApiContext, dtm: Dtm) -> Routes {
    let routes = own_routes(api).merge(sagas_routes(api));
    match dtm {
        Dtm::Spoken => routes.merge(dtm::routes(api)),
        Dtm::NotSpoken => routes,
    }
}

/// Whether the orchestrator speaks DTM's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtm {
    Spoken,
    NotSpoken,
}

fn own_routes(api: &ApiContext) -> Routes {
    Routes::new(crate::SERVICE)
        .about(describe::ABOUT)
        .post("/saga/transaction", Access::Client, describe::start, with(api, purchase::start))
        .get("/saga/status/{transaction_id}", Access::Client, describe::status, by_id(api, status::show))
        .get("/saga/transactions", Access::Service, describe::list, with(api, list::show))
        .get("/saga/events", Access::Client, describe::events, with(api, events::of_any_cell))
        .without_query(events::SAGA, Access::Service)
        .post("/saga/{transaction_id}/cancel", Access::Client, describe::cancel, by_id(api, operate::cancel))
        .without_secret(Access::KnownClient)
        .get("/saga/attention", Access::Operator, describe::attention, with(api, operate::attention))
        .post("/saga/attention/retry", Access::Operator, describe::retry_all, with(api, operate::retry_all))
        .get("/saga/{transaction_id}/inspect", Access::Operator, describe::inspect, by_id(api, inspect::show))
        .post("/saga/{transaction_id}/retry", Access::Operator, describe::retry, by_id(api, operate::retry))
        .post("/saga/{transaction_id}/resolve", Access::Operator, describe::resolve, by_id(api, operate::resolve))
        .post("/saga/release", Access::Operator, describe::release, with(api, operate::release))
        .get("/", Access::Public, describe::root, root)
}

/// The routes of sagas of any definition. A definition stays for ever, so only an operator gives one.
fn sagas_routes(api: &ApiContext) -> Routes {
    use sagas::{definitions, describe as about, list, run, show};
    Routes::new(crate::SERVICE)
        .post("/sagas", Access::KnownClient, about::start, with(api, run::start))
        .get("/sagas", Access::Operator, about::list, with(api, list::show))
        .get("/sagas/{saga_id}", Access::KnownClient, about::status, by_id(api, show::show))
        .get("/sagas/events", Access::KnownClient, about::events, with(api, events::of_any_cell))
        .without_query(events::SAGA, Access::Operator)
        .post("/sagas/{saga_id}/cancel", Access::KnownClient, about::cancel, by_id(api, operate::cancel))
        .get("/sagas/{saga_id}/inspect", Access::Operator, about::inspect, by_id(api, inspect::show))
        .post("/sagas/{saga_id}/retry", Access::Operator, about::retry, by_id(api, operate::retry))
        .post("/sagas/{saga_id}/resolve", Access::Operator, about::resolve, by_id(api, operate::resolve))
        .get("/sagas/definitions", Access::KnownClient, about::definitions, with(api, definitions::list))
        .get(
            "/sagas/definitions/{name}/{version}",
            Access::KnownClient,
            about::definition,
            with(api, definitions::show),
        )
        .put("/sagas/definitions/{name}/{version}", Access::Operator, about::put, with(api, definitions::put))
}

/// Name, state and version of the service.
#[derive(Serialize, ToSchema)]
struct Root {
    service: &'static str,
    status: &'static str,
    version: &'static str,
}

const ROOT: Root = Root { service: "Saga Orchestrator", status: "running", version: env!("CARGO_PKG_VERSION") };

/// Programs get the service's name and version; browsers are redirected to the dashboard.
async fn root(request: Request) -> Result<Response, ApiError> {
    if negotiation::accepts_type(&request.headers, "text/html") {
        Ok(to_dashboard(&request))
    } else {
        Ok(json(StatusCode::OK, &ROOT))
    }
}

/// Redirects a browser to the dashboard.
fn to_dashboard(request: &Request) -> Response {
    let mut response = with_body(StatusCode::FOUND, "text/plain; charset=utf-8", "the dashboard is at /ui/\n");
    if let Ok(place) = HeaderValue::try_from(format!("{}/ui/", request.prefix)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    // On the same path programs get JSON.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

fn with<F, Fut>(api: &ApiContext, handle: F) -> impl Fn(Request) -> Fut + Send + Sync + 'static + use<F, Fut>
where
    F: Fn(ApiContext, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let api = api.clone();
    move |request| handle(api.clone(), request)
}

/// As [`with`], for a route about one saga.
fn by_id<F, Fut>(api: &ApiContext, handle: F) -> impl Fn(Request) -> HandlerFuture + Send + Sync + 'static + use<F, Fut>
where
    F: Fn(ApiContext, Request) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let api = api.clone();
    move |request| {
        let id = saga_id(&request).ok();
        Box::pin(cells::answer(api.clone(), request, id, handle))
    }
}

/// Reads the saga's id from the path.
pub(crate) fn saga_id(request: &Request) -> Result<SagaId, ApiError> {
    let (field, text) = match request.find_param("saga_id") {
        Some(text) => ("saga_id", text),
        None => ("transaction_id", request.param("transaction_id")),
    };
    text.parse().map(SagaId).map_err(|_| ApiError::bad_field_422(field, "expected a UUID"))
}

/// Maps a failed read of the saga log to a 503.
pub(crate) fn unreadable(error: ReadError) -> ApiError {
    if matches!(error, ReadError::ListsBusy) {
        return ApiError::unavailable("too many lists are being read now; try again", 1).because(Because::Lists);
    }
    tracing::warn!(%error, "the saga log could not be read");
    ApiError::unavailable("the saga log cannot be read now; try again", 1).because(Because::Database)
}

/// Makes the error for the state of a saga that is not known to be replicated: its row may be lost at a failover.
fn unconfirmed(id: SagaId) -> impl FnOnce(String) -> ApiError {
    move |reason| {
        tracing::warn!(saga.id = %id, reason, "it is not known whether the state of a saga is replicated");
        let detail = "it is not known whether the state of this saga is replicated; try again";
        ApiError::unavailable(detail, 1).with_transaction_id(id)
    }
}

/// Maps a row that cannot be read to a 500 with the saga's id.
pub(crate) fn unreadable_row(row: UnreadableRow) -> ApiError {
    ApiError::internal(row.to_string()).with_transaction_id(row.id)
}
