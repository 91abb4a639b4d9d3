//! The sagas that run on this node, readable without a message to an actor: the status endpoint and the actor tree read
//! here and never wait for a mailbox, a call or the database.

mod rows;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use foundation::secret::SecretHash;
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::time::Instant;

use self::rows::RowsWithoutActor;
use crate::SagaId;
use crate::definition::{Definition, Input};
use crate::log::{Event, IllegalTransition, SagaLog};
use crate::plan;
use crate::recovery::ActorDeath;
use crate::takeover::Takeover;
use crate::unsent::Unsent;

/// Maximum number of actor deaths kept for display. One death is a bug, so more would not help.
const KEPT_DEATHS: usize = 100;

/// A reason why a saga waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// A write to the saga log.
    Log(&'static str),
    /// The reply of a participant, to a call for a step.
    Participant(SmolStr, SmolStr),
    /// The back-off of a step.
    BackOff(SmolStr),
    /// A participant that is known to be down, for a step.
    Parked(SmolStr, SmolStr),
}

impl WaitingFor {
    fn describe(&self) -> Value {
        match self {
            WaitingFor::Log(write) => json!({ "saga_log": write }),
            WaitingFor::Participant(participant, step) => json!({ "participant": participant, "step": step }),
            WaitingFor::Parked(participant, step) => json!({ "parked_until_up": participant, "step": step }),
            WaitingFor::BackOff(step) => json!({ "back_off": step }),
        }
    }
}

/// Everything that a saga waits for: a write to the saga log, and calls of its steps, by index.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// The write, if one is in flight.
    pub write: Option<WaitingFor>,
    /// The calls in flight or backing off, sorted by step.
    calls: Vec<(usize, WaitingFor)>,
}

impl Waits {
    /// Records what the step at this index waits for, instead of what it waited for before.
    pub fn step_waits(&mut self, step: usize, waiting_for: WaitingFor) {
        match self.calls.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(at) => self.calls[at].1 = waiting_for,
            Err(at) => self.calls.insert(at, (step, waiting_for)),
        }
    }

    /// Records that the step at this index waits for nothing.
    pub fn step_goes_on(&mut self, step: usize) {
        self.calls.retain(|(waiting, _)| *waiting != step);
    }

    /// Returns the reason as JSON, for display: null if there is none, and an array if there are several.
    pub fn describe(&self) -> Value {
        let calls = self.calls.iter().map(|(_, waiting_for)| waiting_for);
        let mut all: Vec<Value> = self.write.iter().chain(calls).map(WaitingFor::describe).collect();
        match all.len() {
            0 | 1 => all.pop().unwrap_or_default(),
            _ => Value::Array(all),
        }
    }
}

/// One running saga. Only its actor writes; readers hold the lock briefly.
#[derive(Debug)]
pub struct RunningSaga {
    /// Id of the saga.
    pub id: SagaId,
    /// Its input.
    pub input: Input,
    /// Its definition.
    pub definition: Arc<Definition>,
    /// Time of its start, by the node's clock; of a recovered saga, the time of acceptance in its row.
    pub created_at: DateTime<Utc>,
    /// When it was started or recovered here, by the monotonic clock.
    pub accepted: Instant,
    /// Time of acceptance in its row, of a saga that began here.
    begun_at: OnceLock<DateTime<Utc>>,
    /// The epoch under which this node owns it.
    pub epoch: i32,
    /// Its takeovers, the newest last.
    pub takeovers: Vec<Takeover>,
    /// The hash of the client's secret for it, if it was started with one.
    pub secret: Option<SecretHash>,
    progress: Mutex<Progress>,
}

/// The state of a running saga that changes.
#[derive(Debug)]
pub struct Progress {
    /// The state of its steps.
    pub log: SagaLog,
    /// The reasons why it waits.
    pub waiting_for: Waits,
    /// Time of the last event.
    pub changed_at: Instant,
    /// Changes not yet sent to listeners.
    pub unsent: Unsent,
}

