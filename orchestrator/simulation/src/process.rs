//! The orchestrators of a run: the real actors for lease, coordinator, sagas and recovery under real supervisors, in
//! simulated processes that can be killed, paused, and replaced by another process with the same node id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::supervision::{ActorEntry, Backoff, Budget, Handle, Root, SupervisorSpec};
use common::traces::Tracer;
use rand::RngExt;
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fate::FaultPhase;
use super::line::Line;
use super::mutated_world::Mutated;
use super::mutation::{Mutation, is_mutated};
use super::sim::{Inner, Sim};
use super::versions::{Knowledge, Version};
use super::world::SimulatedWorld;
use orchestrator::participant_client::{Breaker, BreakerSettings};
use saga_engine::actor::Policy;
use saga_engine::coordinator::{CoordinatorArguments, CoordinatorMsg, coordinator};
use saga_engine::definition::{Definition, Definitions};
use saga_engine::failed::Sleep;
use saga_engine::lease::{LeaseArguments, LeaseState, lease};
use saga_engine::owner::Owner;
use saga_engine::plan::Patience;
use saga_engine::recovery::{Claimer, RecoveryArguments, recovery};
use saga_engine::running::Running;
use saga_engine::world::{Call, World};

/// Duration of a lease.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// Interval of its renewals, and of looks.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Interval of searches for rows without an actor.
const SWEEP: Duration = Duration::from_secs(30);
/// How long the actors of a dead process may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long after its id was made a saga may still begin.
pub(super) const BEGIN_LIMIT: Duration = Duration::from_secs(10);

/// Number of the next actor tree, for unique names: the actor registry is global, and runs share it.
static NEXT_TREE: AtomicU64 = AtomicU64::new(0);

/// Index of a process in [`Inner::processes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessId(pub(super) usize);

/// State of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessState {
    Alive,
    Paused,
    Dead,
}

/// An action that a paused process performs when it resumes.
pub(super) type Deferred = Box<dyn FnOnce(&Arc<Sim>) + Send>;

pub(super) struct Process {
    pub(super) node: usize,
    pub(super) owner: Owner,
    pub(super) state: ProcessState,
    pub(super) held: Vec<Deferred>,
    pub(super) claimer: Arc<Claimer>,
    pub(super) coordinator: Handle<CoordinatorMsg>,
    pub(super) running: Arc<Running>,
    pub(super) death: watch::Sender<bool>,
    pub(super) lease: Arc<LeaseState>,
    /// The queue of its calls to each participant.
    pub(super) lines: BTreeMap<SmolStr, Line>,
    /// Number of its writes in flight to the saga log.
    pub(super) writes_under_way: usize,
    version: Version,
    breakers: BTreeMap<(SmolStr, SmolStr), Breaker>,
    root: Option<Arc<Root>>,
}

impl Process {
    /// Returns its circuit breaker for the operation of a call.
    pub(super) fn breaker(&mut self, call: &Call) -> &mut Breaker {
        let operation =
            if is_mutated(Mutation::OneBreakerForAll) { SmolStr::new_static("all") } else { call.operation.clone() };
        self.breakers.entry((call.participant.clone(), operation)).or_insert_with(|| {
            Breaker::new(BreakerSettings { failures: 8, pause: Duration::from_secs(2), wakes_per_second: 20 })
        })
    }

    /// Returns its name in the trace.
    pub(super) fn title(&self) -> String {
        self.owner.node_id.clone()
    }
}

/// The policy of a run's sagas, with shorter times than in production, so that deadlines and FAILED occur often.
pub(super) fn policy() -> Policy {
    let patience = |attempts, backoff_max| Patience { attempts, backoff_min: Duration::from_millis(50), backoff_max };
    Policy {
        action: patience(4, Duration::from_secs(1)),
        compensation: patience(0, Duration::from_secs(5)),
        call_timeout: Duration::from_secs(3),
        deadline: Duration::from_secs(15),
        attention_after_attempts: 6,
        attention_after: Duration::from_secs(20),
        failed: Sleep { min: Duration::from_secs(2), max: Duration::from_secs(10) },
        begin_limit: BEGIN_LIMIT,
    }
}

