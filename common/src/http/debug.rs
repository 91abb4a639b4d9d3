//! `/debug`, on every service, for operators: the supervision tree and the failure settings.

use std::sync::Arc;

use super::{Access, ApiError, Routes, StatusCode, json};
use crate::faults::{ChangeError, Dice};
use crate::supervision::ActorCard;

/// Returns the routes. Reading the tree waits for no actor.
pub fn routes(service: &'static str, root: Arc<ActorCard>, dice: Option<Dice>) -> Routes {
    let (tree, one) = (root.clone(), root);
    let routes = Routes::new(service)
        .get("/debug/actors", Access::Operator, move |_| {
            let tree = tree.clone();
            async move { Ok(json(StatusCode::OK, &tree.view())) }
        })
        .get("/debug/actors/{*name}", Access::Operator, move |request| {
            let root = one.clone();
            async move {
                let name = request.param("name");
                let found = root.find(name).ok_or_else(|| ApiError::not_found(format!("there is no actor {name}")))?;
                Ok(json(StatusCode::OK, &found))
            }
        });
    let Some(dice) = dice else { return routes };
    let (shown, changed) = (dice.clone(), dice);
    routes
        .get("/debug/faults", Access::Operator, move |_| {
            let dice = shown.clone();
            async move { Ok(json(StatusCode::OK, &dice.json())) }
        })
        .put("/debug/faults", Access::Operator, move |request| {
            let dice = changed.clone();
            async move {
                dice.apply_json(&request.body).map_err(|error| match error {
                    ChangeError::Malformed(detail) => ApiError::malformed(detail),
                    ChangeError::Fields(errors) => ApiError::bad_fields_400(errors),
                })?;
                Ok(json(StatusCode::OK, &dice.json()))
            }
        })
}
