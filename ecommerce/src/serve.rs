//! `serve`: runs one service, for production. Checks at start that its database exists and is migrated, so that the
//! first request does not fail on it.

use std::{sync::Arc, time::Duration};

use clap::{Args, builder::PossibleValuesParser};
use common::{
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
        let mut settings =
            configuration::with_databases(self.configuration.load_for_services(ServiceName::Of(service))?, &[service])?;
        configuration::announce(&settings);
        if let (Some(port), Some(service)) = (self.port, settings.services.get_mut(service)) {
            service.port = port;
        }
        match self.node_id {
            Some(_) if service != orchestrator::SERVICE => {
                return Err(Failure::Usage(format!("--node-id is for the orchestrator, not for {service}")));
            }
            Some(node_id) => settings.orchestrator.node_id = node_id,
            None => {}
        }
        match self.hold {
            true if service != orchestrator::SERVICE => {
                return Err(Failure::Usage(format!("--hold is for the orchestrator, not for {service}")));
            }
            true => settings.orchestrator.hold = true,
            false => {}
        }
        open_files::fit(&mut settings, 1);
        let signals = Signals::listen(Hangup::IsIgnored, Duration::from_millis(settings.http.drain_delay_ms))?;
        let (listener, address) = services::bind(&settings, service).await?;
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
        match telemetry::logs_are_json() {
            true => info!(service, url = %format_args!("http://{address}"), "the service is running"),
            false => output::tell(&format!("{service} http://{address}")),
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
}
