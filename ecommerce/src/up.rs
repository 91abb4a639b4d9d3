//! `up`: everything in one process. What can fail before anything runs (configuration, ports, the database) fails first.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use common::config::Settings;
use common::telemetry;
use ecommerce::embedded_postgres::{EmbeddedPostgres, Options, default_data_dir};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::settings::Configuration;
use crate::{Ended, migrate};

/// The node id of a process that runs everything: the same with every start, so that it finds its sagas again.
const NODE_ID: &str = "up";

/// The options of `up`.
#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    configuration: Configuration,
    /// Where the PostgreSQL of its own keeps its data [default: /var/lib/ecommerce as root, else under your data home]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Never fetches PostgreSQL's binaries
    #[arg(long)]
    offline: bool,
}

impl Up {
    pub(crate) async fn run(self) -> anyhow::Result<Ended> {
        let mut settings = self.configuration.load()?;
        telemetry::init(&settings.telemetry);
        let _ = telemetry::metrics_handle();
        if settings.orchestrator.node_id.is_empty() {
            settings.orchestrator.node_id = NODE_ID.to_owned();
        }
        let mut listeners = Vec::new();
        for service in services() {
            let listener = bind(&settings, service).await?;
            let address = listener.local_addr()?;
            if let Some(service) = settings.services.get_mut(service) {
                service.port = address.port();
                if service.url.is_empty() || service.url.ends_with(":0") {
                    service.url = format!("http://{address}");
                }
            }
            listeners.push((service, listener, address));
        }
        let postgres = self.database(&mut settings).await?;
        let ran = run(settings, listeners).await;
        if let Some(postgres) = postgres {
            tokio::task::spawn_blocking(move || postgres.stop())
                .await?
                .context("PostgreSQL did not stop as it should")?;
        }
        ran
    }

    /// Starts a PostgreSQL unless one is configured, and brings the databases up to date.
    async fn database(&self, settings: &mut Settings) -> anyhow::Result<Option<EmbeddedPostgres>> {
        let mut postgres = None;
        if settings.database.url.expose_secret().is_empty() {
            let data_dir = match &self.data_dir {
                Some(data_dir) => data_dir.clone(),
                None => default_data_dir()?,
            };
            let options = Options { offline: self.offline, ..Options::new(data_dir) };
            let started = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(options)).await??;
            settings.database.url = SecretString::from(started.url());
            postgres = Some(started);
        }
        migrate::all(settings).await?;
        Ok(postgres)
    }
}

/// Returns the names of all services, the participants first.
pub(crate) fn services() -> impl Iterator<Item = &'static str> {
    domain_services::PARTICIPANTS.into_iter().chain([orchestrator::SERVICE])
}

/// Binds a service's port.
pub(crate) async fn bind(settings: &Settings, service: &str) -> anyhow::Result<TcpListener> {
    let address = settings.listen_address(service);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{service} cannot listen on {address}; free the port or set services.{service}.port"))
}

async fn run(settings: Settings, listeners: Vec<(&'static str, TcpListener, SocketAddr)>) -> anyhow::Result<Ended> {
    let settings = Arc::new(settings);
    let (stop_participants, stop_orchestrator) = (CancellationToken::new(), CancellationToken::new());
    let mut participants = tokio::task::JoinSet::new();
    let mut coordinator = None;
    let mut front = None;
    let mut shown = Vec::new();
    for (service, listener, address) in listeners {
        shown.push(format!("  {service:<13} http://{address}"));
        if service == orchestrator::SERVICE {
            coordinator = Some(orchestrator::start(settings.clone(), listener, stop_orchestrator.clone()).await?);
            front = Some(address);
        } else {
            let running =
                domain_services::start(service, settings.clone(), listener, stop_participants.clone()).await?;
            participants
                .spawn(async move { running.finished().await.map_err(|reason| format!("{service}: {reason}")) });
        }
    }
    let (Some(coordinator), Some(front)) = (coordinator, front) else { bail!("there is no orchestrator") };
    println!("Running, profile {}:\n{}\n", settings.profile, shown.join("\n"));
    println!(
        "Try:\n  curl -X POST http://{front}/saga/transaction -H 'content-type: application/json' \\\n    -d '{{\"user_id\":\"user-123\",\"amount\":99.99}}'\n\nCtrl-C stops."
    );
    let mut orchestrating = tokio::spawn(coordinator.finished());
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whatever ends first, the rest is stopped in order: the orchestrator's sagas need the participants.
    let failed = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        ended = &mut orchestrating => Some(ended?.err().unwrap_or_else(|| "the orchestrator stopped".to_owned())),
        Some(ended) = participants.join_next() => Some(ended?.err().unwrap_or_else(|| "a participant stopped".to_owned())),
    };
    let stopping = async {
        stop_orchestrator.cancel();
        if !orchestrating.is_finished() {
            let _ = (&mut orchestrating).await;
        }
        stop_participants.cancel();
        while participants.join_next().await.is_some() {}
    };
    eprintln!("Stopping: running sagas finish first (Ctrl-C again to stop at once).");
    tokio::select! {
        () = stopping => {}
        _ = interrupt.recv() => eprintln!("Stopped at once; the next start goes on with what was running."),
    }
    match failed {
        None => Ok(Ended::Done),
        Some(reason) => bail!("{reason}"),
    }
}