/// Starts a process of a node.
pub(super) async fn start(sim: &Arc<Sim>, node: usize, node_id: String) {
    let (id, owner, version) = {
        let mut inner = sim.lock();
        let owner = Owner { node_id, incarnation: inner.uuid() };
        let is_old = sim.versions.are_mixed && sim.phase() == FaultPhase::Wild && inner.rng.random();
        let version = if is_old { Version::Old } else { Version::New };
        (ProcessId(inner.processes.len()), owner, version)
    };
    let knowledge = sim.versions.of(version).clone();
    let running = Arc::new(Running::default());
    let handle = Handle::new();
    let definitions = knowledge.known.titles();
    let (batch, max_claims) = (sim.knobs.takeover_batch, sim.knobs.max_claims);
    let claimer = Arc::new(Claimer { owner: owner.clone(), definitions, batch, max_claims });
    let lease = Arc::new(LeaseState::default());
    sim.lock().processes.push(Process {
        node,
        owner,
        state: ProcessState::Alive,
        held: Vec::new(),
        claimer,
        coordinator: handle.clone(),
        running: running.clone(),
        death: watch::channel(false).0,
        lease: lease.clone(),
        lines: BTreeMap::new(),
        writes_under_way: 0,
        version,
        breakers: BTreeMap::new(),
        root: None,
    });
    sim.note_at(id, |_| format!("starts ({version:?})"));
    let superseded = CancellationToken::new();
    let spec = tree(sim, id, knowledge, handle, running, lease, superseded.clone());
    match common::supervision::start(spec).await {
        Ok(root) => {
            let root = Arc::new(root);
            sim.lock().processes[id.0].root = Some(root.clone());
            tokio::spawn(exit_with(sim.clone(), id, root));
        }
        Err(error) => panic!("the actors of a simulated process do not start: {error}"),
    }
    tokio::spawn(end_when_superseded(sim.clone(), id, superseded));
}

/// Kills a process whose supervisor has given up; as on a real platform, another process replaces it.
async fn exit_with(sim: Arc<Sim>, process: ProcessId, root: Arc<Root>) {
    root.gave_up().await;
    kill(&sim, process);
}

fn tree(
    sim: &Arc<Sim>,
    process: ProcessId,
    knowledge: Knowledge,
    handle: Handle<CoordinatorMsg>,
    running: Arc<Running>,
    state: Arc<LeaseState>,
    superseded: CancellationToken,
) -> SupervisorSpec {
    let claimer = sim.lock().processes[process.0].claimer.clone();
    let node_id = claimer.owner.node_id.clone();
    let prefix = format!("simulated-{}", NEXT_TREE.fetch_add(1, Ordering::Relaxed));
    let entry = |name: &str| ActorEntry::new(format!("{prefix}/{name}"), "simulated");
    let world = Arc::new(SimulatedWorld { sim: sim.clone(), process, lease: state.clone() });
    let world: Arc<dyn World> = Arc::new(Mutated::new(world, knowledge.definition.clone()));
    let children = vec![
        lease(LeaseArguments {
            entry: entry("lease"),
            owner: Arc::new(claimer.owner.clone()),
            definitions: knowledge.known.clone(),
            state: state.clone(),
            clock: Arc::default(),
            world: world.clone(),
            lease: LEASE,
            heartbeat: HEARTBEAT,
            superseded,
        }),
        coordinator(
            handle.clone(),
            CoordinatorArguments {
                entry: entry("coordinator"),
                world: world.clone(),
                policy: policy(),
                running: running.clone(),
                known: knowledge.known,
                max_running: sim.knobs.max_running,
                tracer: Tracer::off(),
            },
        ),
        recovery(RecoveryArguments {
            entry: entry("recovery"),
            handle: Handle::new(),
            lease: state,
            world,
            coordinator: handle,
            running,
            heartbeat: HEARTBEAT,
            lease_for: LEASE,
            sweep: SWEEP,
            node_id,
            stopping: CancellationToken::new(),
        }),
    ];
    SupervisorSpec {
        entry: ActorEntry::new(prefix.clone(), "supervisor"),
        budget: Budget { max_restarts: 5, within: Duration::from_secs(60) },
        backoff: Backoff { min: Duration::from_millis(100), max: Duration::from_secs(1) },
        children,
    }
}

