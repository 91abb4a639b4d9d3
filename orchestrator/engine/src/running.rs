//! The sagas that run on this node, readable by anybody without asking an actor: the status endpoint and the debug tree
//! look here, and never wait on a mailbox, a call or the database.

mod rows;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::rows::RowsWithoutActor;
use crate::SagaId;
use crate::definition::{Definition, Input};
use crate::log::{Event, IllegalTransition, SagaLog};
use crate::plan;
use crate::recovery::ActorDeath;
use crate::takeover::Takeover;
use crate::unsent::{Unsent, fingerprints};

/// As many deaths of actors as are kept for people: one is a bug.
const KEPT_DEATHS: usize = 100;

/// What a saga waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// Nothing: it is being handled right now, or it is over.
    Nothing,
    /// A write to the saga log.
    Log(&'static str),
    /// A participant's answer.
    Participant(&'static str, &'static str),
    /// The time to try again.
    BackOff(&'static str),
    /// A participant that is known to be down.
    Parked(&'static str, &'static str),
}

impl WaitingFor {
    /// Shows it, for people.
    pub fn describe(&self) -> Value {
        match self {
            WaitingFor::Nothing => Value::Null,
            WaitingFor::Log(write) => json!({ "saga_log": write }),
            WaitingFor::Participant(participant, step) => json!({ "participant": participant, "step": step }),
            WaitingFor::Parked(participant, step) => json!({ "parked_until_up": participant, "step": step }),
            WaitingFor::BackOff(step) => json!({ "back_off": step }),
        }
    }
}

/// One running saga. Its actor writes, everybody may read; the lock is held for a moment only.
#[derive(Debug)]
pub struct RunningSaga {
    /// Its id.
    pub id: SagaId,
    /// Its input.
    pub input: Input,
    /// What it follows.
    pub definition: Arc<Definition>,
    /// When it came to this process, by its clock; of a recovered one, when it was accepted, as the row holds it.
    pub created_at: DateTime<Utc>,
    /// The same moment, to measure from.
    pub accepted: Instant,
    /// When it was accepted, as the row of one that began here holds it.
    begun_at: OnceLock<DateTime<Utc>>,
    /// Under which epoch this node owns it.
    pub epoch: i32,
    /// How it came to other owners, and to this one last.
    pub takeovers: Vec<Takeover>,
    progress: Mutex<Progress>,
}

/// What changes as a saga runs.
#[derive(Debug)]
pub struct Progress {
    /// What has happened.
    pub log: SagaLog,
    /// What it waits for.
    pub waiting_for: WaitingFor,
    /// When something last happened.
    pub changed_at: Instant,
    /// What listeners cannot see of it yet.
    pub unsent: Unsent,
}

impl Progress {
    /// Takes an event into the log, and what it changes of the steps into what is to be sent.
    ///
    /// # Errors
    /// As [`SagaLog::apply`].
    pub fn apply(&mut self, event: Event, at: DateTime<Utc>) -> Result<(), IllegalTransition> {
        let before = fingerprints(&self.log);
        self.log.apply(event, at)?;
        self.unsent.note(&before, &self.log, at);
        self.changed_at = Instant::now();
        Ok(())
    }
}

impl RunningSaga {
    /// Makes one that starts from this log.
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
            log,
            waiting_for: WaitingFor::Nothing,
            changed_at: Instant::now(),
            unsent: Unsent::default(),
        });
        let (accepted, begun_at) = (Instant::now(), OnceLock::new());
        RunningSaga { id, input, definition, created_at, accepted, begun_at, epoch, takeovers, progress }
    }

    /// Notes the time that its row holds for its beginning.
    pub fn begun(&self, at: DateTime<Utc>) {
        // A second report of one begin gives the same time.
        let _ = self.begun_at.set(at);
    }

    /// Returns when it was accepted, as its row holds it once it is there.
    pub fn accepted_at(&self) -> DateTime<Utc> {
        self.begun_at.get().copied().unwrap_or(self.created_at)
    }

    /// Gives access to its progress.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic of the actor between two assignments leaves nothing that a reader could stumble over.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what `/debug/actors` shows: in brief for the tree.
    pub fn brief(&self) -> Value {
        let progress = self.progress();
        json!({
            "status": progress.log.status(),
            "epoch": self.epoch,
            "waiting_for": progress.waiting_for.describe(),
        })
    }

    /// Returns everything about it: its log, its plan, what it waits for.
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

