//! `list`: purchases, newest first.

use clap::{Args, builder::PossibleValuesParser};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::{Target, exact},
    ending::{Ended, Failure},
    output,
};

const STATUSES: [&str; 5] = ["PENDING", "COMPENSATING", "COMPLETED", "COMPENSATED", "FAILED"];

/// The options of `list`.
#[derive(Args)]
pub(crate) struct List {
    /// Only those that stand like this
    #[arg(long, ignore_case = true, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// Only this user's
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where an earlier list left off
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Page {
    total: u64,
    transactions: Vec<Saga>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Saga {
    transaction_id: String,
    status: String,
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
        let filters = [("status", status), ("user_id", self.user), ("cursor", self.cursor)];
        url.query_pairs_mut().append_pair("limit", &self.limit.to_string());
        for (name, value) in filters {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let answer = self.target.get(url).await?;
        let page: Page = answer.read()?;
        match self.target.json {
            true => output::print(answer.body.trim_end()),
            false => output::print(&shown(page)),
        }
        Ok(Ended::Done)
    }
}

fn shown(page: Page) -> String {
    let count = page.transactions.len();
    let rows = page.transactions.into_iter().map(|saga| {
        let amount = saga.amount.as_deref().map(exact);
        [
            output::cell(&saga.transaction_id),
            output::state(&saga.status),
            output::optional(saga.user_id),
            output::optional(saga.product_id),
            output::optional(amount),
            output::moment(saga.created_at),
            output::optional(saga.error_message),
        ]
    });
    let header = ["transaction", "status", "user", "product", "amount", "created", "error"];
    let table = output::table(header, rows);
    let more = page
        .next_cursor
        .map_or_else(String::new, |cursor| format!("; more with --cursor {}", output::printable(&cursor)));
    format!("{table}\n{count} of {}{more}", page.total)
}