impl Progress {
    /// Applies an event to the log, and queues the changes of steps for listeners.
    ///
    /// # Errors
    /// As [`SagaLog::apply`].
    pub fn apply(&mut self, event: Event, at: DateTime<Utc>) -> Result<(), IllegalTransition> {
        self.log.apply(event, at)?;
        self.unsent.note(&self.log, at);
        self.changed_at = Instant::now();
        Ok(())
    }
}

impl RunningSaga {
    /// Makes a running saga from a log.
    pub fn new(
        id: SagaId,
        input: Input,
        definition: Arc<Definition>,
        created_at: DateTime<Utc>,
        epoch: i32,
        takeovers: Vec<Takeover>,
        log: SagaLog,
    ) -> RunningSaga {
        let progress = Mutex::new(Progress {
            unsent: Unsent::new(&log),
            log,
            waiting_for: Waits::default(),
            changed_at: Instant::now(),
        });
        let (accepted, begun_at) = (Instant::now(), OnceLock::new());
        RunningSaga { id, input, definition, created_at, accepted, begun_at, epoch, takeovers, secret: None, progress }
    }

    /// Adds the hash of the client's secret.
    #[must_use]
    pub fn with_secret(self, secret: Option<SecretHash>) -> RunningSaga {
        RunningSaga { secret, ..self }
    }

    /// Records the time of acceptance in its row.
    pub fn begun(&self, at: DateTime<Utc>) {
        // A second report of the same begin has the same time.
        let _ = self.begun_at.set(at);
    }

    /// Returns the time of acceptance in its row; before the row is written, the time of its start.
    pub fn accepted_at(&self) -> DateTime<Utc> {
        self.begun_at.get().copied().unwrap_or(self.created_at)
    }

    /// Locks its progress.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        // After a panic of the actor between two assignments the progress is still readable.
        self.progress.lock()
    }

    /// Returns its state for the tree of `/debug/actors`.
    pub fn brief(&self) -> Value {
        let progress = self.progress();
        json!({
            "status": progress.log.status(),
            "epoch": self.epoch,
            "waiting_for": progress.waiting_for.describe(),
        })
    }

    /// Returns its full state for `/debug/actors`: log, next decision, and the reason why it waits.
    pub fn in_full(&self) -> Value {
        let progress = self.progress();
        json!({
            "status": progress.log.status(),
            "epoch": self.epoch,
            "definition": { "name": self.definition.name, "version": self.definition.version },
            "input": *self.input,
            "created_at": foundation::time::timestamp(self.accepted_at()),
            "takeovers": self.takeovers,
            "outputs": progress.log.outputs(),
            "direction": format!("{:?}", progress.log.direction()),
            "cause": progress.log.cause().map(ToString::to_string),
            "in_the_log": progress.log.is_begun(),
            "log": progress.log.timeline(),
            "plan": format!("{:?}", plan::next(&progress.log)),
            "waiting_for": progress.waiting_for.describe(),
        })
    }
}

/// All running sagas of this process.
#[derive(Debug, Default)]
pub struct Running {
    sagas: RwLock<HashMap<SagaId, Arc<RunningSaga>>>,
    /// Whether the log may hold rows of this process without an actor.
    suspicion: AtomicBool,
    /// Rows of this process whose actor is missing for a known reason.
    rows: Mutex<RowsWithoutActor>,
    /// Number of rows of this process that lack an actor for no known reason, after the last search.
    without_actor: AtomicUsize,
    /// Number of claimable rows of dead processes that the last look left.
    of_the_dead: AtomicUsize,
    /// Actors that failed, newest last.
    deaths: Mutex<Vec<(SagaId, String)>>,
}

impl Running {
    /// Returns the saga of that id, if it runs here.
    pub fn get(&self, id: SagaId) -> Option<Arc<RunningSaga>> {
        self.sagas.read().get(&id).cloned()
    }

    /// Returns the ids of all sagas.
    pub fn ids(&self) -> Vec<uuid::Uuid> {
        self.sagas.read().keys().map(|id| id.0).collect()
    }

    /// Returns the number of sagas.
    pub fn len(&self) -> usize {
        self.sagas.read().len()
    }

