//! `status`: the state of one purchase, or of another saga, step by step.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::{Target, exact},
    effects,
    ending::{Ended, Failure},
    ids::{self, SagaId, saga_id},
    operate::Resolution,
    output::{self, View},
    sagas::title,
    steps::{self, Step, Takeover},
};

#[derive(Args)]
pub(crate) struct Status {
    /// Id of the purchase, as shown by `order` and `list`; a unique beginning or end of it is enough
    #[arg(value_parser = saga_id, add = ids::completer())]
    id: SagaId,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Saga {
    transaction_id: String,
    status: String,
    definition: Option<String>,
    version: Option<i32>,
    user_id: Option<String>,
    product_id: Option<String>,
    payment_id: Option<String>,
    amount: Option<Box<RawValue>>,
    created_at: Option<String>,
    completed_at: Option<String>,
    turned_back_because: Option<String>,
    stuck_because: Option<String>,
    resolution: Option<Resolution>,
    #[serde(default)]
    takeovers: Vec<Takeover>,
    #[serde(default)]
    steps: Vec<Step>,
}

impl Status {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let id = self.target.find(&self.id).await?;
        let url = self.target.url(&["saga", "status", &id.to_string()])?;
        let answer = self.target.get(url).await?;
        answer.print(self.target.output.format(), shown)?;
        Ok(Ended::Done)
    }
}

fn shown(saga: Saga, view: &View) -> String {
    let amount = saga.amount.as_deref().map(exact);
    let settled = saga.resolution.map(|resolution| resolution.shown(view));
    let kind = if saga.user_id.is_some() { "purchase" } else { "saga" };
    let facts = output::table(
        [kind, &saga.transaction_id],
        [
            [output::cell("status"), output::state(&saga.status)],
            [output::cell("definition"), output::optional(title(saga.definition, saga.version))],
            [output::cell("user"), output::optional(saga.user_id)],
            [output::cell("amount"), output::optional(amount)],
            [output::cell("product"), output::optional(saga.product_id.as_deref())],
            [output::cell("payment"), output::optional(saga.payment_id)],
            [output::cell("created"), view.moment(saga.created_at)],
            [output::cell("ended"), view.moment(saga.completed_at)],
            [output::cell("turned back because"), output::optional(saga.turned_back_because)],
            [output::cell("stuck because"), output::optional(saga.stuck_because)],
            [output::cell("settled"), output::optional(settled)],
        ],
    );
    let amount = saga.amount.as_deref().map_or("?", exact);
    let effects = effects::in_words(&saga.status, amount, saga.product_id.as_deref(), &saga.steps, &saga.takeovers);
    let mut tables = vec![facts];
    tables.extend(steps::tables(saga.steps, saga.takeovers, view));
    tables.extend(effects);
    tables.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_step_that_cannot_be_undone_says_why_and_how_often_it_was_tried() {
        let saga = r#"{"transaction_id":"t","status":"FAILED","steps":[{"step":"charge","participant":"payments",
            "state":"compensating","attempts":1,"error":null,"compensation":{"attempts":26,"error":"payments answered 503"}}]}"#;
        let table = shown(serde_json::from_str(saga).unwrap(), &View::now(Format::Table));
        assert!(table.contains("1, undo 26") && table.contains("not undone: payments answered 503"), "{table}");
        assert!(!table.contains("taken over"), "{table}");
    }

    #[test]
    fn why_a_purchase_turned_back_and_why_it_is_stuck_are_two_things_and_its_takeovers_are_listed() {
        let saga = r#"{"transaction_id":"t","status":"FAILED","turned_back_because":"409: purchases conflict: CONFLICT",
            "stuck_because":"charge is not undone: payments answered 503","steps":[],
            "takeovers":[{"node":"node-2","epoch":2,"at":"2026-01-01T00:00:00.000001Z","unowned_ms":1234}]}"#;
        let table = shown(serde_json::from_str(saga).unwrap(), &View::now(Format::Table));
        let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line("turned back because").contains("409: purchases conflict: CONFLICT"), "{table}");
        assert!(line("stuck because").contains("charge is not undone: payments answered 503"), "{table}");
        assert!(line("node-2").contains("1234 ms"), "{table}");
    }

    #[test]
    fn a_saga_that_is_no_purchase_has_its_definition_and_dashes() {
        let saga = r#"{"transaction_id":"t","status":"COMPLETED","definition":"trip","version":1,"user_id":null,"amount":null,
            "product_id":null,"payment_id":null,"steps":[]}"#;
        let table = shown(serde_json::from_str(saga).unwrap(), &View::now(Format::Table));
        let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line("definition").contains("trip/1"), "{table}");
        for name in ["user", "amount", "product", "payment"] {
            assert!(line(name).contains('–') && !line(name).contains("null"), "{name}\n{table}");
        }
    }
}
