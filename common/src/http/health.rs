//! `/health/` checks the dependencies of the service; `/health/live/` only shows that the process answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use hyper::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    build::{Build, VERSION, build},
    db::LostCommits,
};

use super::{
    Access, ApiError, Draining, Response, Routes, json,
    openapi::{Description, EVERY_SERVICE},
    routes::Admission,
};

/// Time limit for all checks together: callers expect a prompt answer.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// Runs the health checks of a service; an empty list for a service without dependencies.
pub type HealthCheck = Arc<dyn Fn() -> BoxFuture<'static, Vec<Check>> + Send + Sync>;

/// The health of one dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Name of the dependency: `database`, `lease` …
    pub name: &'static str,
    /// Its state.
    pub finding: Finding,
}

/// The state of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Works.
    Good,
    /// Works, with a remark.
    Note(String),
    /// The service works only in part.
    Degraded(String),
    /// The service cannot work.
    Failed(String),
}

impl Check {
    /// Creates a check that is good, or failed with a reason.
    pub fn new(name: &'static str, result: Result<(), String>) -> Self {
        Self { name, finding: result.map_or_else(Finding::Failed, |()| Finding::Good) }
    }

    /// Creates the check of confirmed commits; `None` if none are lost.
    pub fn of_lost_commits(lost: Option<&LostCommits>) -> Option<Self> {
        lost.map(|lost| Self { name: "lost_commits", finding: Finding::Degraded(lost.to_string()) })
    }
}

/// Health of a service.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(pattern = "^(healthy|degraded|unhealthy)$", example = "healthy")]
    status: &'static str,
    service: &'static str,
    version: &'static str,
    build: Build,
    /// The results of the checks, if one is not good or has a remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    checks: Option<BTreeMap<&'static str, String>>,
}

/// Returns the two health routes.
pub(super) fn routes(service: &'static str, check: HealthCheck, draining: Draining) -> Routes {
    Routes::new(service)
        .route(Method::GET, "/health/live/", Access::Public, Admission::Open, describe_live, move |_| async move {
            Ok(show(StatusCode::OK, "healthy", service, None))
        })
        .route(Method::GET, "/health/", Access::Public, Admission::Open, describe, move |_| {
            health(service, check.clone(), draining.clone())
        })
}

fn describe() -> Description {
    Description::new("health", "Health of the service and its dependencies")
        .tag(EVERY_SERVICE)
        .answer::<Health>(
            200,
            "Healthy; or `degraded`, see `checks`: some operations of other services do not answer, or a failover has \
             lost confirmed commits.",
        )
        .answer::<Health>(503, "Unhealthy, or the service is stopping; `checks` gives the reasons.")
}

fn describe_live() -> Description {
    Description::new("live", "Whether the process answers")
        .tag(EVERY_SERVICE)
        .detail("Dependencies are never checked.")
        .answer::<Health>(200, "The process answers.")
}

async fn health(service: &'static str, check: HealthCheck, draining: Draining) -> Result<Response, ApiError> {
    let looked_at = tokio::time::timeout(CHECK_TIME, check()).await;
    let mut checks = looked_at
        .unwrap_or_else(|_| vec![Check::new("checks", Err(format!("not done within {} s", CHECK_TIME.as_secs())))]);
    if draining.is_announced() {
        checks.push(Check::new("draining", Err("the service is stopping".to_owned())));
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
    json(status, &Health { status: word, service, version: VERSION, build: build(), checks })
}
