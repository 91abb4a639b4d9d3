//! `/debug`: what the actors of a service are doing, and what may go wrong with it. For operators only; no proxy routes
//! it. Nothing here waits for an actor, a call or the database.

use std::sync::Arc;

use hyper::{Method, StatusCode};

use super::{Access, ApiError, Request, Response, Routes, json, routes::Door};
use crate::{
    faults::{ChangeError, Dice},
    supervision::ActorCard,
};

/// Returns the debug routes of a service: its actors, and its failure settings if it has dice.
pub fn routes(service: &'static str, root: Arc<ActorCard>, dice: Option<Dice>) -> Routes {
    let tree = root.clone();
    let routes = Routes::new(service)
        .route(Method::GET, "/debug/actors/", Access::Operator, Door::Open, move |_| {
            let view = tree.view();
            async move { Ok(json(StatusCode::OK, &view)) }
        })
        .route(Method::GET, "/debug/actors/{*name}", Access::Operator, Door::Open, move |request| {
            let found = actor(&root, &request);
            async move { found }
        });
    let Some(dice) = dice else { return routes };
    let shown = dice.clone();
    routes
        .route(Method::GET, "/debug/faults/", Access::Operator, Door::Open, move |_| {
            let answer = json(StatusCode::OK, &shown.json());
            async move { Ok(answer) }
        })
        .route(Method::PUT, "/debug/faults/", Access::Operator, Door::Open, move |request| {
            let answer = change(&dice, &request);
            async move { answer }
        })
}

fn actor(root: &ActorCard, request: &Request) -> Result<Response, ApiError> {
    let name = request.param("name").trim_end_matches('/');
    let view = root.find(name).ok_or_else(|| ApiError::not_found(format!("there is no actor {name}")))?;
    Ok(json(StatusCode::OK, &view))
}

fn change(dice: &Dice, request: &Request) -> Result<Response, ApiError> {
    // For its checks of the body as such; the dice read the fields.
    request.json_fields()?;
    dice.apply_json(&request.body).map_err(|error| match error {
        ChangeError::Malformed(detail) => ApiError::malformed(detail),
        ChangeError::Fields(errors) => ApiError::bad_fields_400(errors),
    })?;
    tracing::warn!(service = dice.service(), "failure settings were changed by hand, until the next reload or restart");
    Ok(json(StatusCode::OK, &dice.json()))
}
