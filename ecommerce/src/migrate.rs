//! `migrate`: makes the databases that are missing and brings all of them up to date.

use std::time::Duration;

use clap::Args;
use common::config::Settings;
use common::db;
use secrecy::ExposeSecret;

use crate::settings::Configuration;
use crate::{Ended, Usage, up};

/// The options of `migrate`.
#[derive(Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    configuration: Configuration,
}

impl Migrate {
    pub(crate) async fn run(self) -> anyhow::Result<Ended> {
        let settings = self.configuration.load()?;
        if settings.database.url.expose_secret().is_empty() {
            return Err(
                Usage("migrate needs a database: set --database-url or ECOMMERCE__DATABASE__URL".to_owned()).into()
            );
        }
        for (database, applied) in all(&settings).await? {
            println!("{database}: {applied} migrations applied");
        }
        Ok(Ended::Done)
    }
}

/// Migrates every service's database; returns how many migrations each took.
pub(crate) async fn all(settings: &Settings) -> anyhow::Result<Vec<(String, usize)>> {
    let url = &settings.database.url;
    db::wait_for(url, Duration::from_millis(settings.database.start_wait_ms)).await?;
    let mut migrated = Vec::new();
    for service in up::services() {
        let database = settings.service(service).database.clone();
        let runner = match service == orchestrator::SERVICE {
            true => orchestrator::migrations(),
            false => domain_services::migrations(service),
        };
        db::ensure_database(url, &database).await?;
        let applied = db::migrate(url, &database, runner).await?;
        migrated.push((database, applied));
    }
    Ok(migrated)
}
