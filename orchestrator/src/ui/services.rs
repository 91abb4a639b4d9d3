//! `GET /ui/api/services`: the supervision trees of all services and their replicas, and the errors of replicas that
//! did not answer.

use common::http::{ApiError, Method, Request, Response, StatusCode, json};
use common::supervision::ActorView;
use futures::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::Ui;
use crate::neighbours::ReplicaAnswer;

/// The supervision trees of all services.
#[derive(Serialize, ToSchema)]
#[schema(as = Services)]
pub(super) struct ServicesView {
    services: Vec<ServiceView>,
}

/// A service and its replicas.
#[derive(Serialize, ToSchema)]
#[schema(as = ServiceReplicas)]
struct ServiceView {
    service: String,
    replicas: Vec<ReplicaView>,
}

/// One process of a service.
#[derive(Serialize, ToSchema)]
#[schema(as = Replica)]
struct ReplicaView {
    /// The URL of the replica.
    url: String,
    /// Its supervision tree; null if it did not answer.
    #[schema(required)]
    actors: Option<ActorView>,
    /// The reason why there is no tree.
    #[schema(required)]
    error: Option<String>,
}

pub(super) async fn show(ui: Ui, _: Request) -> Result<Response, ApiError> {
    ui.neighbours.demand_on()?;
    let services = ui.neighbours.all().iter().map(|service| {
        let ui = &ui;
        async move {
            let replicas = ui.neighbours.ask(service, Method::GET, "/debug/actors/", None).await;
            ServiceView { service: service.clone(), replicas: replicas.into_iter().map(view).collect() }
        }
    });
    Ok(json(StatusCode::OK, &ServicesView { services: join_all(services).await }))
}

fn view(said: ReplicaAnswer<ActorView>) -> ReplicaView {
    let (actors, error) = match said.answer {
        Ok(actors) => (Some(actors), None),
        Err(no_answer) => (None, Some(no_answer.to_string())),
    };
    ReplicaView { url: said.url, actors, error }
}
