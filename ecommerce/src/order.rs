//! `order`: makes a purchase and waits for its end.

use std::time::Duration;

use clap::Args;
use common::money::{self, Money};
use futures::future::{Either, select};
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    client::{Answer, Target},
    effects,
    ending::{Ended, Failure},
    output,
    steps::{Step, Takeover},
};

/// After this time, and at each change, a terminal shows what a purchase waits for.
const PATIENCE: Duration = Duration::from_secs(2);

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

#[derive(Deserialize)]
struct Progress {
    status: String,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    takeovers: Vec<Takeover>,
}

impl Order {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let request = Request { user_id: &self.user, amount: self.amount, product_id: self.product.as_deref() };
        let body =
            serde_json::to_string(&request).map_err(|error| Failure::broken("cannot serialize the order", &error))?;
        let answer = self.buy(&body).await?;
        let ended = match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ended::Done,
            StatusCode::CONFLICT | StatusCode::BAD_GATEWAY => Ended::Refused,
            _ => return Err(answer.into_failure()),
        };
        // Another answer with the same status, such as a proxy's 502, is not about a saga.
        let Ok(outcome) = answer.read::<Outcome>() else {
            return Err(answer.into_failure());
        };
        if self.target.output.is_document() {
            self.target.output.tell(&answer.body);
            return Ok(ended);
        }
        let details = outcome.details;
        output::tell(&output::table(
            ["purchase", &outcome.transaction_id],
            [
                [output::cell("status"), output::state(&outcome.status)],
                [output::cell("product"), output::optional(details.product_id.as_deref())],
                [output::cell("payment"), output::optional(details.payment_id)],
                [output::cell("amount"), output::cell(self.amount.to_string())],
                [output::cell("error"), output::optional(details.error)],
            ],
        ));
        if let Some(Progress { status, steps, takeovers }) = self.progress(&outcome.transaction_id).await {
            let product = details.product_id.as_deref();
            let effects = effects::in_words(&status, &self.amount.to_string(), product, &steps, &takeovers);
            effects.into_iter().for_each(|effects| output::tell(&effects));
        }
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

    /// Sends the purchase and waits for its end; a terminal shows what it waits for.
    async fn buy(&self, body: &str) -> Result<Answer, Failure> {
        let key = Uuid::new_v4().to_string();
        let url = self.target.url(&["saga", "transaction"])?;
        let bought =
            self.target.ask_with(Method::POST, url, Some(body.to_owned()), headers([("idempotency-key", &key)]));
        if self.target.output.is_document() {
            return bought.await;
        }
        let told = self.tell_what_it_waits_for(body, &key);
        match select(Box::pin(bought), Box::pin(told)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), bought)) => bought.await,
        }
    }

    /// Ends when there is nothing more to tell. The purchase is found by its key: a repeat names it at once.
    async fn tell_what_it_waits_for(&self, body: &str, key: &str) {
        sleep(PATIENCE).await;
        let Ok(url) = self.target.url(&["saga", "transaction"]) else { return };
        let repeat = headers([("idempotency-key", key), ("prefer", "respond-async")]);
        let answer = self.target.ask_with(Method::POST, url, Some(body.to_owned()), repeat).await;
        let Some(Ok(found)) = answer.ok().map(|answer| answer.read::<Outcome>()) else { return };
        let mut last = Vec::new();
        while let Some(Progress { steps, .. }) = self.progress(&found.transaction_id).await {
            let waits: Vec<String> = steps.iter().filter_map(Step::waits).collect();
            if !waits.is_empty() && waits != last {
                output::complain(&format!("waiting for {}", waits.join(", ")));
            }
            last = waits;
            sleep(PATIENCE).await;
        }
    }

    /// Reads the steps of the purchase; nothing if that fails, since its outcome is reported without them.
    async fn progress(&self, id: &str) -> Option<Progress> {
        let url = self.target.url(&["saga", "status", id]).ok()?;
        self.target.get(url).await.ok()?.read().ok()
    }
}

fn headers<const N: usize>(all: [(&'static str, &str); N]) -> HeaderMap {
    let header = |(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?));
    all.into_iter().filter_map(header).collect()
}
