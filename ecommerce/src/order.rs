//! `order`: buys something, and waits for the end.

use anyhow::bail;
use clap::Args;
use common::money::Money;
use serde_json::json;

use crate::client::Target;
use crate::output::{self, text};
use crate::{Ended, Usage};

/// The options of `order`.
#[derive(Args)]
pub(crate) struct Order {
    /// Who buys
    #[arg(long)]
    user: String,
    /// How much is charged, such as 99.99
    #[arg(long)]
    amount: String,
    /// Which product [default: the catalog chooses]
    #[arg(long)]
    product: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Order {
    pub(crate) async fn run(self) -> anyhow::Result<Ended> {
        let amount = Money::parse(&self.amount).map_err(|error| Usage(format!("--amount {}: {error}", self.amount)))?;
        let body = json!({ "user_id": self.user, "amount": amount, "product_id": self.product }).to_string();
        let (status, answer) = self.target.call(reqwest::Method::POST, "/saga/transaction", Some(body)).await?;
        if !matches!(status, 200 | 202 | 409 | 502) {
            let detail = &answer["detail"];
            let errors = answer["errors"].as_array().into_iter().flatten();
            let fields: Vec<String> =
                errors.map(|error| format!("{}: {}", text(&error["field"]), text(&error["message"]))).collect();
            bail!("{status}: {} {}", text(detail), fields.join("; "));
        }
        if self.target.json {
            output::json(&answer);
        } else {
            let details = &answer["details"];
            output::table(
                ["transaction", "status", "product", "payment", "error"],
                [[
                    &answer["transaction_id"],
                    &answer["status"],
                    &details["product_id"],
                    &details["payment_id"],
                    &details["error"],
                ]
                .map(text)],
            );
        }
        Ok(if matches!(status, 200 | 202) { Ended::Done } else { Ended::Refused })
    }
}
