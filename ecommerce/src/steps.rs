//! The steps of a saga and its takeovers, as tables.

use serde::Deserialize;

use crate::output::{self, View};

/// A takeover, as the orchestrator shows it.
#[derive(Deserialize)]
pub(crate) struct Takeover {
    node: String,
    epoch: i64,
    at: Option<String>,
    unowned_ms: Option<i64>,
}

/// A step, as the orchestrator shows it.
#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) step: String,
    pub(crate) participant: String,
    pub(crate) state: String,
    /// State of the action alone.
    #[serde(default)]
    pub(crate) action: String,
    attempts: u64,
    started_at: Option<String>,
    finished_at: Option<String>,
    error: Option<String>,
    compensation: Option<Compensation>,
}

#[derive(Deserialize)]
struct Compensation {
    attempts: u64,
    finished_at: Option<String>,
    error: Option<String>,
}

/// The end of an action or of a compensation.
#[derive(Clone, Copy)]
pub(crate) struct Settled<'a> {
    /// When its answer arrived.
    pub(crate) at: &'a str,
    pub(crate) attempts: u64,
}

impl Step {
    /// Returns when the action was settled.
    pub(crate) fn finished(&self) -> Option<Settled<'_>> {
        Some(Settled { at: self.finished_at.as_deref()?, attempts: self.attempts })
    }

    /// Returns when the compensation was confirmed.
    pub(crate) fn undone(&self) -> Option<Settled<'_>> {
        let undo = self.compensation.as_ref()?;
        Some(Settled { at: undo.finished_at.as_deref()?, attempts: undo.attempts })
    }

    /// Describes the call that a saga waits for, if this step has one under way.
    pub(crate) fn waits(&self) -> Option<String> {
        let Self { step, participant, .. } = self;
        let (what, attempts, error) = match (self.state.as_str(), &self.compensation) {
            ("running" | "backing_off", _) => (step.clone(), self.attempts, &self.error),
            ("compensating", Some(undo)) => (format!("{step} to be undone"), undo.attempts, &undo.error),
            _ => return None,
        };
        let why = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        Some(output::printable(&format!("{participant}, {what} (attempt {attempts}{why})")))
    }
}

/// Makes the table of the steps, and that of the takeovers if there are any.
pub(crate) fn tables(steps: Vec<Step>, takeovers: Vec<Takeover>, view: &View) -> Vec<String> {
    let first = steps.iter().filter_map(|step| step.started_at.clone()).min();
    let steps = steps.into_iter().map(|step| {
        let attempts = attempts(&step);
        let not_undone = not_undone(&step);
        [
            output::cell(step.step),
            output::cell(step.participant),
            output::state(&step.state),
            output::cell(attempts),
            view.offset(step.started_at, first.as_deref()),
            view.offset(step.finished_at, first.as_deref()),
            output::optional(errors(step.error, not_undone)),
        ]
    });
    let header = ["step", "participant", "state", "attempts", "started", "finished", "error"];
    let mut tables = vec![output::table(header, steps)];
    if !takeovers.is_empty() {
        let takeovers = takeovers.into_iter().map(|takeover| {
            [
                view.moment(takeover.at),
                output::cell(takeover.node),
                output::cell(takeover.epoch.to_string()),
                output::optional(takeover.unowned_ms.map(|ms| format!("{ms} ms"))),
            ]
        });
        tables.push(output::table(["taken over", "by", "epoch", "without an owner"], takeovers));
    }
    tables
}

fn attempts(step: &Step) -> String {
    match &step.compensation {
        Some(undo) if undo.attempts > 0 => format!("{}, undo {}", step.attempts, undo.attempts),
        _ => step.attempts.to_string(),
    }
}

/// Joins the errors of a step and of its compensation.
fn errors(error: Option<String>, not_undone: Option<String>) -> Option<String> {
    match (error, not_undone) {
        (Some(error), Some(not_undone)) => Some(format!("{error}; {not_undone}")),
        (error, not_undone) => error.or(not_undone),
    }
}

fn not_undone(step: &Step) -> Option<String> {
    let error = step.compensation.as_ref()?.error.as_ref()?;
    Some(format!("not undone: {error}"))
}
