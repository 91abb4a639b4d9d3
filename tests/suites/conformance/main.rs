//! The rules of the protocol for participants: ours and the examples keep them, and each mistake breaks some by name.

mod examples;
mod faults;
mod ours;

use ecommerce::conformance::{self, Outcome, Plan, Report, Restart};

/// Tests a participant by all rules.
async fn conform(plan: &str, restart: &Restart<'_>) -> Report {
    let plan = Plan::parse(plan).unwrap_or_else(|problems| panic!("a bad plan:\n{problems}\n{plan}"));
    conformance::run(&plan, Some(restart), |_| {}).await.expect("the participant answers")
}

/// Returns the names of the rules with an outcome.
fn names(report: &Report, outcome: Outcome) -> Vec<&'static str> {
    report.rules.iter().filter(|rule| rule.outcome == outcome).map(|rule| rule.name).collect()
}

/// Describes the rules that are violated.
fn violations(report: &Report) -> Vec<String> {
    let violated = report.rules.iter().filter(|rule| rule.outcome == Outcome::Violated);
    violated.map(|rule| format!("{}: {}: {}", rule.name, rule.reason.as_deref().unwrap_or(""), rule.line())).collect()
}

/// Checks that every rule was tested and holds.
#[track_caller]
fn assert_conforms(name: &str, report: &Report) {
    assert!(report.conforms, "{name} violates {:#?}", violations(report));
    let untested = names(report, Outcome::Skipped);
    assert!(untested.is_empty(), "{name}: not tested: {untested:?}");
}
