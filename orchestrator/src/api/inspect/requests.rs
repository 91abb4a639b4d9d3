//! The requests of a saga's steps, made anew from the input and the outputs that its row holds. They are not stored: a
//! step's request follows from them alone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;
use utoipa::ToSchema;

use crate::participant_client::http_method;
use crate::store::full_row::FullRow;
use saga_engine::SagaId;
use saga_engine::definition::{Context, Definition, Operation};
use saga_engine::log::StepView;

/// The requests of a step, as far as they were sent.
#[derive(Serialize, ToSchema)]
pub(super) struct StepRequests {
    #[schema(required)]
    action: Option<StepRequest>,
    #[schema(required)]
    compensation: Option<StepRequest>,
}

/// A request to a participant, without its headers, which may hold secrets.
#[derive(Serialize, ToSchema)]
struct StepRequest {
    /// The operation at the participant, as its journal names it.
    #[schema(value_type = String)]
    operation: SmolStr,
    method: String,
    path: String,
    /// The JSON body; null if there is none.
    #[schema(required, value_type = Option<Object>)]
    body: Option<Box<RawValue>>,
}

/// Makes the requests of all steps that were called, by step.
pub(super) fn of_steps(definition: &Definition, id: SagaId, row: &FullRow) -> BTreeMap<SmolStr, StepRequests> {
    let defined = definition.steps().iter().zip(row.steps());
    defined
        .map(|(step, view)| {
            let StepView { attempts, started_at, compensation, .. } = view;
            let request = |operation: &Operation, attempt: u32| {
                let (input, outputs) = (row.input.clone(), row.outputs().clone());
                made(operation, &Context { saga_id: id, attempt, input, outputs })
            };
            let action = started_at.and_then(|_| request(&step.action, *attempts));
            let undo = compensation.as_ref().filter(|undo| undo.started_at.is_some());
            let compensation = undo.zip(step.compensation());
            let compensation = compensation.and_then(|(undo, operation)| request(operation, undo.attempts));
            (step.name.clone(), StepRequests { action, compensation })
        })
        .collect()
}

/// `None` for a request that cannot be made: nothing was sent then.
fn made(operation: &Operation, context: &Context) -> Option<StepRequest> {
    let request = (operation.request)(context).ok()?;
    Some(StepRequest {
        operation: operation.name.clone(),
        method: http_method(request.method).to_string(),
        path: request.path,
        body: request.body.and_then(|body| RawValue::from_string(body).ok()),
    })
}
