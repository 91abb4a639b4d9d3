//! `status`: how one purchase stands.

use clap::Args;

use crate::Ended;
use crate::client::Target;
use crate::output::{self, text};

/// The options of `status`.
#[derive(Args)]
pub(crate) struct Status {
    /// The transaction id
    id: String,
    #[command(flatten)]
    target: Target,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<Ended> {
        let saga = self.target.get(&format!("/saga/status/{}", self.id)).await?;
        if self.target.json {
            output::json(&saga);
            return Ok(Ended::Done);
        }
        output::table(
            ["transaction", "status", "user", "amount", "product", "payment", "error"],
            [["transaction_id", "status", "user_id", "amount", "product_id", "payment_id", "error_message"]
                .map(|name| text(&saga[name]))],
        );
        let steps = saga["steps"].as_array().cloned().unwrap_or_default();
        let rows = steps
            .iter()
            .map(|step| ["step", "participant", "state", "attempts", "error"].map(|name| text(&step[name])));
        output::table(["step", "participant", "state", "attempts", "error"], rows);
        Ok(Ended::Done)
    }
}
