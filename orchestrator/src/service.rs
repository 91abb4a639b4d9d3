//! The orchestrator's supervision tree, start and stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::config::{RetryPolicy, Settings};
use common::db::{self, DbError};
use common::group_commit::BatchSender;
use common::http::{Draining, HttpService, Transport, debug, server};
use common::service::{Running, Shutdown, actor_prefix};
use common::supervision::{self, ActorEntry, Handle, Root};
use common::traces::tracer;
use parking_lot::Mutex;
use smol_str::SmolStr;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::SetOnce;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::SERVICE;
use crate::api::cells::Cells;
use crate::api::{self, ApiContext, Dtm};
use crate::checkout::{self, StockRule};
use crate::definitions::{self, FilesError, KnownParticipants, Refresh, Registry, refresh};
use crate::dtm::{AllowedUrls, Branches};
use crate::events::events;
use crate::handover::{Handover, handover};
use crate::health::{self, Needs};
use crate::housekeeping::{Rules, housekeeping};
use crate::journals::Journals;
use crate::live::LiveWorld;
use crate::loss_watch::{LossWatch, loss_watch};
use crate::lost_commits::LostCommits;
use crate::meters;
use crate::neighbours::Neighbours;
use crate::participant_client::{BadUrl, ClientContext, Findings, client};
use crate::store::lease_session::LeaseSession;
use crate::store::replicated::Replicated;
use crate::store::writer::SagaLogWriter;
use crate::ui::{self, Ui};
use crate::waker::{Waker, waker};
use saga_definitions::Judgement;
use saga_engine::actor::Policy;
use saga_engine::clock::DatabaseClock;
use saga_engine::coordinator::{CoordinatorArguments, coordinator};
use saga_engine::definition::{Definition, DefinitionError};
use saga_engine::failed::Sleep;
use saga_engine::lease::{LeaseArguments, LeaseState, lease};
use saga_engine::owner::Owner;
use saga_engine::plan::Patience;
use saga_engine::recovery::{Claimer, RecoveryArguments, recovery};
use saga_engine::running;
use saga_engine::stall::{StallArguments, stall_watch};
use saga_engine::world::World;

