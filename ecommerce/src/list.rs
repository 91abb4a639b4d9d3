//! `list`: purchases and all other sagas, newest first.

use clap::{Args, builder::PossibleValuesParser};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::{Page, Part, Target, exact},
    ending::{Ended, Failure},
    output,
    sagas::title,
};

/// All statuses of a saga.
pub(crate) const STATUSES: [&str; 5] = ["PENDING", "COMPENSATING", "COMPLETED", "COMPENSATED", "FAILED"];

#[derive(Args)]
pub(crate) struct List {
    /// Only sagas with this status
    #[arg(long, ignore_case = true, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// Only purchases of this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
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
    error_message: Option<String>,
}

impl List {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let mut url = self.target.url(&["saga", "transactions"])?;
        let status = self.status.map(|status| status.to_ascii_uppercase());
        self.part.add_to(&mut url, [("status", status), ("user_id", self.user)]);
        let answer = self.target.get(url).await?;
        answer.print(self.target.json, shown)?;
        Ok(Ended::Done)
    }
}

fn shown(page: Page<Saga>) -> String {
    let extent = page.extent();
    let rows = page.rows.into_iter().map(|saga| {
        let amount = saga.amount.as_deref().map(exact);
        [
            output::cell(&saga.transaction_id),
            output::state(&saga.status),
            output::optional(title(saga.definition, saga.version)),
            output::optional(saga.user_id),
            output::optional(saga.product_id),
            output::optional(amount),
            output::moment(saga.created_at),
            output::optional(saga.error_message),
        ]
    });
    let header = ["transaction", "status", "definition", "user", "product", "amount", "created", "error"];
    let table = output::table(header, rows);
    format!("{table}\n{extent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_that_is_no_purchase_has_its_definition_and_dashes() {
        let page = r#"{"total":1,"next_cursor":null,"transactions":[{"transaction_id":"t-1","status":"COMPLETED",
            "definition":"trip","version":1,"user_id":null,"product_id":null,"amount":null,"error_message":null}]}"#;
        let table = shown(serde_json::from_str(page).unwrap());
        let row = table.lines().find(|line| line.contains("t-1")).unwrap();
        assert!(row.contains("trip/1") && !row.contains("null"), "{table}");
        assert_eq!(row.matches('–').count(), 5, "user, product, amount, created, error\n{table}");
    }
}
