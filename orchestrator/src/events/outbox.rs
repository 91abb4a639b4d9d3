//! The outbox: an actor that writes changes of steps which no awaited write has carried in time.
//!
//! ```text
//! flush ─► changes that are due, of all sagas, into the saga log's queue ─► they are written ─► (soon again) flush
//! ```
//! A change is due after three quarters of `event_flush_ms`, and a flush comes every quarter. Most sagas end before that, and
//! then nothing of them is written here.
//!
//! One flush runs at a time, so a slow database gets fewer and larger ones. The changes of a saga are taken and
//! enqueued while the saga is locked, so no later write of that saga can be queued before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::group_commit::{BatchSender, Written};
use common::supervision::{ActorEntry, ChildSpec, Periodic, every};
use futures::future::join_all;
use serde_json::json;

use crate::store::writer::{LogItem, SagaLogWriter};
use saga_engine::record::StepChanges;
use saga_engine::running::{Running, RunningSaga};

/// Sagas per item; all of them are locked while their changes are collected.
const SAGAS_AN_ITEM: usize = 128;

pub(crate) struct Outbox {
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) running: Arc<Running>,
    /// Pause between two flushes.
    pub(crate) every: Duration,
    /// How long a change waits for a write of its saga before a flush takes it.
    pub(crate) once_waited: Duration,
    /// Number of changes sent.
    pub(crate) sent: Arc<AtomicU64>,
    /// Whether the database refused an item of several sagas: the next flush sends each saga alone, so that only the one
    /// whose value is refused loses its changes.
    pub(crate) one_by_one: Arc<AtomicBool>,
    /// Held during a flush, so that the last one takes up what the one before puts back.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

pub(crate) fn outbox(entry: Arc<ActorEntry>, outbox: Outbox) -> ChildSpec {
    let shown = outbox.sent.clone();
    entry.set_state(move || json!({ "changes_sent": shown.load(Ordering::Relaxed) }));
    every(entry, outbox.every, outbox)
}

impl Periodic for Outbox {
    async fn run(&self) -> Duration {
        self.flush(self.once_waited).await;
        self.every
    }

    /// Writes the changes of the sagas that are handed over to their next owner.
    async fn stop(&self) {
        self.flush(Duration::ZERO).await;
    }
}

impl Outbox {
    /// Enqueues the changes that have waited for this time, and waits until they are written or refused.
    async fn flush(&self, once_waited: Duration) {
        let _turn = self.turn.lock().await;
        let sagas = self.running.all();
        let (sagas_an_item, once_waited) = if self.one_by_one.swap(false, Ordering::Relaxed) {
            (1, Duration::ZERO)
        } else {
            (SAGAS_AN_ITEM, once_waited)
        };
        let items: Vec<_> = sagas.chunks(sagas_an_item).filter_map(|sagas| send(self, sagas, once_waited)).collect();
        join_all(items).await;
    }
}

/// Enqueues the changes of these sagas; `None` if there are none.
fn send(
    outbox: &Outbox,
    sagas: &[Arc<RunningSaga>],
    once_waited: Duration,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let mut from = Vec::new();
    let mut steps = Vec::new();
    // Every other task locks one saga at a time, so no deadlock is possible.
    let mut locked = Vec::new();
    for saga in sagas {
        let mut progress = saga.progress();
        // A saga that is not in the log does not exist yet, and after its end it has no changes.
        let changes = if progress.log.is_begun() && progress.log.ended().is_none() {
            progress.unsent.take(once_waited)
        } else {
            Vec::new()
        };
        if !changes.is_empty() {
            outbox.sent.fetch_add(changes.len() as u64, Ordering::Relaxed);
            let begin_told = progress.unsent.begin_told();
            steps.push(StepChanges { saga_id: saga.id, epoch: saga.epoch, changes, begin_told });
            from.push(saga.clone());
            locked.push(progress);
        }
    }
    if steps.is_empty() {
        return None;
    }
    let written = outbox.saga_log.write(LogItem::Steps(steps.clone()));
    drop(locked);
    let one_by_one = outbox.one_by_one.clone();
    let put_back = move |from: &[Arc<RunningSaga>], steps: Vec<StepChanges>| {
        for (saga, steps) in from.iter().zip(steps) {
            saga.progress().unsent.put_back(steps.changes);
        }
    };
    Some(async move {
        match written.await {
            Written::Committed(_) => from.iter().for_each(|saga| saga.progress().unsent.sent()),
            // At least once: after an unknown result the changes are written again.
            Written::NotWritten(_) | Written::InDoubt(_) => put_back(&from, steps),
            Written::Rejected(_) if from.len() > 1 => {
                one_by_one.store(true, Ordering::Relaxed);
                put_back(&from, steps);
            }
            // A retry would be rejected too.
            Written::Rejected(refused) => {
                let id = from.first().map(|saga| tracing::field::display(saga.id));
                tracing::error!(saga.id = id, %refused, "the database rejected changes of steps")
            }
        }
    })
}