/// Time to stop the rest of the tree, after the grace of running sagas.
const STOP_MARGIN: Duration = Duration::from_secs(25);
/// Poll interval while running sagas drain.
const DRAIN_LOOKS_EVERY: Duration = Duration::from_millis(20);
/// Time limit for the first lease; after it the start completes without one.
const FIRST_LEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the orchestrator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The listener has no address.
    #[error("the listener has no address")]
    Listener(#[source] std::io::Error),
    /// The database settings are invalid.
    #[error("the database settings are invalid")]
    Database(#[from] DbError),
    /// A table of steps breaks a rule of the engine.
    #[error("a saga definition is invalid")]
    Definition(#[from] DefinitionError),
    /// Files with saga definitions cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A participant cannot be called.
    #[error(transparent)]
    Participant(#[from] BadUrl),
    /// No HTTP client could be made.
    #[error("no HTTP client could be made")]
    Client(#[from] reqwest::Error),
    /// An actor did not start.
    #[error("the supervision tree did not start")]
    Tree(#[from] ractor::SpawnErr),
}

/// Starts the orchestrator on a listener. Its database must exist and be migrated, but need not be reachable yet. It calls
/// the participants by `transport`.
///
/// # Errors
/// [`StartError`].
pub async fn start(
    settings: Arc<Settings>,
    listener: TcpListener,
    transport: Transport,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let address = listener.local_addr().map_err(StartError::Listener)?;
    let prefix = actor_prefix(SERVICE);
    let entry = |name: &str, kind| ActorEntry::new(format!("{prefix}/{name}"), kind);
    let orchestrator = &settings.orchestrator;
    let database = settings.service(SERVICE).database.clone();
    let pool = db::pool_with_reserve(&settings.database_url(SERVICE), &database, &settings.database)?;
    let tracer = tracer(SERVICE, &settings);
    let incarnation = Uuid::new_v4();
    let node_id = match orchestrator.node_id.as_str() {
        // short, since the rows of all its sagas name it
        "" => format!("node-{}", &incarnation.simple().to_string()[..8]),
        fixed => fixed.to_owned(),
    };
    let owner = Arc::new(Owner { node_id, incarnation });
    let known: Vec<Arc<Definition>> = checkout::known_definitions()?.into_iter().map(Arc::new).collect();
    let rules = definitions::Rules {
        inline: settings.sagas.inline,
        dtm_longest_wait: Duration::from_millis(settings.dtm.backoff_max_ms),
    };
    let registry = Arc::new(Registry::new(known.clone(), participants(&settings), rules));
    let folder = settings.reload.as_ref().and_then(|source| source.dir.as_deref());
    let files = folder.map_or(Ok(Vec::new()), |folder| registry.read_folder(folder))?;
    let rule = if settings.checkout.compensate_inventory { StockRule::Restore } else { StockRule::Keep };
    let checkout = Arc::new(checkout::definition(rule)?);

    let (saga_log, saga_log_child) = BatchSender::new(
        entry("saga-log", "group commit"),
        "saga-log",
        pool.clone(),
        SagaLogWriter::new(owner.clone(), Duration::from_millis(orchestrator.begin_limit_ms), tracer.clone()),
        &settings.group_commit,
        tracer.clone(),
    );
    let running = Arc::new(running::Running::default());
    // Streams end as soon as a stop begins: they would delay it, and their clients reconnect to another node.
    let closing = shutdown.begun.child_token();
    let (events, event_children) = events(entry, orchestrator, &saga_log, &running, closing.clone());
    let mut children = vec![saga_log_child];
    children.extend(event_children);
    let housekeeping_entry = entry("housekeeping", "housekeeping");
    children.push(housekeeping(housekeeping_entry, saga_log.clone(), Rules::of(orchestrator)));
    let (mut clients, mut client_entries) = (BTreeMap::new(), Vec::new());
    let findings = Findings::default();
    let context = ClientContext { settings: &settings, transport, tracer: tracer.clone(), findings: findings.clone() };
    for (participant, operations) in operations(&known, &settings) {
        let handle = Handle::new();
        let entry = entry(&format!("{participant}-client"), "HTTP client");
        client_entries.push(entry.clone());
        children.push(client(entry, handle.clone(), participant.clone(), operations, &context)?);
        clients.insert(participant, handle);
    }
    children.push(waker(
        entry("waker", "waker"),
        Waker { saga_log: saga_log.clone(), confirmations: findings.confirmations.clone(), settings: settings.clone() },
    ));
    let lease_state = Arc::new(LeaseState::default());
    meters::measure_node(&lease_state, &running);
    let clock = Arc::new(DatabaseClock::default());
    let superseded = CancellationToken::new();
    let lost = Arc::<LostCommits>::default();
    let neighbours = Arc::new(Neighbours::new(&settings)?);
    children.push(loss_watch(
        entry("lost-commits", "watch"),
        LossWatch { saga_log: saga_log.clone(), lost: lost.clone(), neighbours: neighbours.clone() },
    ));
    let conflict = Arc::new(SetOnce::new());
    children.push(refresh(
        entry("definitions", "definitions"),
        Refresh {
            registry: registry.clone(),
            saga_log: saga_log.clone(),
            incarnation,
            files: Mutex::new(files),
            newest: Mutex::default(),
            unusable: Mutex::default(),
            conflict: conflict.clone(),
        },
    ));
    let barrier_limit = Duration::from_millis(settings.database.statement_timeout_ms);
    let replicated = Arc::new(Replicated::new(saga_log.clone(), barrier_limit));
    let world: Arc<dyn World> = Arc::new(LiveWorld {
        saga_log: saga_log.clone(),
        clients,
        settings: settings.clone(),
        clock: clock.clone(),
        cell: orchestrator.cell,
        claimer: Claimer {
            owner: owner.as_ref().clone(),
            definitions: Vec::new(),
            batch: i64::from(orchestrator.takeover_batch),
            max_claims: i32::try_from(orchestrator.max_claims).unwrap_or(i32::MAX),
        },
        definitions: registry.clone(),
        branches: Branches::new(
            Duration::from_millis(settings.participants.connect_timeout_ms),
            settings.participants.max_concurrent,
        )?,
        lease_session: Arc::new(
            LeaseSession::new(settings.database_url(SERVICE), database, settings.database.clone(), orchestrator.hold)
                .publishing(findings.outages.clone())
                .with_losses(lost.clone()),
        ),
        lease: lease_state.clone(),
        replicated: replicated.clone(),
    });
    children.push(lease(LeaseArguments {
        entry: entry("lease", "lease"),
        owner: owner.clone(),
        definitions: registry.clone(),
        state: lease_state.clone(),
        clock: clock.clone(),
        world: world.clone(),
        lease: Duration::from_millis(orchestrator.lease_ms),
        heartbeat: Duration::from_millis(orchestrator.heartbeat_ms),
        superseded: superseded.clone(),
    }));
    let handle = Handle::new();
    children.push(coordinator(
        handle.clone(),
        CoordinatorArguments {
            entry: entry("coordinator", "coordinator"),
            world: world.clone(),
            policy: policy(&settings),
            running: running.clone(),
            known: registry.clone(),
            max_running: orchestrator.max_running,
            tracer: tracer.clone(),
        },
    ));
    children.push(handover(
        entry("handover", "handover"),
        Handover {
            saga_log: saga_log.clone(),
            outages: findings.outages,
            owner: owner.clone(),
            lease: lease_state.clone(),
            lease_for: Duration::from_millis(orchestrator.lease_ms),
            running: running.clone(),
            coordinator: handle.clone(),
            settings: settings.clone(),
        },
    ));
    children.push(stall_watch(StallArguments {
        entry: entry("stall-watch", "watch"),
        running: running.clone(),
        after: Duration::from_millis(orchestrator.stalled_after_ms),
    }));
    let recovery_handle = Handle::new();
    children.push(recovery(RecoveryArguments {
        entry: entry("recovery", "recovery"),
        handle: recovery_handle.clone(),
        lease: lease_state.clone(),
        world: world.clone(),
        coordinator: handle.clone(),
        running: running.clone(),
        heartbeat: Duration::from_millis(orchestrator.heartbeat_ms),
        lease_for: Duration::from_millis(orchestrator.lease_ms),
        sweep: Duration::from_millis(orchestrator.sweep_ms),
        node_id: owner.node_id.clone(),
        stopping: shutdown.begun.clone(),
    }));
    let health = health::check(Needs {
        pool,
        saga_log: saga_log.clone(),
        lease: lease_state.clone(),
        clients: client_entries.clone(),
        stalled_after: Duration::from_millis(settings.health.writer_stalled_ms),
    });
    let handing_over = CancellationToken::new();
    let api = ApiContext {
        coordinator: handle,
        checkout,
        definitions: registry,
        dtm_urls: Arc::new(AllowedUrls::new(&settings.dtm.allowed_urls)),
        recovery: recovery_handle,
        running: running.clone(),
        saga_log,
        replicated,
        lease: lease_state.clone(),
        journals: Arc::new(Journals::of_named(&settings)?.and_of_ours(&settings, known.iter().map(AsRef::as_ref))?),
        events,
        world,
        cells: Arc::new(Cells::new(&settings, closing.clone())?),
        wait_limit: Duration::from_millis(orchestrator.wait_limit_ms),
        begin_limit: Duration::from_millis(orchestrator.begin_limit_ms),
        clock: clock.clone(),
        handing_over: handing_over.clone(),
    };
    let root = ActorEntry::new(prefix.clone(), "supervisor");
    let draining = Draining::announced_by(shutdown.announced);
    let dtm = if settings.dtm.enabled { Dtm::Spoken } else { Dtm::NotSpoken };
    let front = HttpService {
        service: SERVICE,
        routes: api::routes(&api, dtm)
            .merge(ui::routes(&Ui::new(&api, neighbours, client_entries, settings.clone())))
            .merge(debug::routes(SERVICE, root.clone(), None)),
        settings: settings.clone(),
        health,
        draining: draining.clone(),
        tracer: tracer.clone(),
        calls: None,
    };
    children.push(server(entry("front", "HTTP server"), front, listener));
    let tree = supervision::start(settings.supervision.supervisor(root.clone(), children)).await?;
    wait_for_first_lease(&lease_state).await;
    info!(%address, "orchestrator started");
    let grace = Duration::from_millis(orchestrator.grace_ms);
    let end = tokio::spawn(async move {
        let ended = tokio::select! {
            biased;
            () = shutdown.begun.cancelled() => {
                draining.begin();
                drain(&running, grace).await;
                handing_over.cancel();
                tree.stop(STOP_MARGIN).await;
                Ok(())
            }
            () = superseded.cancelled() => {
                closing.cancel();
                fail(&tree, "another process has taken this node id".to_owned()).await
            }
            conflict = conflict.wait() => {
                closing.cancel();
                fail(&tree, conflict.clone()).await
            }
            reason = tree.gave_up() => {
                closing.cancel();
                fail(&tree, reason).await
            }
        };
        tracer.stop().await;
        ended
    });
    Ok(Running { address, root, end })
}

/// Returns the participants that definitions can name.
fn participants(settings: &Settings) -> KnownParticipants {
    let ours = ["catalog", "payments", "inventory", "purchases"].map(|name| (name.to_owned(), Judgement::Recorded));
    let named = settings.named_participants.iter().map(|(name, named)| (name.clone(), named.judgement));
    KnownParticipants(ours.into_iter().chain(named).collect())
}

/// Returns the participants of these definitions, each with the operations that their steps use, and those that users
/// name.
fn operations(known: &[Arc<Definition>], settings: &Settings) -> BTreeMap<SmolStr, Vec<SmolStr>> {
    let named = settings.named_participants.keys();
    let mut operations: BTreeMap<SmolStr, Vec<_>> = named.map(|name| (name.into(), Vec::new())).collect();
    for step in known.iter().flat_map(|known| known.steps()) {
        let of_participant = operations.entry(step.participant.clone()).or_default();
        let used = [Some(&step.action), step.compensation()].into_iter().flatten();
        of_participant.extend(used.map(|operation| operation.name.clone()));
    }
    operations
}

async fn fail(tree: &Root, reason: String) -> Result<(), String> {
    error!(%reason, "orchestrator gave up");
    tree.stop(STOP_MARGIN).await;
    Err(reason)
}

/// Waits until no saga runs here, at most for the grace; the remaining sagas are continued by another owner, or by this
/// node after its restart.
async fn drain(running: &running::Running, grace: Duration) {
    let give_up = Instant::now() + grace;
    while !running.is_empty() {
        if Instant::now() >= give_up {
            warn!(sagas = running.len(), "the grace period is over: the next owner continues these sagas");
            return;
        }
        tokio::time::sleep(DRAIN_LOOKS_EVERY).await;
    }
}

async fn wait_for_first_lease(lease: &LeaseState) {
    let give_up = Instant::now() + FIRST_LEASE_TIMEOUT;
    while !lease.is_valid() && lease.hold().is_none() && Instant::now() < give_up {
        tokio::time::sleep(DRAIN_LOOKS_EVERY).await;
    }
}

fn policy(settings: &Settings) -> Policy {
    let patience = |retry: &RetryPolicy| Patience {
        attempts: retry.attempts,
        backoff_min: Duration::from_millis(retry.backoff_min_ms),
        backoff_max: Duration::from_millis(retry.backoff_max_ms),
    };
    Policy {
        action: patience(&settings.retry.action),
        compensation: patience(&settings.retry.compensation),
        call_timeout: Duration::from_millis(settings.participants.timeout_ms),
        deadline: Duration::from_millis(settings.orchestrator.deadline_ms),
        attention_after_attempts: settings.orchestrator.attention_after_attempts,
        attention_after: Duration::from_millis(settings.orchestrator.attention_after_ms),
        failed: Sleep {
            min: Duration::from_millis(settings.retry.failed.backoff_min_ms),
            max: Duration::from_millis(settings.retry.failed.backoff_max_ms),
        },
        begin_limit: Duration::from_millis(settings.orchestrator.begin_limit_ms),
    }
}
