//! The orchestrator's HTTP routes.

mod answer;
mod describe;
mod events;
pub(crate) mod inspect;
pub(crate) mod list;
mod operate;
mod preference;
mod purchase;
mod status;
mod unknown;
pub(crate) mod view;

use std::sync::Arc;
use std::time::Duration;

use common::fields::FieldError;
use common::group_commit::{Ledger, ReadError};
use common::http::{Access, ApiError, Request, Response, Routes, StatusCode, json, negotiation};
use common::supervision::Handle;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use self::inspect::Journals;
use crate::events::Events;
use crate::store::writer::SagaLogWriter;
use crate::ui;
use saga_engine::SagaId;
use saga_engine::clock::DatabaseClock;
use saga_engine::coordinator::CoordinatorMsg;
use saga_engine::lease::LeaseState;
use saga_engine::recovery::RecoveryMsg;
use saga_engine::running::Running;
use saga_engine::stored::UnreadableRow;
use saga_engine::world::World;

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) coordinator: Handle<CoordinatorMsg>,
    pub(crate) recovery: Handle<RecoveryMsg>,
    pub(crate) running: Arc<Running>,
    pub(crate) saga_log: Ledger<SagaLogWriter>,
    pub(crate) lease: Arc<LeaseState>,
    pub(crate) journals: Arc<Journals>,
    pub(crate) events: Events,
    pub(crate) world: Arc<dyn World>,
    pub(crate) wait_limit: Duration,
    /// How long after its id was made a saga may begin.
    pub(crate) begin_limit: Duration,
    /// The clock by which that is.
    pub(crate) clock: Arc<DatabaseClock>,
    /// Cancelled when this process leaves its running sagas to their next owner.
    pub(crate) handing_over: CancellationToken,
}

/// Returns the routes.
pub(crate) fn routes(desk: &Desk) -> Routes {
    Routes::new(crate::SERVICE)
        .about(describe::ABOUT)
        .post("/saga/transaction", Access::Client, describe::start, with(desk, purchase::start))
        .get("/saga/status/{transaction_id}", Access::Client, describe::status, with(desk, status::show))
        .get("/saga/transactions", Access::Client, describe::list, with(desk, list::show))
        .get("/saga/events", Access::Client, describe::events, with(desk, events::listen))
        .post("/saga/{transaction_id}/cancel", Access::Client, describe::cancel, with(desk, operate::cancel))
        .get("/saga/attention", Access::Operator, describe::attention, with(desk, operate::attention))
        .post("/saga/attention/retry", Access::Operator, describe::retry_all, with(desk, operate::retry_all))
        .get("/saga/{transaction_id}/inspect", Access::Operator, describe::inspect, with(desk, inspect::show))
        .post("/saga/{transaction_id}/retry", Access::Operator, describe::retry, with(desk, operate::retry))
        .post("/saga/{transaction_id}/resolve", Access::Operator, describe::resolve, with(desk, operate::resolve))
        .post("/saga/release", Access::Operator, describe::release, with(desk, operate::release))
        .get("/", Access::Public, describe::root, root)
}

/// What this is.
#[derive(Serialize, ToSchema)]
struct Root {
    service: &'static str,
    status: &'static str,
    version: &'static str,
}

const ROOT: Root = Root { service: "Saga Orchestrator", status: "running", version: env!("CARGO_PKG_VERSION") };

/// Programs are told what this is; browsers are sent to the dashboard.
async fn root(request: Request) -> Result<Response, ApiError> {
    if negotiation::accepts_type(&request.headers, "text/html") {
        Ok(ui::redirect(&request))
    } else {
        Ok(json(StatusCode::OK, &ROOT))
    }
}

fn with<F, Fut>(desk: &Desk, handle: F) -> impl Fn(Request) -> Fut + Send + Sync + 'static + use<F, Fut>
where
    F: Fn(Desk, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let desk = desk.clone();
    move |request| handle(desk.clone(), request)
}

/// Reads which saga a path means.
fn saga_id(request: &Request) -> Result<SagaId, ApiError> {
    request.param("transaction_id").parse::<Uuid>().map(SagaId).map_err(|_| {
        let (field, message) = ("transaction_id".to_owned(), "expected a UUID".to_owned());
        ApiError::bad_fields_422(vec![FieldError { field, message }])
    })
}

/// Answers a read of the saga log that failed.
pub(crate) fn unreadable(error: ReadError) -> ApiError {
    if matches!(error, ReadError::ListsBusy) {
        return ApiError::unavailable("too many lists are being read now; try again", 1);
    }
    tracing::warn!(%error, "the saga log could not be read");
    ApiError::unavailable("the saga log cannot be read now; try again", 1)
}

/// Answers for a saga whose row cannot be read.
pub(crate) fn unreadable_row(row: UnreadableRow) -> ApiError {
    ApiError::internal(row.to_string()).with_transaction_id(row.id)
}
