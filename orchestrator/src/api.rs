//! The orchestrator's HTTP routes.

mod answer;
mod events;
pub(crate) mod inspect;
mod list;
mod operate;
mod preference;
mod purchase;
mod status;
mod view;

use std::sync::Arc;
use std::time::Duration;

use common::fields::FieldError;
use common::group_commit::Ledger;
use common::http::{Access, ApiError, Request, Response, Routes, StatusCode, json};
use common::supervision::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::inspect::Journals;
use crate::events::Events;
use crate::saga::SagaId;
use crate::saga::coordinator::CoordinatorMsg;
use crate::saga::lease::LeaseState;
use crate::saga::recovery::RecoveryMsg;
use crate::saga::running::Running;
use crate::store::writer::SagaLogWriter;
use crate::world::World;

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
    /// Cancelled when this process leaves its running sagas to their next owner.
    pub(crate) handing_over: CancellationToken,
}

/// Returns the routes.
pub(crate) fn routes(desk: &Desk) -> Routes {
    Routes::new(crate::SERVICE)
        .post("/saga/transaction", Access::Client, with(desk, purchase::start))
        .get("/saga/status/{transaction_id}", Access::Client, with(desk, status::show))
        .get("/saga/transactions", Access::Client, with(desk, list::show))
        .post("/saga/{transaction_id}/cancel", Access::Client, with(desk, operate::cancel))
        .get("/saga/attention", Access::Operator, with(desk, operate::attention))
        .post("/saga/attention/retry", Access::Operator, with(desk, operate::retry_all))
        .get("/saga/{transaction_id}/inspect", Access::Operator, with(desk, inspect::show))
        .post("/saga/{transaction_id}/retry", Access::Operator, with(desk, operate::retry))
        .post("/saga/{transaction_id}/resolve", Access::Operator, with(desk, operate::resolve))
        .get("/saga/events", Access::Client, with(desk, events::listen))
        .get("/", Access::Public, |_| async {
            let body = serde_json::json!({
                "service": "Saga Orchestrator", "status": "running", "version": env!("CARGO_PKG_VERSION"),
            });
            Ok(json(StatusCode::OK, &body))
        })
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
fn unreadable(error: common::group_commit::ReadError) -> ApiError {
    tracing::warn!(%error, "the saga log could not be read");
    ApiError::unavailable("the saga log cannot be read now; try again", 1)
}