/// All of them.
#[derive(Debug, Default)]
pub struct Running {
    sagas: RwLock<HashMap<SagaId, Arc<RunningSaga>>>,
    /// Whether the log may hold rows of this process that have no actor.
    suspicion: AtomicBool,
    /// Rows of this process whose actor is missing for a known reason.
    rows: Mutex<RowsWithoutActor>,
    /// Rows of this process without an actor that nothing accounts for, as the last search left them.
    without_actor: AtomicUsize,
    /// Rows of processes that are not alive, as the last look left them although a claim could have taken them.
    of_the_dead: AtomicUsize,
    /// Actors that died of their own, newest last.
    deaths: Mutex<Vec<(SagaId, String)>>,
}

impl Running {
    /// Finds one.
    pub fn get(&self, id: SagaId) -> Option<Arc<RunningSaga>> {
        self.sagas.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Returns the ids of all of them.
    pub fn ids(&self) -> Vec<uuid::Uuid> {
        self.sagas.read().unwrap_or_else(PoisonError::into_inner).keys().map(|id| id.0).collect()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.sagas.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all of them, in no order.
    pub fn all(&self) -> Vec<Arc<RunningSaga>> {
        self.sagas.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns up to `limit` of them, oldest first.
    pub fn some(&self, limit: usize) -> Vec<Arc<RunningSaga>> {
        let mut sagas: Vec<_> = {
            let map = self.sagas.read().unwrap_or_else(PoisonError::into_inner);
            map.values().take(limit).cloned().collect()
        };
        sagas.sort_by_key(|saga| saga.id);
        sagas
    }

    fn rows(&self) -> MutexGuard<'_, RowsWithoutActor> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a saga.
    pub fn insert(&self, saga: Arc<RunningSaga>) {
        self.rows().arrived(saga.id);
        self.sagas.write().unwrap_or_else(PoisonError::into_inner).insert(saga.id, saga);
    }

    /// Removes a saga.
    pub fn remove(&self, id: SagaId) {
        self.sagas.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Notes that a row of this process may be without its actor: recovery searches all of its rows then.
    pub fn suspect_orphans(&self) {
        self.suspicion.store(true, Ordering::Release);
    }

    /// Tells whether that was noted since the last time.
    pub fn take_suspicion(&self) -> bool {
        self.suspicion.swap(false, Ordering::AcqRel)
    }

    /// Tells whether a row of this process has its actor, or lacks it for a known reason.
    pub fn accounts_for(&self, id: SagaId, epoch: i32) -> bool {
        self.get(id).is_some_and(|saga| saga.epoch >= epoch) || self.rows().explain(id, epoch)
    }

    /// Notes that a claimed saga is on its way to the coordinator.
    pub fn hand_over(&self, id: SagaId, epoch: i32) {
        self.rows().hand_over(id, epoch);
    }

    /// Notes that it is not, after all.
    pub fn not_handed_over(&self, id: SagaId) {
        self.rows().arrived(id);
    }

    /// Notes that a search has found rows without an actor, before it tries to claim them.
    pub fn found_without_actor(&self, number: usize) {
        self.without_actor.fetch_max(number, Ordering::Relaxed);
    }

    /// Notes how many rows without an actor a search has left so.
    pub fn left_without_actor(&self, number: usize) {
        self.without_actor.store(number, Ordering::Relaxed);
    }

    /// Notes how many rows of processes that are not alive could be claimed and are not, or not yet.
    pub fn left_of_the_dead(&self, number: usize) {
        self.of_the_dead.store(number, Ordering::Relaxed);
    }

    /// Returns the number of rows that this process could run and that have no actor, as far as they have been found.
    pub fn without_actor(&self) -> usize {
        self.without_actor.load(Ordering::Relaxed) + self.of_the_dead.load(Ordering::Relaxed)
    }

    /// Notes that a saga's actor died of its own: for recovery, which counts that in the log, and for people, as many as they
    /// would read.
    pub fn died(&self, death: ActorDeath) {
        let mut deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        if deaths.len() < KEPT_DEATHS {
            deaths.push((death.id, death.reason.clone()));
        }
        self.rows().died(death);
    }

    /// Returns the deaths that are not in the log yet.
    pub fn unrecorded_deaths(&self) -> Vec<ActorDeath> {
        self.rows().deaths()
    }

    /// Notes that these are in the log.
    pub fn deaths_recorded(&self, deaths: &[ActorDeath]) {
        self.rows().recorded(deaths);
    }

    /// Returns the first sagas whose actors died of their own, and why.
    pub fn deaths(&self) -> Vec<(SagaId, String)> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes all sagas.
    pub fn clear(&self) {
        self.rows().none_arrives();
        self.sagas.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
