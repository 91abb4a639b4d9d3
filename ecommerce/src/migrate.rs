//! `migrate`: creates missing databases and applies all migrations.

use clap::Args;
use common::db::{Newer, OtherPrograms};
use serde_json::json;

use crate::{
    configuration::{self, Configuration},
    ending::{Ended, Failure},
    output::{self, OutputFormat},
    services::{self, SERVICES},
};

#[derive(Args)]
pub(crate) struct Migrate {
    /// All services are stopped: also apply migrations that lock out programs of earlier versions
    #[arg(long)]
    stopped: bool,
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    output: OutputFormat,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let settings = configuration::with_databases(self.configuration.load()?, &SERVICES)?;
        let others = if self.stopped { OtherPrograms::AreStopped } else { OtherPrograms::MayRun };
        let migrated = services::migrate(&settings, others).await?;
        if self.output.is_document() {
            let all: Vec<_> = migrated
                .iter()
                .map(|one| {
                    let newer = one.newer.map(|newer| json!({"applied": newer.applied, "known": newer.known}));
                    json!({"service": one.service, "database": one.database, "applied": one.applied, "newer": newer})
                })
                .collect();
            self.output.tell(&json!({ "databases": all }).to_string());
            return Ok(Ended::Done);
        }
        output::tell(&output::table(
            ["service", "database", "migrations applied"],
            migrated.iter().map(|one| [one.service, &one.database, &one.applied.to_string()].map(output::cell)),
        ));
        for one in &migrated {
            if let Some(Newer { applied, known }) = one.newer {
                output::tell(&format!(
                    "{} is at V{applied}, of a newer program: accepted; this one knows V{known}",
                    one.database
                ));
            }
        }
        Ok(Ended::Done)
    }
}
