//! `/debug`: the actors of a service and its failure settings. For operators only; no proxy routes it. No handler waits
//! for an actor, a call or the database.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::json;

use super::{
    Access, ApiError, Request, Response, Routes,
    openapi::{Description, OPERATORS, schema},
    routes::Admission,
};
use crate::{
    faults::{ChangeError, FaultChanges, FaultSampler, FaultsChange, FaultsView},
    supervision::ActorEntry,
    supervision::ActorView,
};

/// The failure lab of a service.
pub struct Lab {
    /// Its failure settings.
    pub sampler: FaultSampler,
    /// Whether they may be changed.
    pub changes: FaultChanges,
}

/// Checks that failure settings may be changed.
///
/// # Errors
/// 403 if not.
pub fn demand_changes(changes: FaultChanges) -> Result<(), ApiError> {
    match changes {
        FaultChanges::Allowed => Ok(()),
        FaultChanges::Refused => Err(ApiError::forbidden(
            "failure settings cannot be changed in production; faults.enabled = true allows it",
        )),
    }
}

/// Returns the debug routes of a service: its actors, and its failure settings if it has any.
pub fn routes(service: &'static str, root: Arc<ActorEntry>, lab: Option<Lab>) -> Routes {
    let tree = root.clone();
    let routes = Routes::new(service)
        .route(Method::GET, "/debug/actors/", Access::Operator, Admission::Open, describe_actors, move |_| {
            let view = tree.view();
            async move { Ok(super::json(StatusCode::OK, &view)) }
        })
        .route(
            Method::GET,
            "/debug/actors/{*name}",
            Access::Operator,
            Admission::Open,
            describe_actor,
            move |request| {
                let found = actor(&root, &request);
                async move { found }
            },
        );
    let Some(Lab { sampler, changes }) = lab else { return routes };
    let shown = sampler.clone();
    routes
        .route(Method::GET, "/debug/faults/", Access::Operator, Admission::Open, describe_faults, move |_| {
            let answer = super::json(StatusCode::OK, &shown.json());
            async move { Ok(answer) }
        })
        .route(Method::PUT, "/debug/faults/", Access::Operator, Admission::Open, describe_change, move |request| {
            let answer = demand_changes(changes).and_then(|()| change(&sampler, &request));
            async move { answer }
        })
}

fn describe_actors() -> Description {
    Description::new("actors", "The supervision tree")
        .tag(OPERATORS)
        .detail("Answers at once, even if actors are busy or stuck.")
        .answer::<ActorView>(200, "The root actor and its descendants.")
}

fn describe_actor() -> Description {
    Description::new("actor", "One actor in full")
        .tag(OPERATORS)
        .path("name", schema::text(1, 200), "The name, including slashes, with or without the name of the stack.")
        .answer::<ActorView>(200, "The actor and its descendants.")
        .problem(404, "There is no such actor.")
}

fn describe_faults() -> Description {
    Description::new("faults", "The failure settings in force")
        .tag(OPERATORS)
        .answer::<FaultsView>(200, "The settings by operation.")
}

fn describe_change() -> Description {
    Description::new("changeFaults", "Changes the failure settings")
        .tag(OPERATORS)
        .detail(
            "All or nothing. Omitted members keep their values. Valid until the next reload or restart. 403 in production \
             unless `faults.enabled` is set.",
        )
        .body::<FaultsChange>(json!({ "seed": 7 }))
        .answer::<FaultsView>(200, "The settings now in force.")
        .bad_fields_400()
}

fn actor(root: &ActorEntry, request: &Request) -> Result<Response, ApiError> {
    let name = request.param("name").trim_end_matches('/');
    let view = root.find(name).ok_or_else(|| ApiError::not_found(format!("there is no actor {name}")))?;
    Ok(super::json(StatusCode::OK, &view))
}

fn change(sampler: &FaultSampler, request: &Request) -> Result<Response, ApiError> {
    // Validates the body as JSON; the sampler reads its fields.
    request.json_fields()?;
    sampler.apply_json(&request.body).map_err(|error| match error {
        ChangeError::Malformed(detail) => ApiError::malformed(detail),
        ChangeError::Fields(errors) => ApiError::bad_fields_400(errors),
    })?;
    tracing::warn!(
        service = sampler.service(),
        "failure settings were changed by hand, until the next reload or restart"
    );
    Ok(super::json(StatusCode::OK, &sampler.json()))
}
