//! `list`: purchases, newest first.

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Ended;
use crate::client::Target;
use crate::output::{self, text};

/// The options of `list`.
#[derive(Args)]
pub(crate) struct List {
    /// Only those that stand like this: PENDING, COMPENSATING, COMPLETED, COMPENSATED or FAILED
    #[arg(long)]
    status: Option<String>,
    /// Only this user's
    #[arg(long)]
    user: Option<String>,
    /// How many, at most 1000
    #[arg(long, default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    target: Target,
}

impl List {
    pub(crate) async fn run(self) -> anyhow::Result<Ended> {
        let mut path = format!("/saga/transactions?limit={}", self.limit);
        for (name, value) in [("status", &self.status), ("user_id", &self.user)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
            }
        }
        let page = self.target.get(&path).await?;
        if self.target.json {
            output::json(&page);
            return Ok(Ended::Done);
        }
        let sagas = page["transactions"].as_array().cloned().unwrap_or_default();
        let columns = ["transaction_id", "status", "user_id", "amount", "created_at", "error_message"];
        output::table(
            ["transaction", "status", "user", "amount", "created", "error"],
            sagas.iter().map(|saga| columns.map(|name| text(&saga[name]))),
        );
        println!("{} of {}", sagas.len(), page["total"]);
        Ok(Ended::Done)
    }
}
