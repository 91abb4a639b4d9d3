//! The orchestrator's HTTP routes.

mod answer;
mod describe;
mod list;
mod preference;
mod purchase;
mod status;
mod view;

use std::sync::Arc;
use std::time::Duration;

use common::group_commit::Ledger;
use common::http::{Access, ApiError, Request, Response, Routes, StatusCode, json};
use common::supervision::Handle;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::saga::coordinator::CoordinatorMsg;
use crate::saga::lease::LeaseState;
use crate::saga::running::Running;
use crate::store::writer::SagaLogWriter;
use crate::world::World;

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) coordinator: Handle<CoordinatorMsg>,
    pub(crate) running: Arc<Running>,
    pub(crate) saga_log: Ledger<SagaLogWriter>,
    pub(crate) lease: Arc<LeaseState>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) wait_limit: Duration,
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
        .get("/", Access::Public, describe::root, async |_| Ok(json(StatusCode::OK, &ROOT)))
}

/// What this is.
#[derive(Serialize, ToSchema)]
struct Root {
    service: &'static str,
    status: &'static str,
    version: &'static str,
}

const ROOT: Root = Root { service: "Saga Orchestrator", status: "running", version: env!("CARGO_PKG_VERSION") };

fn with<F, Fut>(desk: &Desk, handle: F) -> impl Fn(Request) -> Fut + Send + Sync + 'static + use<F, Fut>
where
    F: Fn(Desk, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let desk = desk.clone();
    move |request| handle(desk.clone(), request)
}

/// Answers a read of the saga log that failed.
fn unreadable(error: common::group_commit::ReadError) -> ApiError {
    tracing::warn!(%error, "the saga log could not be read");
    ApiError::unavailable("the saga log cannot be read now; try again", 1)
}
