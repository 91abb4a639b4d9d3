//! `status`: how one purchase stands, step by step.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    client::{Target, exact, transaction_id},
    ending::{Ended, Failure},
    output,
};

/// The options of `status`.
#[derive(Args)]
pub(crate) struct Status {
    /// The transaction id, as `order` and `list` show it
    #[arg(value_parser = transaction_id)]
    id: Uuid,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Saga {
    transaction_id: String,
    status: String,
    user_id: Option<String>,
    product_id: Option<String>,
    payment_id: Option<String>,
    amount: Option<Box<RawValue>>,
    created_at: Option<String>,
    completed_at: Option<String>,
    error_message: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    participant: String,
    state: String,
    attempts: u64,
    started_at: Option<String>,
    finished_at: Option<String>,
    error: Option<String>,
    compensation: Option<Compensation>,
}

#[derive(Deserialize)]
struct Compensation {
    attempts: u64,
    error: Option<String>,
}

impl Status {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let url = self.target.url(&["saga", "status", &self.id.to_string()])?;
        let answer = self.target.get(url).await?;
        answer.print(self.target.json, shown)?;
        Ok(Ended::Done)
    }
}

fn shown(saga: Saga) -> String {
    let amount = saga.amount.as_deref().map(exact);
    let facts = output::table(
        ["transaction", &saga.transaction_id],
        [
            [output::cell("status"), output::state(&saga.status)],
            [output::cell("user"), output::optional(saga.user_id)],
            [output::cell("amount"), output::optional(amount)],
            [output::cell("product"), output::optional(saga.product_id)],
            [output::cell("payment"), output::optional(saga.payment_id)],
            [output::cell("created"), output::moment(saga.created_at)],
            [output::cell("ended"), output::moment(saga.completed_at)],
            [output::cell("error"), output::optional(saga.error_message)],
        ],
    );
    let steps = saga.steps.into_iter().map(|step| {
        let attempts = attempts(&step);
        let not_undone = not_undone(&step);
        [
            output::cell(step.step),
            output::cell(step.participant),
            output::state(&step.state),
            output::cell(attempts),
            output::moment(step.started_at),
            output::moment(step.finished_at),
            // What keeps a purchase from its end matters more than what turned it back, which stands above.
            output::optional(not_undone.or(step.error)),
        ]
    });
    let header = ["step", "participant", "state", "attempts", "started", "finished", "error"];
    format!("{facts}\n{}", output::table(header, steps))
}

fn attempts(step: &Step) -> String {
    match &step.compensation {
        Some(undo) if undo.attempts > 0 => format!("{}, undo {}", step.attempts, undo.attempts),
        _ => step.attempts.to_string(),
    }
}

fn not_undone(step: &Step) -> Option<String> {
    let error = step.compensation.as_ref()?.error.as_ref()?;
    Some(format!("not undone: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_cannot_be_undone_says_why_and_how_often_it_was_tried() {
        let saga = r#"{"transaction_id":"t","status":"FAILED","steps":[{"step":"charge","participant":"payments",
            "state":"compensating","attempts":1,"error":null,"compensation":{"attempts":26,"error":"payments answered 503"}}]}"#;
        let table = shown(serde_json::from_str(saga).unwrap());
        assert!(table.contains("1, undo 26") && table.contains("not undone: payments answered 503"), "{table}");
    }
}