/// Ends a process, without a replacement, once another process has taken its node id.
async fn end_when_superseded(sim: Arc<Sim>, process: ProcessId, superseded: CancellationToken) {
    superseded.cancelled().await;
    if sim.is_dead(process) {
        return;
    }
    sim.lock().tally.superseded += 1;
    sim.note_at(process, |_| "is superseded by another process of its name".to_owned());
    kill_for_good(&sim, process);
}

/// Kills a process; another replaces it after 0.1 to 9 seconds, under the same node id or a new one.
pub(super) fn kill(sim: &Arc<Sim>, process: ProcessId) {
    if sim.is_dead(process) {
        return;
    }
    kill_for_good(sim, process);
    let (node, node_id, away) = {
        let mut inner = sim.lock();
        inner.tally.crashes += 1;
        let away = inner.millis(100, 9_000);
        let renamed = inner.rng.random::<bool>();
        let count = inner.processes.len();
        let Process { node, owner, .. } = &inner.processes[process.0];
        let name = if renamed { format!("node {node}.{count}") } else { owner.node_id.clone() };
        (*node, name, away)
    };
    let sim = sim.clone();
    tokio::spawn(async move {
        tokio::time::sleep(away).await;
        start(&sim, node, node_id).await;
    });
}

fn kill_for_good(sim: &Arc<Sim>, process: ProcessId) {
    sim.note_at(process, |_| "is killed".to_owned());
    let (root, held) = {
        let mut inner = sim.lock();
        let process = &mut inner.processes[process.0];
        process.state = ProcessState::Dead;
        process.death.send_replace(true);
        (process.root.take(), std::mem::take(&mut process.held))
    };
    drop(held);
    // Its actors may still run until they stop, but `Sim::at` drops their requests.
    if let Some(root) = root {
        tokio::spawn(async move { root.stop(STOP_TIMEOUT).await });
    }
}

/// Kills the processes of the old version once faults have ended; their replacements run the new one.
pub(super) async fn end_of_roll_out(sim: Arc<Sim>) {
    tokio::time::sleep(sim.calm_after).await;
    let old: Vec<usize> = {
        let inner = sim.lock();
        (0..inner.processes.len()).filter(|index| inner.processes[*index].version == Version::Old).collect()
    };
    for index in old {
        kill(&sim, ProcessId(index));
    }
}

/// Pauses a process; afterwards it resumes as if nothing had happened.
pub(super) fn pause(sim: &Arc<Sim>, process: ProcessId, pause: Duration) {
    {
        let mut inner = sim.lock();
        if inner.processes[process.0].state != ProcessState::Alive {
            return;
        }
        inner.tally.pauses += 1;
        inner.processes[process.0].state = ProcessState::Paused;
    }
    sim.note_at(process, |_| format!("is stopped for {pause:?}"));
    let sim = sim.clone();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        let held = {
            let mut inner = sim.lock();
            let process = &mut inner.processes[process.0];
            if process.state == ProcessState::Paused {
                process.state = ProcessState::Alive;
            }
            std::mem::take(&mut process.held)
        };
        sim.note_at(process, |_| "goes on".to_owned());
        for act in held {
            sim.at(process, act);
        }
    });
}

impl Sim {
    /// Returns the definition of new sagas of a process.
    pub(super) fn definition_at(&self, process: ProcessId) -> Arc<Definition> {
        let version = self.lock().processes[process.0].version;
        self.versions.of(version).definition.clone()
    }
}

/// Draws one of the processes whose state is wanted.
pub(super) fn pick(inner: &mut Inner, is_wanted: impl Fn(ProcessState) -> bool) -> Option<ProcessId> {
    let there: Vec<usize> =
        (0..inner.processes.len()).filter(|index| is_wanted(inner.processes[*index].state)).collect();
    let drawn = inner.rng.random_range(0..there.len().max(1));
    there.get(drawn).map(|index| ProcessId(*index))
}

/// Ends all processes, so that no actor outlives the run.
pub(super) async fn stop_all(sim: &Arc<Sim>) {
    let roots: Vec<Arc<Root>> = sim.lock().processes.iter_mut().filter_map(|process| process.root.take()).collect();
    for process in &mut sim.lock().processes {
        process.state = ProcessState::Dead;
    }
    for root in roots {
        root.stop(STOP_TIMEOUT).await;
    }
}
