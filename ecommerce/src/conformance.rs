//! Tests a running participant against the protocol of `docs/participants.md`, as `ecommerce conformance` does.
//!
//! ```text
//! Plan (a TOML file) ──► run ──► each Rule: its own sagas, requests, verdict ──► Report ──► text, JSON, JUnit
//! ```
//! Each rule uses fresh saga ids, so a participant with data can be tested. It is seen from outside only: by its
//! answers, and by a count of effects if the plan names a request for it. It does not test what needs access to the
//! participant's database, such as a compensation whose statement fails.

mod answer;
mod case;
mod clients;
mod junit;
mod plan;
mod read;
mod refusals;
mod repeats;
mod report;
mod restart;
mod rule;
mod service;
mod template;
mod undo;

use std::time::Instant;

use futures::future::LocalBoxFuture;
use thiserror::Error;

pub use self::{
    junit::junit,
    plan::{Plan, Problems},
    report::{Exchange, Outcome, Report, RuleReport},
    rule::Rule,
};
use self::{rule::Broken, service::Service};

/// Restarts the participant; the error is a line for people.
pub type Restart<'a> = dyn Fn() -> LocalBoxFuture<'a, Result<(), String>> + 'a;

/// The participant cannot be tested.
#[derive(Debug, Error)]
pub enum NotTested {
    /// It does not answer.
    #[error("no answer from {url}: {reason}; is it running, is url right?")]
    Unreachable {
        /// Its address.
        url: String,
        /// The reason.
        reason: String,
    },
    /// No HTTP client can be made.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// Tests all rules, one after the other; `finished` is called after each.
///
/// If the first rule is violated, the others are skipped: they need an action that is done.
///
/// # Errors
/// When the participant does not answer.
pub async fn run(
    plan: &Plan,
    restart: Option<&Restart<'_>>,
    mut finished: impl FnMut(&RuleReport),
) -> Result<Report, NotTested> {
    let service = Service::new(plan)?;
    service.check_reachable().await?;
    let mut rules: Vec<RuleReport> = Vec::new();
    for rule in Rule::ALL {
        let started = Instant::now();
        let is_first_violated = rules.first().is_some_and(|first| first.outcome == Outcome::Violated);
        let record = service.record();
        let judged = if is_first_violated {
            Err(Broken::Skipped(format!("{} is violated", Rule::FirstAnswer.name())))
        } else {
            rule.judge(&service, &record, restart).await
        };
        let report = RuleReport::new(rule, judged, record, started.elapsed());
        finished(&report);
        rules.push(report);
    }
    Ok(Report::new(plan, rules))
}
