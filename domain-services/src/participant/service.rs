//! A running service: its supervision tree, start and shutdown.
//!
//! ```text
//! stack-1/payments (supervisor)
//! ├─ ledger   group commit, owns the pool
//! ├─ …        the service's own actors
//! ├─ faults   watches the configuration, if failure settings may change
//! └─ front    the HTTP server
//! ```
//! They start in this order and stop in reverse: the front drains first, while the actors it depends on still run.

use std::{pin::Pin, sync::Arc, time::Duration};

use common::{
    config::{ConfigSource, Settings},
    db::{self, DbError},
    faults::{FaultChanges, FaultSampler, FaultWatcher, FaultWatcherArgs},
    group_commit::{BatchSender, BatchWriter},
    http::{Check, Draining, HealthCheck, HttpService, Routes, Transport, debug, server},
    service::{Running, Shutdown, actor_prefix},
    supervision::{self, ActorEntry, ChildSpec, Handle},
    traces::tracer,
};
use futures::future::join3;
use refinery::Runner;
use thiserror::Error;
use tokio::net::TcpListener;
use tracing::{error, info};

/// The parts of the tree that differ by service.
pub(crate) trait Service: Send + Sync + 'static {
    /// Used in configuration, paths, metrics and logs.
    const NAME: &'static str;
    /// The writer of its ledger.
    type Writer: BatchWriter;

    fn migrations() -> Runner;
    fn writer(settings: &Settings) -> Self::Writer;
    /// Makes its routes and its own actors.
    fn assemble(parts: Parts<'_, Self::Writer>) -> Assembly;
}

/// Inputs for the routes and actors of a service.
pub(crate) struct Parts<'a, W: BatchWriter> {
    pub(crate) ledger: BatchSender<W>,
    pub(crate) sampler: FaultSampler,
    pub(crate) settings: &'a Settings,
    /// Prefix of its actors' names.
    pub(crate) prefix: &'a str,
}

/// A service's own routes and actors.
pub(crate) struct Assembly {
    pub(crate) routes: Routes,
    pub(crate) children: Vec<ChildSpec>,
}

/// An entry of the registry.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) migrations: fn() -> Runner,
    pub(crate) start: fn(Arc<Settings>, TcpListener, Transport, Shutdown) -> Starting,
}

/// The future of a start.
pub(crate) type Starting = Pin<Box<dyn Future<Output = Result<Running, StartError>> + Send>>;

/// Makes the registry entry of a service.
pub(crate) const fn entry<S: Service>() -> Entry {
    Entry {
        name: S::NAME,
        migrations: S::migrations,
        start: |settings, listener, transport, shutdown| Box::pin(start::<S>(settings, listener, transport, shutdown)),
    }
}

/// Why a service did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No domain service has this name.
    #[error("{0} is not a domain service")]
    Unknown(String),
    /// The listener has no address.
    #[error("the listener has no address")]
    Listener(#[source] std::io::Error),
    /// The database settings are invalid.
    #[error("the database settings are invalid")]
    Database(#[from] DbError),
    /// An actor did not start.
    #[error("the supervision tree did not start")]
    Tree(#[from] ractor::SpawnErr),
}

async fn start<S: Service>(
    settings: Arc<Settings>,
    listener: TcpListener,
    transport: Transport,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let address = listener.local_addr().map_err(StartError::Listener)?;
    let pool = db::pool(&settings.database_url(S::NAME), &settings.service(S::NAME).database, &settings.database)?;
    let prefix = actor_prefix(S::NAME);
    let sampler = FaultSampler::new(S::NAME, &settings.faults);
    let entry = |name: &str, kind| ActorEntry::new(format!("{prefix}/{name}"), kind);
    let writer = S::writer(&settings);
    let tracer = tracer(S::NAME, &settings);
    let (ledger, ledger_child) = BatchSender::new(
        entry("ledger", "group commit"),
        S::NAME,
        pool.clone(),
        writer,
        &settings.group_commit,
        tracer.clone(),
    );
    let stalled_after = Duration::from_millis(settings.health.writer_stalled_ms);
    let health = health(pool, ledger.clone(), stalled_after);
    let assembly = S::assemble(Parts { ledger, sampler: sampler.clone(), settings: &settings, prefix: &prefix });

    let root = ActorEntry::new(prefix.clone(), "supervisor");
    let draining = Draining::announced_by(shutdown.announced);
    let lab = debug::Lab { sampler: sampler.clone(), changes: settings.fault_changes() };
    let front = HttpService {
        service: S::NAME,
        routes: assembly.routes.merge(debug::routes(S::NAME, root.clone(), Some(lab))),
        settings: settings.clone(),
        health,
        draining: draining.clone(),
        tracer: tracer.clone(),
        calls: Some(transport),
    };
    let mut children = vec![ledger_child];
    children.extend(assembly.children);
    let reloaded = settings.reload.clone().filter(|_| settings.fault_changes() == FaultChanges::Allowed);
    children.extend(reloaded.map(|source| faults(entry("faults", "failure lab"), source, sampler)));
    children.push(server(entry("front", "HTTP server"), front, listener));
    let tree = supervision::start(settings.supervision.supervisor(root.clone(), children)).await?;
    info!(service = S::NAME, %address, "service started");
    let grace = Duration::from_millis(settings.http.drain_grace_ms) + STOP_MARGIN;
    let end = tokio::spawn(async move {
        let ended = tokio::select! {
            biased;
            () = shutdown.begun.cancelled() => {
                draining.begin();
                tree.stop(grace).await;
                Ok(())
            }
            reason = tree.gave_up() => {
                error!(service = S::NAME, %reason, "service gave up");
                Err(reason)
            }
        };
        tracer.stop().await;
        ended
    });
    Ok(Running { address, root, end })
}

/// Added to the front's own grace period, for the rest of the tree.
const STOP_MARGIN: Duration = Duration::from_secs(5);

fn health<W: BatchWriter>(pool: db::Pool, ledger: BatchSender<W>, stalled_after: Duration) -> HealthCheck {
    Arc::new(move || {
        let (pool, ledger) = (pool.clone(), ledger.clone());
        Box::pin(async move {
            let (database, writer, lost) =
                join3(db::check_writable(&pool), ledger.check_writer(stalled_after), ledger.lost_commits()).await;
            let mut checks = vec![Check::new("database", database), Check::new("writer", writer)];
            checks.extend(Check::of_lost_commits(lost.as_deref()));
            checks
        })
    })
}

fn faults(entry: Arc<ActorEntry>, source: ConfigSource, sampler: FaultSampler) -> ChildSpec {
    let shared = entry.clone();
    supervision::child(entry, Handle::new(), move || {
        (FaultWatcher, FaultWatcherArgs { source: source.clone(), sampler: sampler.clone(), entry: shared.clone() })
    })
}
