//! `GET` and `PUT /ui/api/faults`: the failure lab of all services and their replicas in one place.
//!
//! A change goes to every replica of the services that it names. Each service applies its part as a whole or not at
//! all; a replica that did not answer is listed and keeps its settings.

use common::faults::FaultsView;
use common::fields::FieldError;
use common::http::{ApiError, Method, Request, Response, StatusCode, json};
use futures::future::join_all;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Ui;
use crate::neighbours::{NoAnswer, ReplicaAnswer};

const PATH: &str = "/debug/faults/";
/// The random seed for all services.
const SEED: &str = "seed";

/// The failure settings of all services that have any.
#[derive(Serialize, ToSchema)]
#[schema(as = AllFaults)]
pub(super) struct AllFaultsView {
    services: Vec<ServiceFaults>,
}

/// The failure settings of a service.
#[derive(Serialize, ToSchema)]
struct ServiceFaults {
    service: String,
    replicas: Vec<ReplicaFaults>,
}

/// The failure settings in force in one process of a service.
#[derive(Serialize, ToSchema)]
struct ReplicaFaults {
    /// The URL of the replica.
    url: String,
    /// The settings; null if it did not answer.
    #[schema(required, value_type = Option<FaultsView>)]
    faults: Option<Value>,
    /// Why there are no settings.
    #[schema(required)]
    error: Option<String>,
}

/// A change of failure settings: per service, as its `/debug/faults` takes it, and a seed for all.
#[derive(ToSchema)]
#[schema(as = AllFaultsChange)]
pub(super) struct AllFaultsChange {
    /// The random seed for all services.
    #[schema(nullable = false, maximum = 9_223_372_036_854_775_807_i64)]
    #[expect(dead_code, reason = "only described: it is read member by member")]
    seed: Option<u64>,
    /// Services.
    #[serde(flatten)]
    #[expect(dead_code, reason = "only described: it is read member by member")]
    services: std::collections::BTreeMap<String, common::faults::FaultsChange>,
}

pub(super) async fn show(ui: Ui, _: Request) -> Result<Response, ApiError> {
    ui.neighbours.demand_on()?;
    gather(&ui).await
}

pub(super) async fn change(ui: Ui, request: Request) -> Result<Response, ApiError> {
    ui.neighbours.demand_on()?;
    ui.neighbours.demand_fault_changes()?;
    let changes = read(&request, ui.neighbours.faulty())?;
    let told = changes.iter().map(|(service, change)| {
        let ui = &ui;
        async move {
            let said: Vec<ReplicaAnswer<Value>> = ui.neighbours.ask(service, Method::PUT, PATH, Some(change)).await;
            (*service, said)
        }
    });
    let mut errors = Vec::new();
    for (service, said) in join_all(told).await {
        let refused = said.iter().find_map(|said| match &said.answer {
            Err(NoAnswer::Refused(StatusCode::BAD_REQUEST, problem)) => Some(problem),
            Ok(_) | Err(_) => None,
        });
        errors.extend(refused.into_iter().flat_map(|problem| complaints(service, problem)));
    }
    if !errors.is_empty() {
        return Err(ApiError::bad_fields_422(errors));
    }
    tracing::warn!(services = ?changes.iter().map(|(service, _)| service).collect::<Vec<_>>(), "failure settings were changed from the dashboard");
    gather(&ui).await
}

/// Reads the change for each service.
fn read<'a>(request: &Request, known: &'a [String]) -> Result<Vec<(&'a str, Value)>, ApiError> {
    request.json_fields()?;
    let given: Map<String, Value> =
        serde_json::from_slice(&request.body).map_err(|error| ApiError::malformed(error.to_string()))?;
    let unknown = given.keys().filter(|name| *name != SEED && !known.contains(name));
    let mut errors: Vec<FieldError> =
        unknown.map(|name| FieldError::new(name, format!("unknown, expected one of {}", known.join(", ")))).collect();
    let mut changes = Vec::new();
    for service in known {
        let mut change = match given.get(service) {
            Some(Value::Object(change)) => change.clone(),
            None if given.contains_key(SEED) => Map::new(),
            None => continue,
            Some(_) => {
                errors.push(FieldError::new(service, "expected an object of operations"));
                continue;
            }
        };
        if let Some(seed) = given.get(SEED) {
            change.insert(SEED.to_owned(), seed.clone());
        }
        changes.push((service.as_str(), Value::Object(change)));
    }
    if errors.is_empty() { Ok(changes) } else { Err(ApiError::bad_fields_422(errors)) }
}

/// The errors of a service, with its name before each field.
fn complaints(service: &str, problem: &Value) -> Vec<FieldError> {
    let text = |error: &Value, member: &str| error[member].as_str().unwrap_or_default().to_owned();
    let errors = problem["errors"].as_array().into_iter().flatten();
    let mut complaints: Vec<FieldError> = errors
        .map(|error| FieldError::new(format!("{service}.{}", text(error, "field")), text(error, "message")))
        .collect();
    if complaints.is_empty() {
        complaints.push(FieldError::new(service, text(problem, "detail")));
    }
    complaints
}

async fn gather(ui: &Ui) -> Result<Response, ApiError> {
    let services = ui.neighbours.faulty().iter().map(|service| async move {
        let said = ui.neighbours.ask(service, Method::GET, PATH, None).await;
        ServiceFaults { service: service.clone(), replicas: said.into_iter().map(view).collect() }
    });
    Ok(json(StatusCode::OK, &AllFaultsView { services: join_all(services).await }))
}

fn view(said: ReplicaAnswer<Value>) -> ReplicaFaults {
    let (faults, error) = match said.answer {
        Ok(faults) => (Some(faults), None),
        Err(no_answer) => (None, Some(no_answer.to_string())),
    };
    ReplicaFaults { url: said.url, faults, error }
}
