//! The sagas that run on this node, readable by anybody without asking an actor: the status endpoint and the debug tree
//! look here, and never wait on a mailbox, a call or the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::events::unsent::{Unsent, fingerprints};
use crate::saga::SagaId;
use crate::saga::definition::{Definition, Order};
use crate::saga::log::{Event, IllegalTransition, SagaLog};
use crate::saga::plan;

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
}

impl WaitingFor {
    fn describe(&self) -> Value {
        match self {
            WaitingFor::Nothing => Value::Null,
            WaitingFor::Log(write) => json!({ "saga_log": write }),
            WaitingFor::Participant(participant, step) => json!({ "participant": participant, "step": step }),
            WaitingFor::BackOff(step) => json!({ "back_off": step }),
        }
    }
}

/// One running saga. Its actor writes, everybody may read; the lock is held for a moment only.
#[derive(Debug)]
pub struct RunningSaga {
    /// Its id.
    pub id: SagaId,
    /// What was ordered.
    pub order: Order,
    /// What it follows.
    pub definition: Arc<Definition>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// Under which epoch this node owns it.
    pub epoch: i32,
    progress: Mutex<Progress>,
}

/// What changes as a saga runs.
#[derive(Debug)]
pub struct Progress {
    /// What has happened.
    pub log: SagaLog,
    /// What it waits for.
    pub waiting_for: WaitingFor,
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
        Ok(())
    }
}

impl RunningSaga {
    /// Makes one that starts from this log.
    pub fn new(
        id: SagaId,
        order: Order,
        definition: Arc<Definition>,
        created_at: DateTime<Utc>,
        epoch: i32,
        log: SagaLog,
    ) -> RunningSaga {
        let progress = Mutex::new(Progress { log, waiting_for: WaitingFor::Nothing, unsent: Unsent::default() });
        RunningSaga { id, order, definition, created_at, epoch, progress }
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
            "order": { "user_id": self.order.user_id, "product_id": self.order.product_id, "amount": self.order.amount },
            "created_at": common::wire::timestamp(self.created_at),
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
pub struct Running(RwLock<HashMap<SagaId, Arc<RunningSaga>>>);

impl Running {
    /// Finds one.
    pub fn get(&self, id: SagaId) -> Option<Arc<RunningSaga>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Returns the ids of all of them.
    pub fn ids(&self) -> Vec<uuid::Uuid> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().map(|id| id.0).collect()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns up to `limit` of them, oldest first.
    pub fn some(&self, limit: usize) -> Vec<Arc<RunningSaga>> {
        let mut sagas: Vec<_> = {
            let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
            map.values().take(limit).cloned().collect()
        };
        sagas.sort_by_key(|saga| saga.id);
        sagas
    }

    /// Returns all of them, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<RunningSaga>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn insert(&self, saga: Arc<RunningSaga>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(saga.id, saga);
    }

    pub(crate) fn remove(&self, id: SagaId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(crate) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