    /// Tells whether no saga runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all sagas, in no order.
    pub fn all(&self) -> Vec<Arc<RunningSaga>> {
        self.sagas.read().values().cloned().collect()
    }

    /// Returns up to `limit` sagas, in an arbitrary selection, sorted by age, the oldest first.
    pub fn some(&self, limit: usize) -> Vec<Arc<RunningSaga>> {
        let mut sagas: Vec<_> = {
            let map = self.sagas.read();
            map.values().take(limit).cloned().collect()
        };
        sagas.sort_by_key(|saga| saga.id);
        sagas
    }

    /// Adds a saga.
    pub fn insert(&self, saga: Arc<RunningSaga>) {
        self.rows.lock().arrived(saga.id);
        self.sagas.write().insert(saga.id, saga);
    }

    /// Removes a saga.
    pub fn remove(&self, id: SagaId) {
        self.sagas.write().remove(&id);
    }

    /// Records that a row of this process may lack its actor: recovery then searches all its rows.
    pub fn suspect_orphans(&self) {
        self.suspicion.store(true, Ordering::Release);
    }

    /// Tells whether [`Running::suspect_orphans`] was called since the last call, and resets that.
    pub fn take_suspicion(&self) -> bool {
        self.suspicion.swap(false, Ordering::AcqRel)
    }

    /// Tells whether a row of this process has an actor, or lacks it for a known reason.
    pub fn accounts_for(&self, id: SagaId, epoch: i32) -> bool {
        self.get(id).is_some_and(|saga| saga.epoch >= epoch) || self.rows.lock().explain(id, epoch)
    }

    /// Records that a claimed saga was sent to the coordinator.
    pub fn hand_over(&self, id: SagaId, epoch: i32) {
        self.rows.lock().hand_over(id, epoch);
    }

    /// Records that a claimed saga could not be sent to the coordinator.
    pub fn not_handed_over(&self, id: SagaId) {
        self.rows.lock().arrived(id);
    }

    /// Records the number of rows without an actor that a search has found, before it claims them.
    pub fn found_without_actor(&self, number: usize) {
        self.without_actor.fetch_max(number, Ordering::Relaxed);
    }

    /// Records the number of rows that a search has left without an actor.
    pub fn left_without_actor(&self, number: usize) {
        self.without_actor.store(number, Ordering::Relaxed);
    }

    /// Records the number of claimable rows of dead processes that are not claimed yet.
    pub fn left_of_the_dead(&self, number: usize) {
        self.of_the_dead.store(number, Ordering::Relaxed);
    }

    /// Returns the number that [`Running::left_of_the_dead`] recorded.
    pub(crate) fn of_the_dead(&self) -> usize {
        self.of_the_dead.load(Ordering::Relaxed)
    }

    /// Returns the number of rows found that this process could run and that have no actor.
    pub fn without_actor(&self) -> usize {
        self.without_actor.load(Ordering::Relaxed) + self.of_the_dead.load(Ordering::Relaxed)
    }

    /// Records that a saga's actor failed: for recovery, which counts it in the log, and for display, up to a limit.
    pub fn died(&self, death: ActorDeath) {
        let mut deaths = self.deaths.lock();
        if deaths.len() < KEPT_DEATHS {
            deaths.push((death.id, death.reason.clone()));
        }
        self.rows.lock().died(death);
    }

    /// Returns the deaths of actors that are not in the log yet.
    pub fn unrecorded_deaths(&self) -> Vec<ActorDeath> {
        self.rows.lock().deaths()
    }

    /// Records that these deaths are in the log.
    pub fn deaths_recorded(&self, deaths: &[ActorDeath]) {
        self.rows.lock().recorded(deaths);
    }

    /// Returns the first sagas whose actors failed, with the reason.
    pub fn deaths(&self) -> Vec<(SagaId, String)> {
        self.deaths.lock().clone()
    }

    /// Removes all sagas.
    pub fn clear(&self) {
        self.rows.lock().none_arrives();
        self.sagas.write().clear();
    }
}
