//! `list`: purchases and all other sagas, newest first.

use clap::{Args, builder::PossibleValuesParser};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    arrangement::Arrangement,
    client::{Page, Part, Target, exact},
    ending::{Ended, Failure},
    output::{self, View},
    sagas::title,
};

/// All statuses of a saga.
pub(crate) const STATUSES: [&str; 5] = ["PENDING", "COMPENSATING", "COMPLETED", "COMPENSATED", "FAILED"];

#[derive(Args)]
pub(crate) struct List {
    /// Only purchases with this status
    #[arg(long, ignore_case = true, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// Only purchases of this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    #[command(flatten)]
    arrangement: Arrangement,
    #[command(flatten)]
    part: Part,
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
    amount: Option<Box<RawValue>>,
    created_at: Option<String>,
    completed_at: Option<String>,
    error_message: Option<String>,
}

impl List {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let mut url = self.target.url(&["saga", "transactions"])?;
        let status = self.status.map(|status| status.to_ascii_uppercase());
        self.part.add_to(&mut url, [("status", status), ("user_id", self.user)]);
        let answer = self.target.get(url).await?;
        self.arrangement.apply(answer)?.print(self.target.output.format(), shown)?;
        Ok(Ended::Done)
    }
}

fn shown(page: Page<Saga>, view: &View) -> String {
    let extent = page.extent();
    // Most systems run purchases only, whose definition says nothing then.
    let table = if view.is_wide() || page.rows.iter().any(|saga| saga.user_id.is_none()) {
        with_definitions(page.rows, view)
    } else {
        of_purchases(page.rows, view)
    };
    format!("{table}\n{extent}")
}

fn of_purchases(sagas: Vec<Saga>, view: &View) -> String {
    let rows = sagas.into_iter().map(|saga| {
        let amount = saga.amount.as_deref().map(exact);
        [
            output::cell(&saga.transaction_id),
            output::state(&saga.status),
            output::optional(saga.user_id),
            output::optional(saga.product_id),
            output::optional(amount),
            view.moment(saga.created_at),
            output::optional(saga.error_message),
        ]
    });
    output::table(["id", "status", "user", "product", "amount", "created", "error"], rows)
}

fn with_definitions(sagas: Vec<Saga>, view: &View) -> String {
    let rows = sagas.into_iter().map(|saga| {
        let amount = saga.amount.as_deref().map(exact);
        [
            output::cell(&saga.transaction_id),
            output::state(&saga.status),
            output::optional(title(saga.definition, saga.version)),
            output::optional(saga.user_id),
            output::optional(saga.product_id),
            output::optional(amount),
            view.moment(saga.created_at),
            view.moment(saga.completed_at),
            output::optional(saga.error_message),
        ]
    });
    let header = ["id", "status", "definition", "user", "product", "amount", "created", "ended", "error"];
    output::table(header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    const NOW: &str = "2026-01-02T03:04:05Z";

    #[test]
    fn a_table_has_ages_and_the_wide_one_exact_times_and_the_definition() {
        let page = r#"{"total":1,"next_cursor":null,"transactions":[{"transaction_id":"t-1","status":"COMPLETED",
            "definition":"checkout","version":1,"user_id":"me","product_id":"7","amount":9.90,
            "created_at":"2026-01-02T02:59:05.123456Z","error_message":null}]}"#;
        let of = |format| shown(serde_json::from_str(page).unwrap(), &View::at(format, NOW));
        let (table, wide) = (of(Format::Table), of(Format::Wide));
        assert!(table.contains("4 min ago") && table.contains("9.90") && !table.contains("checkout"), "{table}");
        assert!(wide.contains("2026-01-02T02:59:05.123456Z") && wide.contains("checkout/1"), "{wide}");
    }

    #[test]
    fn a_saga_that_is_no_purchase_has_its_definition_and_dashes() {
        let page = r#"{"total":1,"next_cursor":null,"transactions":[{"transaction_id":"t-1","status":"COMPLETED",
            "definition":"trip","version":1,"user_id":null,"product_id":null,"amount":null,"error_message":null}]}"#;
        let table = shown(serde_json::from_str(page).unwrap(), &View::at(Format::Table, NOW));
        let row = table.lines().find(|line| line.contains("t-1")).unwrap();
        assert!(row.contains("trip/1") && !row.contains("null"), "{table}");
        assert_eq!(row.matches('–').count(), 6, "user, product, amount, created, ended, error\n{table}");
    }
}
