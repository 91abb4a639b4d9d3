//! The dashboard at `/ui/`, and its API beside the public one.
//!
//! ```text
//! browser ─ /ui/…              assets     files in the binary, with ETag and gzip
//!         ─ /ui/api/summary    summary    counts and rates, at a cost independent of the number of sagas
//!         ─ /ui/api/recent     recent     the ends of a range of time: rates, durations, reasons
//!         ─ /ui/api/attention  attention  the attention list by causes
//!         ─ /ui/api/sagas      list       the list without a total, with a bounded search
//!         ─ …/sagas/ID/changes changes    the kept changes of one saga
//!         ─ /ui/api/services   services ┐
//!         ─ /ui/api/faults     faults   ┴ neighbours ─ HTTP ─► /debug of every replica of every service
//!         ─ /ui/api/stock      stock      neighbours ─ HTTP ─► a replica of the catalog and of inventory
//!         ─ /saga/…            the public API, events included
//! ```
//! The files are plain ES modules under `orchestrator/ui/`, without a build step or external resources. Debug builds
//! read them from that folder, so a change shows with the next reload of the page.

mod assets;
mod attention;
mod cached;
mod changes;
mod compressed;
mod describe;
mod faults;
mod list;
mod recent;
mod services;
mod stock;
mod summary;

use std::sync::Arc;

use common::config::Settings;
use common::http::{Access, ApiError, Request, Response, Routes, negotiation};
use common::supervision::ActorEntry;
use futures::future::BoxFuture;

use crate::api::ApiContext;
use crate::neighbours::Neighbours;

/// Shared state of the dashboard's handlers.
#[derive(Clone)]
pub(crate) struct Ui {
    api: ApiContext,
    neighbours: Arc<Neighbours>,
    /// The clients of the participants, which show their breakers.
    clients: Vec<Arc<ActorEntry>>,
    summary: Arc<cached::Cached>,
    recent: Arc<recent::Cache>,
    settings: Arc<Settings>,
}

impl Ui {
    pub(crate) fn new(
        api: &ApiContext,
        neighbours: Arc<Neighbours>,
        clients: Vec<Arc<ActorEntry>>,
        settings: Arc<Settings>,
    ) -> Ui {
        Ui { api: api.clone(), neighbours, clients, summary: Arc::default(), recent: Arc::default(), settings }
    }
}

pub(crate) fn routes(ui: &Ui) -> Routes {
    Routes::new(crate::SERVICE)
        .get("/ui/", Access::Public, describe::page, page)
        .get("/ui/{*file}", Access::Public, describe::file, file)
        .get("/ui/api/summary", Access::Service, describe::summary, with(ui, summary::show))
        .get("/ui/api/recent", Access::Service, describe::recent, with(ui, recent::show))
        .get("/ui/api/attention", Access::Operator, describe::attention, with(ui, attention::show))
        .get("/ui/api/sagas", Access::Service, describe::list, with(ui, list::show))
        .get("/ui/api/sagas/{saga_id}/changes", Access::Service, describe::changes, with(ui, changes::show))
        .get("/ui/api/services", Access::Operator, describe::services, with(ui, services::show))
        .get("/ui/api/faults", Access::Operator, describe::faults, with(ui, faults::show))
        .put("/ui/api/faults", Access::Operator, describe::change_faults, with(ui, faults::change))
        .get("/ui/api/stock", Access::Operator, describe::stock, with(ui, stock::show))
        .post("/ui/api/stock", Access::Operator, describe::restock, with(ui, stock::restock))
}

async fn page(request: Request) -> Result<Response, ApiError> {
    assets::page(&request)
}

async fn file(request: Request) -> Result<Response, ApiError> {
    assets::answer(&request, request.param("file"))
}

/// Gives the handler its state, and compresses its answer.
fn with<F, Fut>(
    ui: &Ui,
    handle: F,
) -> impl Fn(Request) -> BoxFuture<'static, Result<Response, ApiError>> + Send + Sync + 'static + use<F, Fut>
where
    F: Fn(Ui, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let ui = ui.clone();
    move |request| {
        let takes_gzip = negotiation::accepts_encoding(&request.headers, "gzip");
        let answer = handle(ui.clone(), request);
        Box::pin(async move {
            let response = answer.await?;
            if takes_gzip { compressed::compressed(response).await } else { Ok(response) }
        })
    }
}
