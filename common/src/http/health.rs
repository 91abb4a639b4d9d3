//! `/health/` looks at what the service needs; `/health/live/` only shows that the process answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use hyper::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Access, ApiError, Draining, Response, Routes, json,
    openapi::{Description, EVERY_SERVICE},
    routes::Door,
};

/// As long as all checks together may take: whoever asks for health does not wait for it.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// Looks at what a service needs. No checks: there is nothing that it needs.
pub type HealthCheck = Arc<dyn Fn() -> BoxFuture<'static, Vec<Check>> + Send + Sync>;

/// Something that a service needs, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Names it: `database`, `lease` …
    pub name: &'static str,
    /// How it is.
    pub finding: Finding,
}

/// How something is that a service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Good,
    /// As it should be, and worth knowing.
    Note(String),
    /// The service does its work, but not all of it.
    Degraded(String),
    /// The service cannot do its work.
    Failed(String),
}

impl Check {
    /// Makes a check that is good, or failed for a reason.
    pub fn new(name: &'static str, result: Result<(), String>) -> Self {
        Self { name, finding: result.map_or_else(Finding::Failed, |()| Finding::Good) }
    }
}

/// How a service is.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(pattern = "^(healthy|degraded|unhealthy)$", example = "healthy")]
    status: &'static str,
    service: &'static str,
    version: &'static str,
    /// What was looked at, where not all is good, or there is something that is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    checks: Option<BTreeMap<&'static str, String>>,
}

/// Adds the two routes.
pub(super) fn routes(service: &'static str, check: HealthCheck, draining: Draining) -> Routes {
    Routes::new(service)
        .route(Method::GET, "/health/live/", Access::Public, Door::Open, describe_live, move |_| async move {
            Ok(show(StatusCode::OK, "healthy", service, None))
        })
        .route(Method::GET, "/health/", Access::Public, Door::Open, describe, move |_| {
            health(service, check.clone(), draining.clone())
        })
}

fn describe() -> Description {
    Description::new("health", "Whether the service and what it needs are there")
        .tag(EVERY_SERVICE)
        .answer::<Health>(
            200,
            "All is well; or `degraded`: some operations of other services do not answer, see `checks`.",
        )
        .answer::<Health>(503, "Something is not, or the service is about to stop; `checks` says what.")
}

fn describe_live() -> Description {
    Description::new("live", "Whether the process answers")
        .tag(EVERY_SERVICE)
        .detail("It never looks at what the service needs.")
        .answer::<Health>(200, "It does.")
}

async fn health(service: &'static str, check: HealthCheck, draining: Draining) -> Result<Response, ApiError> {
    let looked_at = tokio::time::timeout(CHECK_TIME, check()).await;
    let mut checks = looked_at
        .unwrap_or_else(|_| vec![Check::new("checks", Err(format!("not done within {} s", CHECK_TIME.as_secs())))]);
    if draining.is_set() {
        checks.push(Check::new("draining", Err("the service is about to stop".to_owned())));
    }
    let is_some = |finding: fn(&Finding) -> bool| checks.iter().any(|check| finding(&check.finding));
    let (code, status) = if is_some(|finding| matches!(finding, Finding::Failed(_))) {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    } else if is_some(|finding| matches!(finding, Finding::Degraded(_))) {
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, "healthy")
    };
    if !is_some(|finding| *finding != Finding::Good) {
        return Ok(show(code, status, service, None));
    }
    let words = |check: Check| match check.finding {
        Finding::Good => "ok".to_owned(),
        Finding::Note(words) | Finding::Degraded(words) | Finding::Failed(words) => words,
    };
    let shown = checks.into_iter().map(|check| (check.name, words(check))).collect();
    Ok(show(code, status, service, Some(shown)))
}

fn show(
    status: StatusCode,
    word: &'static str,
    service: &'static str,
    checks: Option<BTreeMap<&'static str, String>>,
) -> Response {
    json(status, &Health { status: word, service, version: env!("CARGO_PKG_VERSION"), checks })
}
