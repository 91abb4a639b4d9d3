//! `up`: all services in one process.
//!
//! ```text
//! ports bound ─► PostgreSQL started or reached ─► databases migrated ─► participants, orchestrator ─► URLs shown
//! first signal, and http.drain_delay_ms ─► orchestrator (running sagas end) ─► participants ─► PostgreSQL ─► exit 0
//! ```
//! Checks that can fail come first: a taken port leaves nothing half started.

mod database;
mod stack;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use common::{
    config::{FlagSetting, PRODUCTION, Settings, reachable},
    telemetry::{self, ServiceName},
};
use tokio::net::TcpListener;
use tracing::info;

use self::{database::Database, stack::Stack};
use crate::{
    configuration::{self, Configuration},
    ending::{Ended, Failure},
    load::REFUSING,
    open_files, output,
    services::{self, SERVICES},
    signals::{Hangup, Signals},
};

/// Default identity of the orchestrator: the same at every start, so that it resumes its sagas at once. Two
/// orchestrators with it on one database lock each other out.
const NODE_ID: &str = "up";

#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    configuration: Configuration,
    /// Data folder of PostgreSQL [default: $XDG_DATA_HOME/ecommerce or ~/.local/share/ecommerce, as root
    /// /var/lib/ecommerce]
    #[arg(long, value_name = "DIR", env = "ECOMMERCE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Start with all purchases on hold, after a restore: none starts or continues until `ecommerce release`
    #[arg(long)]
    hold: bool,
    /// Do not download PostgreSQL if none is installed
    #[arg(long)]
    offline: bool,
    /// Print the addresses of the services as one line of JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Format of the message that all services run.
#[derive(Clone, Copy)]
enum MessageFormat {
    Text,
    Json,
}

struct Bound {
    service: &'static str,
    listener: TcpListener,
    address: SocketAddr,
}

impl Up {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let hold = self.hold.then(|| FlagSetting::new("--hold", "orchestrator.hold", true));
        let name = ServiceName::ByTarget(services::name_of);
        let mut settings = self.configuration.load_for_services(name, hold.into_iter().collect())?;
        configuration::announce(&settings);
        if settings.orchestrator.node_id.is_empty() {
            settings.orchestrator.node_id = NODE_ID.to_owned();
        }
        let format = if self.json { MessageFormat::Json } else { MessageFormat::Text };
        let hangup = if settings.profile == PRODUCTION { Hangup::IsIgnored } else { Hangup::Stops };
        let signals = Signals::listen(hangup, Duration::from_millis(settings.http.drain_delay_ms))?;
        open_files::fit(&mut settings, SERVICES.len());
        let bound = bind_all(&mut settings).await?;
        let database = Database::start(&mut settings, self.data_dir, self.offline).await?;
        let ran = tokio::select! {
            () = signals.shutdown.announced.cancelled() => Ok(()),
            migrated = database.prepare(&settings) => match migrated {
                Ok(()) => run(settings, bound, &database, &signals, format).await,
                Err(failure) => Err(failure),
            },
        };
        let stopped = database.stop().await;
        ran.and(stopped)?;
        Ok(signals.ended())
    }
}

/// Binds all ports.
async fn bind_all(settings: &mut Settings) -> Result<Vec<Bound>, Failure> {
    let mut all = Vec::new();
    for service in SERVICES {
        let (listener, address) = services::bind(settings, service).await?;
        all.push(Bound { service, listener, address });
    }
    Ok(all)
}

/// Runs the services until a signal; fails if one of them gives up.
async fn run(
    settings: Settings,
    bound: Vec<Bound>,
    database: &Database,
    signals: &Signals,
    format: MessageFormat,
) -> Result<(), Failure> {
    let profile = settings.profile.clone();
    let refusing = refusing(&settings);
    let addresses: Vec<_> = bound.iter().map(|bound| (bound.service, bound.address)).collect();
    let mut stack = Stack::start(Arc::new(settings), bound, signals).await?;
    match format {
        MessageFormat::Json => output::tell(&document(&profile, &addresses, database)),
        MessageFormat::Text if telemetry::logs_are_json() => {
            for (service, address) in &addresses {
                info!(service, url = %format_args!("http://{}", reachable(*address)), "the service is running");
            }
            info!(profile, "all services are running");
        }
        MessageFormat::Text => output::tell(&welcome(&profile, &addresses, database, &refusing)),
    }
    let gave_up = tokio::select! {
        () = signals.shutdown.begun.cancelled() => None,
        reason = stack.gave_up() => Some(reason),
        () = database.keep_alive() => None,
    };
    stack.stop(signals).await;
    match gave_up {
        None => Ok(()),
        Some(reason) => Err(Failure::Broken(reason)),
    }
}

/// The welcome message as JSON.
fn document(profile: &str, addresses: &[(&str, SocketAddr)], database: &Database) -> String {
    let urls: BTreeMap<_, _> =
        addresses.iter().map(|(service, address)| (*service, format!("http://{}", reachable(*address)))).collect();
    serde_json::json!({ "profile": profile, "services": urls, "database": database.url() }).to_string()
}

/// Returns the participants that refuse on purpose, with their rates in percent.
fn refusing(settings: &Settings) -> Vec<String> {
    let rate = |service, operation| Some(settings.faults.services.get(service)?.get(operation)?.failure_rate * 100.0);
    let rates = REFUSING.into_iter().filter_map(|(service, operation)| Some((service, rate(service, operation)?)));
    // Rounded, since a share such as 0.333 has no exact percentage.
    let percent = |rate: f64| (rate * 10.0).round() / 10.0;
    rates.filter(|(_, rate)| *rate > 0.0).map(|(service, rate)| format!("{service} {} %", percent(rate))).collect()
}

fn welcome(profile: &str, addresses: &[(&str, SocketAddr)], database: &Database, refusing: &[String]) -> String {
    let pid = std::process::id();
    let mut lines = vec![format!("all services are running (profile {profile}, process {pid}):")];
    let mut front = String::new();
    for (service, address) in addresses {
        let url = format!("http://{}", reachable(*address));
        lines.push(format!("  {service:<13} {url}"));
        if *service == orchestrator::SERVICE {
            front = url;
        }
    }
    lines.push(format!("  {:<13} {front}/ui/", "dashboard"));
    lines.extend(database.url().map(|url| format!("  {:<13} {url}", "database")));
    lines.extend(database.data_dir().map(|folder| format!("  {:<13} {}", "data", folder.display())));
    if !refusing.is_empty() {
        lines.push(format!(
            "the failure lab refuses requests on purpose ({}), so most purchases are refused\n  to turn it off: \
             `No failures` at {front}/ui/#/lab, or `--profile bench`, or faults.*.failure_rate in the configuration",
            refusing.join(", ")
        ));
    }
    lines.push(format!(
        "open the dashboard in a browser, or try in another terminal:\n  ecommerce order --user me --amount 9.99{}\n  \
         curl -X POST {front}/saga/transaction -H 'content-type: application/json' -d \
         '{{\"user_id\":\"user-123\",\"amount\":99.99}}'",
        if front.ends_with(":8000") { String::new() } else { format!(" --target {front}") }
    ));
    lines.push("Ctrl-C stops".to_owned());
    lines.join("\n")
}
