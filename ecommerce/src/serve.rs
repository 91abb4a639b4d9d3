//! `serve`: one service, for production. Its database must be there and migrated.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use common::{db, telemetry};
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::settings::Configuration;
use crate::{Ended, Usage, up};

/// The options of `serve`.
#[derive(Args)]
pub(crate) struct Serve {
    /// Which service
    #[arg(value_parser = ["orchestrator", "catalog", "payments", "inventory", "purchases"])]
    service: String,
    #[command(flatten)]
    configuration: Configuration,
    /// The port to listen on
    #[arg(long)]
    port: Option<u16>,
    /// The orchestrator's node id: a fixed one finds its sagas again at once after a crash
    #[arg(long)]
    node_id: Option<String>,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<Ended> {
        let mut settings = self.configuration.load()?;
        telemetry::init(&settings.telemetry);
        let _ = telemetry::metrics_handle();
        if let (Some(port), Some(service)) = (self.port, settings.services.get_mut(&self.service)) {
            service.port = port;
        }
        if let Some(node_id) = self.node_id {
            settings.orchestrator.node_id = node_id;
        }
        if settings.database.url.expose_secret().is_empty() {
            return Err(
                Usage("serve needs a database: set --database-url or ECOMMERCE__DATABASE__URL".to_owned()).into()
            );
        }
        let listener = up::bind(&settings, &self.service).await?;
        let wait = Duration::from_millis(settings.database.start_wait_ms);
        db::wait_for(&settings.database.url, wait).await?;
        let database = settings.service(&self.service).database.clone();
        // A database that is not there, or was never migrated, is said now and not by the first request.
        db::Connection::open(&settings.database.url, &database, &settings.database)
            .await
            .map_err(|error| anyhow::anyhow!("{error}; `ecommerce migrate` makes the databases"))?
            .client()
            .query_one("select max(version) from refinery_schema_history", &[])
            .await
            .map_err(|_| anyhow::anyhow!("database {database} is not migrated; run `ecommerce migrate`"))?;
        let settings = Arc::new(settings);
        let shutdown = CancellationToken::new();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stop = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.cancel();
        });
        let finished = if self.service == orchestrator::SERVICE {
            orchestrator::start(settings, listener, shutdown).await?.finished().await
        } else {
            domain_services::start(&self.service, settings, listener, shutdown).await?.finished().await
        };
        match finished {
            Ok(()) => Ok(Ended::Done),
            Err(reason) => bail!("{} gave up: {reason}", self.service),
        }
    }
}
