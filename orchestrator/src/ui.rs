//! The dashboard at `/ui/`, and its API beside the public one.
//!
//! ```text
//! browser ─ /ui/…              assets     files in the binary, with ETag and gzip
//!         ─ /ui/api/summary    summary    counts and rates, at a cost independent of the number of sagas
//!         ─ /ui/api/sagas      list       the list without a total, with a bounded search
//!         ─ /ui/api/services   services ┐
//!         ─ /ui/api/faults     faults   ┴ neighbours ─ HTTP ─► /debug of every replica of every service
//!         ─ /ui/api/stock      stock      neighbours ─ HTTP ─► a replica of the catalog and of inventory
//!         ─ /saga/…            the public API, events included
//! ```
//! The files are plain ES modules under `orchestrator/ui/`, without a build step or external resources. Debug builds
//! read them from that folder, so a change shows with the next reload of the page.

mod assets;
mod describe;
mod faults;
mod list;
mod services;
mod stock;
mod summary;

use std::sync::Arc;

use common::config::Settings;
use common::http::{Access, ApiError, Request, Response, Routes};

use crate::api::ApiContext;
use crate::neighbours::Neighbours;
use summary::Cache;

/// Shared state of the dashboard's handlers.
#[derive(Clone)]
pub(crate) struct Ui {
    api: ApiContext,
    neighbours: Arc<Neighbours>,
    summary: Arc<Cache>,
    settings: Arc<Settings>,
}

impl Ui {
    pub(crate) fn new(api: &ApiContext, neighbours: Arc<Neighbours>, settings: Arc<Settings>) -> Ui {
        Ui { api: api.clone(), neighbours, summary: Arc::default(), settings }
    }
}

pub(crate) fn routes(ui: &Ui) -> Routes {
    Routes::new(crate::SERVICE)
        .get("/ui/", Access::Public, describe::page, page)
        .get("/ui/{*file}", Access::Public, describe::file, file)
        .get("/ui/api/summary", Access::Service, describe::summary, with(ui, summary::show))
        .get("/ui/api/sagas", Access::Service, describe::list, with(ui, list::show))
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

fn with<F, Fut>(ui: &Ui, handle: F) -> impl Fn(Request) -> Fut + Send + Sync + 'static + use<F, Fut>
where
    F: Fn(Ui, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let ui = ui.clone();
    move |request| handle(ui.clone(), request)
}
