//! `hold` and `release`: keep sagas from running after a restore, until the databases are known to agree.
//!
//! Both write to the saga log's database directly, so that a hold can be set before any orchestrator runs. `release`
//! first audits the data and keeps the hold if it does not agree, unless an operator overrides it.

use std::path::PathBuf;

use clap::Args;
use common::{config::Settings, db::Connection};
use ecommerce::facts::Limits;
use orchestrator::{invariants::Run, store::hold};
use saga_engine::hold::Hold as Held;

use crate::{
    audit,
    configuration::Configuration,
    ending::{Ended, Failure},
    output, services,
};

#[derive(Args)]
pub(crate) struct Hold {
    /// Reason, shown in the health of the orchestrators
    #[arg(long, default_value = "restored, not yet audited")]
    reason: String,
    #[command(flatten)]
    configuration: Configuration,
    /// Data folder of the `ecommerce up` whose PostgreSQL is meant where no database is named
    #[arg(long, value_name = "DIR", env = "ECOMMERCE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Hold {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let settings = audit::with_servers(self.configuration.load()?, &[orchestrator::SERVICE], self.data_dir)?;
        let mut connection = saga_log(&settings).await?;
        hold::put(&mut connection, &self.reason).await.map_err(|error| failed(&error))?;
        let held = hold::look(&mut connection).await.map_err(|error| failed(&error))?;
        output::tell(&held.map_or_else(|| "released in the meantime".to_owned(), |held| sentence("on hold", &held)));
        Ok(Ended::Done)
    }
}

#[derive(Args)]
pub(crate) struct Release {
    /// Release even if the databases do not agree, once an operator has checked them
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    configuration: Configuration,
    /// Data folder of the `ecommerce up` whose PostgreSQL is meant where no database is named
    #[arg(long, value_name = "DIR", env = "ECOMMERCE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Release {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let settings = audit::with_servers(self.configuration.load()?, &audit::AUDITED, self.data_dir)?;
        let mut connection = saga_log(&settings).await?;
        if hold::look(&mut connection).await.map_err(|error| failed(&error))?.is_none() {
            output::tell("there is no hold");
            return Ok(Ended::Done);
        }
        let is_clean = match audit::audit(&settings, Run::Live, Limits::default()).await {
            Ok(report) => {
                output::tell(&audit::shown(&report));
                report.is_clean()
            }
            // A lost database cannot be judged, and its purchases cannot wait for ever.
            Err(failure) if self.anyway => {
                output::tell(&format!("not audited: {failure}"));
                false
            }
            Err(failure) => return Err(failure),
        };
        if !is_clean && !self.anyway {
            output::tell("still on hold: the databases do not agree. Check each violation, then `release --anyway`");
            return Ok(Ended::Refused);
        }
        let released = hold::release(&mut connection).await.map_err(|error| failed(&error))?;
        output::tell(&released.map_or_else(|| "there is no hold".to_owned(), |held| sentence("released", &held)));
        Ok(Ended::Done)
    }
}

async fn saga_log(settings: &Settings) -> Result<Connection, Failure> {
    services::check_migrated(settings, orchestrator::SERVICE).await?;
    let url = settings.database_url(orchestrator::SERVICE);
    let database = &settings.service(orchestrator::SERVICE).database;
    let opened = Connection::open_writable(&url, database, &settings.database).await;
    opened.map_err(services::database_failure(settings, orchestrator::SERVICE))
}

fn failed(error: &tokio_postgres::Error) -> Failure {
    Failure::broken("the saga log", error)
}

fn sentence(what: &str, held: &Held) -> String {
    output::printable(&format!("{what}: all sagas, held since {}: {}", held.since.to_rfc3339(), held.reason))
}
