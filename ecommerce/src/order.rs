//! `order`: makes a purchase and waits for its end.

use clap::Args;
use common::money::{self, Money};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    client::Target,
    ending::{Ended, Failure},
    output,
};

#[derive(Args)]
pub(crate) struct Order {
    /// Buyer
    #[arg(long, value_name = "ID")]
    user: String,
    /// Amount to pay, such as 99.99
    #[arg(long, value_parser = amount)]
    amount: Money,
    /// Product to buy [default: the catalog picks one]
    #[arg(long, value_name = "ID")]
    product: Option<String>,
    #[command(flatten)]
    target: Target,
}

fn amount(text: &str) -> Result<Money, String> {
    Money::parse(text).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Request<'a> {
    user_id: &'a str,
    #[serde(with = "money::as_number")]
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
}

#[derive(Deserialize)]
struct Outcome {
    transaction_id: String,
    status: String,
    #[serde(default)]
    details: Details,
}

#[derive(Default, Deserialize)]
struct Details {
    product_id: Option<String>,
    payment_id: Option<String>,
    error: Option<String>,
}

impl Order {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let request = Request { user_id: &self.user, amount: self.amount, product_id: self.product.as_deref() };
        let body =
            serde_json::to_string(&request).map_err(|error| Failure::broken("cannot serialize the order", &error))?;
        let url = self.target.url(&["saga", "transaction"])?;
        let answer = self.target.ask(Method::POST, url, Some(body)).await?;
        let ended = match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ended::Done,
            StatusCode::CONFLICT | StatusCode::BAD_GATEWAY => Ended::Refused,
            _ => return Err(answer.into_failure()),
        };
        // Another answer with the same status, such as a proxy's 502, is not about a saga.
        let Ok(outcome) = answer.read::<Outcome>() else {
            return Err(answer.into_failure());
        };
        if self.target.json {
            output::tell_json(&answer.body);
            return Ok(ended);
        }
        let details = outcome.details;
        output::tell(&output::table(
            ["transaction", &outcome.transaction_id],
            [
                [output::cell("status"), output::state(&outcome.status)],
                [output::cell("product"), output::optional(details.product_id)],
                [output::cell("payment"), output::optional(details.payment_id)],
                [output::cell("amount"), output::cell(self.amount.to_string())],
                [output::cell("error"), output::optional(details.error)],
            ],
        ));
        let id = output::printable(&outcome.transaction_id);
        match answer.status {
            StatusCode::ACCEPTED => {
                output::complain(&format!("the purchase still runs: `ecommerce status {id}` shows its state"));
            }
            StatusCode::BAD_GATEWAY => output::complain(&format!(
                "not all steps could be undone yet; retries continue: `ecommerce status {id}` shows which are left"
            )),
            _ => {}
        }
        Ok(ended)
    }
}
