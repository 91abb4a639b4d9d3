//! `/sagas/definitions`: the definitions that this node knows, and new ones from operators.

use common::fields::FieldError;
use common::http::{ApiError, Request, Response, StatusCode, json};
use common::names::{FORM, is_name};
use saga_definitions::{Format, Identity};
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::rejected;
use crate::api::{ApiContext, unreadable};
use crate::definitions::{Given, OVER_HTTP};
use crate::store::definitions::{self, Storing};
use saga_engine::definition::{Definition, Definitions as _, Effect, Input, Step};

/// A definition with the graph of its steps.
#[derive(Serialize, ToSchema)]
#[schema(as = Definition)]
pub(in crate::api) struct DefinitionView {
    #[schema(value_type = String)]
    name: SmolStr,
    version: i32,
    /// Where it comes from: the name of a file, `HTTP`, or `built in`.
    origin: String,
    /// SHA-256 of its canonical form in hexadecimal digits; null if it is built in.
    #[schema(required)]
    hash: Option<String>,
    /// Whether every live node knows it.
    known_to_all: bool,
    steps: Vec<DefinedStep>,
    /// The canonical form, as a `PUT` takes it; null if it is built in. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    body: Option<Option<Value>>,
}

/// A step of a definition.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct DefinedStep {
    #[schema(value_type = String)]
    name: SmolStr,
    #[schema(value_type = String)]
    participant: SmolStr,
    /// The steps that it comes directly after.
    #[schema(value_type = Vec<String>)]
    after: Vec<SmolStr>,
    /// `read_only`, `compensable` or `uncompensated`.
    #[schema(pattern = "^(read_only|compensable|uncompensated)$")]
    kind: &'static str,
}

/// All definitions, sorted by name, the newest version of each first.
#[derive(Serialize, ToSchema)]
#[schema(as = DefinitionList)]
pub(in crate::api) struct List {
    definitions: Vec<DefinitionView>,
}

impl DefinedStep {
    /// Returns the steps of a definition, in its order.
    pub(super) fn all_of(definition: &Definition) -> Vec<DefinedStep> {
        let steps = definition.steps();
        let defined = |(index, step): (usize, &Step)| DefinedStep {
            name: step.name.clone(),
            participant: step.participant.clone(),
            after: definition.predecessors(index).iter().map(|&earlier| steps[earlier].name.clone()).collect(),
            kind: match step.effect {
                Effect::ReadOnly { .. } => "read_only",
                Effect::Compensable(_) => "compensable",
                Effect::Uncompensated => "uncompensated",
            },
        };
        steps.iter().enumerate().map(defined).collect()
    }
}

impl DefinitionView {
    fn new(api: &ApiContext, definition: &Definition, given: Option<&Given>) -> Self {
        Self {
            name: definition.name.clone(),
            version: definition.version,
            origin: given.map_or_else(|| "built in".to_owned(), |given| given.origin.clone()),
            hash: given.map(|given| given.file.hash().to_owned()),
            known_to_all: api.definitions.is_everywhere(definition),
            steps: DefinedStep::all_of(definition),
            body: None,
        }
    }

    fn with_body(self, given: Option<&Given>) -> Self {
        Self { body: Some(given.map(|given| given.file.to_json().clone())), ..self }
    }
}

pub(in crate::api) async fn list(api: ApiContext, _: Request) -> Result<Response, ApiError> {
    let given = api.definitions.given();
    let built_in = api.definitions.built_in().iter().map(|definition| DefinitionView::new(&api, definition, None));
    let given = given.values().map(|given| DefinitionView::new(&api, &given.definition, Some(given)));
    let mut definitions: Vec<_> = built_in.chain(given).collect();
    definitions.sort_by(|a, b| (&a.name, b.version).cmp(&(&b.name, a.version)));
    Ok(json(StatusCode::OK, &List { definitions }))
}

pub(in crate::api) async fn show(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let (name, version) = identity(&request)?;
    let given = api.definitions.given().get(&(SmolStr::new(&name), version)).cloned();
    let definition = match &given {
        Some(given) => Some(given.definition.clone()),
        None => api.definitions.built_in().to_vec().find(&name, version, &Input::default()),
    };
    let missing = || ApiError::not_found(format!("there is no definition {name}/{version}"));
    let definition = definition.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &DefinitionView::new(&api, &definition, given.as_deref()).with_body(given.as_deref())))
}

pub(in crate::api) async fn put(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let (name, version) = identity(&request)?;
    let text = std::str::from_utf8(&request.body).map_err(|_| ApiError::malformed("the body is not UTF-8"))?;
    let identity = Identity::Given { name: &name, version };
    let given = api.definitions.check(text, Format::Json, identity, OVER_HTTP);
    let given = given.map_err(|problems| rejected(problems, "body"))?;
    let stored = given.stored();
    let store = api
        .saga_log
        .read_in_reserve(move |connection| Box::pin(async move { definitions::store(connection, &stored).await }));
    let code = match store.await.map_err(unreadable)? {
        Storing::New => StatusCode::CREATED,
        Storing::Equal => StatusCode::OK,
        Storing::Differs(origin) => {
            let detail =
                format!("{name}/{version} is another definition (from {origin}), and stays so: raise the version");
            return Err(ApiError::conflict(detail));
        }
    };
    let view = DefinitionView::new(&api, &given.definition, Some(&given)).with_body(Some(&given));
    api.definitions.add(given);
    Ok(json(code, &view))
}

fn identity(request: &Request) -> Result<(String, i32), ApiError> {
    let (name, version) = (request.param("name"), request.param("version"));
    let mut errors = Vec::new();
    let mut bad = |field: &str, message: String| errors.push(FieldError::new(field, message));
    if !is_name(name) {
        bad("name", format!("expected {FORM}"));
    }
    let is_number = version.bytes().all(|byte| byte.is_ascii_digit());
    let number = version.parse::<i32>().ok().filter(|number| is_number && *number >= 1);
    if number.is_none() {
        bad("version", format!("expected a whole number from 1 to {}", i32::MAX));
    }
    match number {
        Some(number) if errors.is_empty() => Ok((name.to_owned(), number)),
        Some(_) | None => Err(ApiError::bad_fields_422(errors)),
    }
}
