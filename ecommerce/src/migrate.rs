//! `migrate`: creates missing databases and applies all migrations.

use clap::Args;
use serde_json::json;

use crate::{
    configuration::{self, Configuration},
    ending::{Ended, Failure},
    output,
    services::{self, SERVICES},
};

#[derive(Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    configuration: Configuration,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let settings = configuration::with_databases(self.configuration.load()?, &SERVICES)?;
        let migrated = services::migrate(&settings).await?;
        if self.json {
            let all: Vec<_> = migrated
                .iter()
                .map(|one| json!({"service": one.service, "database": one.database, "applied": one.applied}))
                .collect();
            output::tell(&json!({ "databases": all }).to_string());
            return Ok(Ended::Done);
        }
        output::tell(&output::table(
            ["service", "database", "migrations applied"],
            migrated
                .into_iter()
                .map(|one| [one.service.to_owned(), one.database, one.applied.to_string()].map(output::cell)),
        ));
        Ok(Ended::Done)
    }
}
