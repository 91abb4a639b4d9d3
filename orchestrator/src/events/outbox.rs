//! The outbox: an actor that writes changes of steps which no awaited write has carried in time.
//!
//! ```text
//! Flush ─► waiting changes of all sagas into the saga log's queue ─► Flushed ─► (event_flush_ms later) Flush
//! ```
//! One flush runs at a time, so a slow database gets fewer and larger ones. The changes of a saga are taken and
//! enqueued while the saga is locked, so no later write of that saga can be queued before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::group_commit::{BatchSender, Written};
use common::supervision::{ActorEntry, ChildSpec, Handle, child};
use futures::future::join_all;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;

use crate::store::writer::{LogItem, SagaLogWriter};
use saga_engine::record::StepChanges;
use saga_engine::running::{Running, RunningSaga};

/// Sagas per item; all of them are locked while their changes are collected.
const SAGAS_AN_ITEM: usize = 128;

#[derive(Clone)]
pub(crate) struct OutboxArguments {
    pub(crate) entry: Arc<ActorEntry>,
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) running: Arc<Running>,
    pub(crate) every: Duration,
}

struct Outbox;

enum OutboxMsg {
    Flush,
    Flushed,
}

pub(crate) fn outbox(arguments: OutboxArguments) -> ChildSpec {
    let sent = Arc::new(AtomicU64::new(0));
    let shown = sent.clone();
    arguments.entry.set_state(move || json!({ "changes_sent": shown.load(Ordering::Relaxed) }));
    child(arguments.entry.clone(), Handle::new(), move || (Outbox, (arguments.clone(), sent.clone())))
}

impl Actor for Outbox {
    type Msg = OutboxMsg;
    type State = (OutboxArguments, Arc<AtomicU64>);
    type Arguments = (OutboxArguments, Arc<AtomicU64>);

    async fn pre_start(
        &self,
        me: ActorRef<OutboxMsg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        me.send_after(arguments.0.every, || OutboxMsg::Flush);
        Ok(arguments)
    }

    async fn handle(
        &self,
        me: ActorRef<OutboxMsg>,
        message: OutboxMsg,
        (arguments, sent): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        arguments.entry.handled();
        match message {
            OutboxMsg::Flush => {
                let flush = flush(arguments, sent);
                tokio::spawn(async move {
                    flush.await;
                    let _ = me.cast(OutboxMsg::Flushed);
                });
            }
            OutboxMsg::Flushed => drop(me.send_after(arguments.every, || OutboxMsg::Flush)),
        }
        Ok(())
    }

    /// Writes the changes of the sagas that are handed over to their next owner.
    async fn post_stop(
        &self,
        _: ActorRef<OutboxMsg>,
        (arguments, sent): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        flush(arguments, sent).await;
        Ok(())
    }
}

/// Enqueues the waiting changes now; the future completes once they are written or refused.
fn flush(arguments: &OutboxArguments, sent: &AtomicU64) -> impl Future<Output = ()> + Send + use<> {
    let sagas = arguments.running.all();
    let items: Vec<_> = sagas.chunks(SAGAS_AN_ITEM).filter_map(|sagas| send(arguments, sagas, sent)).collect();
    async move {
        join_all(items).await;
    }
}

/// Enqueues the changes of these sagas; `None` if there are none.
fn send(
    arguments: &OutboxArguments,
    sagas: &[Arc<RunningSaga>],
    sent: &AtomicU64,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let mut from = Vec::new();
    let mut steps = Vec::new();
    // Every other task locks one saga at a time, so no deadlock is possible.
    let mut locked = Vec::new();
    for saga in sagas {
        let mut progress = saga.progress();
        // A saga that is not in the log does not exist yet, and after its end it has no changes.
        let changes = match progress.log.is_begun() && progress.log.ended().is_none() {
            true => progress.unsent.take(),
            false => Vec::new(),
        };
        if !changes.is_empty() {
            sent.fetch_add(changes.len() as u64, Ordering::Relaxed);
            steps.push(StepChanges { saga_id: saga.id, epoch: saga.epoch, changes });
            from.push(saga.clone());
            locked.push(progress);
        }
    }
    if steps.is_empty() {
        return None;
    }
    let written = arguments.saga_log.write(LogItem::Steps(steps.clone()));
    drop(locked);
    Some(async move {
        match written.await {
            Written::Committed(_) => {}
            // At least once: after an unknown result the changes are written again.
            Written::NotWritten(_) | Written::InDoubt(_) => {
                for (saga, steps) in from.iter().zip(steps) {
                    saga.progress().unsent.put_back(steps.changes);
                }
            }
            // A retry would be rejected too.
            Written::Rejected(refused) => {
                tracing::error!(%refused, "the database rejected changes of steps")
            }
        }
    })
}
