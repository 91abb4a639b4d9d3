//! `serve`: runs one service, for production. Checks at start that its database exists and is migrated, so that the
//! first request does not fail on it.

use std::{sync::Arc, time::Duration};

use clap::{Args, builder::PossibleValuesParser};
use common::{
    config::FlagSetting,
    db,
    http::Transport,
    telemetry::{self, ServiceName},
};
use tracing::info;

use crate::{
    configuration::{self, Configuration},
    ending::{Ended, Failure},
    open_files, output, service_manager,
    services::{self, SERVICES, Threads},
    signals::{Hangup, Signals},
};

#[derive(Args)]
pub(crate) struct Serve {
    /// Service to run
    #[arg(value_parser = PossibleValuesParser::new(SERVICES))]
    service: String,
    /// Port to listen on; 0 takes any free one
    #[arg(long)]
    port: Option<u16>,
    /// Name of this orchestrator; with a fixed name it resumes its sagas at once after a crash
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// Start with all purchases on hold, after a restore: none starts or continues until `ecommerce release`
    #[arg(long)]
    hold: bool,
    #[command(flatten)]
    configuration: Configuration,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let service = SERVICES
            .into_iter()
            .find(|name| *name == self.service)
            .ok_or_else(|| Failure::Usage(format!("{} is not a service", self.service)))?;
        let settings = self.configuration.load_for_services(ServiceName::Of(service), self.flags(service)?)?;
        let mut settings = configuration::with_databases(settings, &[service])?;
        configuration::announce(&settings);
        open_files::fit(&mut settings, 1);
        let signals = Signals::listen(Hangup::IsIgnored, Duration::from_millis(settings.http.drain_delay_ms))?;
        let (listener, address) = services::bind(&mut settings, service).await?;
        let (url, database) = (settings.database_url(service), settings.service(service).database.clone());
        let start_wait = Duration::from_millis(settings.database.start_wait_ms);
        tokio::select! {
            () = signals.shutdown.announced.cancelled() => return Ok(signals.ended()),
            answered = db::wait_for(&url, Some(&database), start_wait) => {
                answered.map_err(services::database_failure(&settings, service))?;
            }
        }
        services::check_migrated(&settings, service).await?;

        let settings = Arc::new(settings);
        let threads = Threads::start(&settings, 1)?;
        let running = threads.run(service, settings, listener, Transport::network(), signals.shutdown.clone()).await?;
        if telemetry::logs_are_json() {
            info!(service, url = %format_args!("http://{address}"), "the service is running")
        } else {
            output::tell(&format!("{service} http://{address}"))
        }
        service_manager::ready(service, address, &signals.shutdown);
        tokio::select! {
            ended = running.finished() => match ended {
                Ok(()) => Ok(signals.ended()),
                Err(reason) => Err(Failure::Broken(format!("{service} gave up: {reason}"))),
            },
            () = signals.force.cancelled() => Ok(Ended::Forced),
        }
    }
    /// Returns the settings among the flags, so that they are checked with all others.
    fn flags(&self, service: &str) -> Result<Vec<FlagSetting>, Failure> {
        let only_for = |flag: &str| Failure::Usage(format!("{flag} is for the orchestrator, not for {service}"));
        let mut flags = Vec::new();
        if let Some(port) = self.port {
            flags.push(FlagSetting::new("--port", format!("services.{service}.port"), port));
        }
        if let Some(node_id) = &self.node_id {
            if service != orchestrator::SERVICE {
                return Err(only_for("--node-id"));
            }
            flags.push(FlagSetting::new("--node-id", "orchestrator.node_id", node_id));
        }
        if self.hold {
            if service != orchestrator::SERVICE {
                return Err(only_for("--hold"));
            }
            flags.push(FlagSetting::new("--hold", "orchestrator.hold", true));
        }
        Ok(flags)
    }
}
