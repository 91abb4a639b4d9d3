//! The shared state of a run: clock, log, participants, processes and observations.
//!
//! A run is one thread with a paused clock, which jumps to the next timer when no task is ready. Everything that takes
//! time is a timer, so the order of all events follows from the seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};
use tokio::time::Instant;
use uuid::Uuid;

use super::clocks::{ClockOf, Clocks};
use super::durable_log::DurableLog;
use super::fate::{Fate, FaultPhase};
use super::faults::Faults;
use super::knobs::Knobs;
use super::participants::Participants;
use super::partitions::{Operation, Partitions};
use super::process::{Process, ProcessId, ProcessState};
use super::standbys::Standbys;
use super::tally::Tally;
use super::trace::Trace;
use super::verdict::ClientReport;
use super::versions::Versions;
use super::watch::Watched;
use orchestrator::checkout::StockRule;
use saga_engine::SagaId;
use saga_engine::definition::{Definition, Step};
use saga_engine::running::Running;

/// A run: its settings, and its state behind a lock.
pub(super) struct Sim {
    inner: Mutex<Inner>,
    started: Instant,
    /// Time of the run from which no more faults happen.
    pub(super) calm_after: Duration,
    /// Rates, numbers and times of the faults.
    pub(super) faults: Faults,
    pub(super) knobs: Knobs,
    /// The definitions that the nodes know.
    pub(super) versions: Versions,
    /// The definitions as they are, also if a mutation gives the nodes others.
    definitions: Vec<Arc<Definition>>,
    /// The definition of all sagas, unless they are purchases.
    pub(super) graph: Option<Arc<Definition>>,
}

/// The state that changes.
pub(super) struct Inner {
    pub(super) fate: Box<dyn Fate>,
    pub(super) log: DurableLog,
    pub(super) participants: Participants,
    pub(super) processes: Vec<Process>,
    pub(super) trace: Trace,
    pub(super) tally: Tally,
    pub(super) told: Vec<ClientReport>,
    /// Sagas whose cancel was accepted while they ran forward.
    pub(super) cancelled: Vec<SagaId>,
    /// Observations during the run that its end does not show.
    pub(super) watched: Watched,
    /// Number of clients that are not done.
    pub(super) clients: usize,
    /// Number of pending [`Sim::after`] actions: requests, replies, writes.
    pub(super) under_way: usize,
    /// The newest reply of each operation, with its saga.
    pub(super) last_replies: BTreeMap<Operation, (SagaId, String)>,
    pub(super) clocks: Clocks,
    /// Outages and partitions, with their ends.
    pub(super) partitions: Partitions,
    /// Standbys that are cut off.
    pub(super) standbys: Standbys,
    /// Random numbers of the run itself: ids, kills and the like.
    pub(super) rng: ChaCha8Rng,
}

impl Sim {
    pub(super) fn new(
        inner: Inner,
        faults: Faults,
        knobs: Knobs,
        versions: Versions,
        definitions: Vec<Arc<Definition>>,
    ) -> Arc<Sim> {
        let calm_after = Duration::from_millis(faults.calm_after_ms);
        let is_graph = |definition: &&Arc<Definition>| StockRule::of_definition(&definition.name).is_none();
        let graph = definitions.first().filter(is_graph).cloned();
        let (inner, started) = (Mutex::new(inner), Instant::now());
        Arc::new(Sim { inner, started, calm_after, faults, knobs, versions, definitions, graph })
    }

    /// Finds a step of any definition.
    pub(super) fn step(&self, name: &str, participant: &str) -> &Step {
        let mut steps = self.definitions.iter().flat_map(|definition| definition.steps());
        let is_it = |step: &&Step| step.name == name && step.participant == participant;
        steps.find(is_it).expect("a call is for a step of a definition")
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Returns how long the run has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the true time of day in the run, without any clock's skew.
    pub(super) fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.elapsed()
    }

    /// Returns the time on the clock of the saga log's database.
    pub(super) fn database_now(&self) -> DateTime<Utc> {
        let now = self.now();
        self.lock().clocks.shows(ClockOf::Database, now)
    }

    /// Returns the time on the clock of a process's node.
    pub(super) fn node_now(&self, process: ProcessId) -> DateTime<Utc> {
        let now = self.now();
        let inner = self.lock();
        inner.clocks.shows(ClockOf::Node(inner.processes[process.0].node), now)
    }

    pub(super) fn phase(&self) -> FaultPhase {
        if self.elapsed() < self.calm_after { FaultPhase::Wild } else { FaultPhase::Calm }
    }

    /// Runs `act` after `delay`. It counts as under way until then.
    pub(super) fn after(self: &Arc<Self>, delay: Duration, act: impl FnOnce(&Arc<Sim>) + Send + 'static) {
        self.lock().under_way += 1;
        let sim = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            act(&sim);
            sim.lock().under_way -= 1;
        });
    }

    /// Runs `act` in a process: at once if it is alive, on its resumption if it is paused, never if it is dead.
    pub(super) fn at(self: &Arc<Self>, process: ProcessId, act: impl FnOnce(&Arc<Sim>) + Send + 'static) {
        {
            let process = &mut self.lock().processes[process.0];
            match process.state {
                ProcessState::Alive => {}
                ProcessState::Paused => return process.held.push(Box::new(act)),
                ProcessState::Dead => return,
            }
        }
        act(self);
    }

    pub(super) fn is_dead(&self, process: ProcessId) -> bool {
        self.lock().processes[process.0].state == ProcessState::Dead
    }

    /// Adds a line to the trace.
    pub(super) fn note(&self, who: impl FnOnce(&Inner) -> String, what: impl FnOnce(&Trace) -> String) {
        let at = self.elapsed();
        let mut inner = self.lock();
        let mut trace = std::mem::replace(&mut inner.trace, Trace::new(super::Tracing::Off));
        trace.note(at, || who(&inner), what);
        inner.trace = trace;
    }

    /// Adds a line about a process.
    pub(super) fn note_at(&self, process: ProcessId, what: impl FnOnce(&Trace) -> String) {
        self.note(|inner| inner.processes[process.0].title(), what);
    }

    /// Returns the running sagas of every process of the run, dead ones included.
    pub(super) fn all_running(&self) -> Vec<Arc<Running>> {
        self.lock().processes.iter().map(|process| process.running.clone()).collect()
    }
}

impl Inner {
    /// Draws whether an event of this probability happens; the probability 0 draws no number.
    pub(super) fn chance(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.rng.random::<f64>() < rate
    }

    /// Draws a number of milliseconds in `from..to`.
    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..to.max(from + 1)))
    }

    /// Draws a UUID.
    pub(super) fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(self.rng.random())
    }
}

/// Makes the id of a saga, a UUID v7 as in production.
pub(super) fn saga_id(rng: &mut ChaCha8Rng, now: DateTime<Utc>) -> SagaId {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
    SagaId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}
