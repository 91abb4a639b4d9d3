//! The actor: a queue, and one batch out at a time. It waits for nothing in its handlers.

use std::collections::{HashSet, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tracing::Instrument;

use super::flush::{Flush, flush};
use super::{BatchWriter, Pending, ReadJob};
use crate::db::Pool;
use crate::supervision::ActorCard;

pub(crate) struct GroupCommit<W>(PhantomData<fn() -> W>);

impl<W> GroupCommit<W> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

pub(crate) struct Arguments<W> {
    pub(crate) card: Arc<ActorCard>,
    pub(crate) name: &'static str,
    pub(crate) pool: Pool,
    pub(crate) writer: Arc<W>,
    pub(crate) max_batch: usize,
}

pub(crate) enum Msg<W: BatchWriter> {
    /// Write this.
    Write(Pending<W>),
    /// Read this.
    Read(ReadJob),
    /// The batch that was out came back; with a reason if it died.
    BatchFinished(Result<(), String>),
}

/// What the card shows; shared with it.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) batches: AtomicU64,
    pub(crate) items: AtomicU64,
    pub(crate) largest: AtomicU64,
    pub(crate) last_error: ArcSwapOption<String>,
}

pub(crate) struct State<W: BatchWriter> {
    arguments: Arguments<W>,
    stats: Arc<Stats>,
    queue: VecDeque<Pending<W>>,
    in_flight: bool,
}

impl<W: BatchWriter> Actor for GroupCommit<W> {
    type Msg = Msg<W>;
    type State = State<W>;
    type Arguments = Arguments<W>;

    async fn pre_start(&self, _: ActorRef<Msg<W>>, arguments: Arguments<W>) -> Result<State<W>, ActorProcessingErr> {
        let stats = Arc::new(Stats::default());
        let (shown, pool) = (stats.clone(), arguments.pool.clone());
        arguments.card.set_state(move || {
            let connections = pool.state();
            json!({
                "batches": shown.batches.load(Ordering::Relaxed),
                "items": shown.items.load(Ordering::Relaxed),
                "largest_batch": shown.largest.load(Ordering::Relaxed),
                "last_error": shown.last_error.load().as_deref(),
                "connections": { "open": connections.connections, "idle": connections.idle_connections },
            })
        });
        Ok(State { arguments, stats, queue: VecDeque::new(), in_flight: false })
    }

    async fn handle(
        &self,
        me: ActorRef<Msg<W>>,
        message: Msg<W>,
        state: &mut State<W>,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.card.handled();
        match message {
            Msg::Write(pending) => state.queue.push_back(pending),
            Msg::Read(job) => {
                tokio::spawn(job(state.arguments.pool.clone()).in_current_span());
                return Ok(());
            }
            Msg::BatchFinished(finished) => {
                state.in_flight = false;
                finished.map_err(|reason| format!("a batch died: {reason}"))?;
            }
        }
        send_next(&me, state);
        Ok(())
    }
}

/// Sends what is queued as the next batch, unless one is out.
fn send_next<W: BatchWriter>(me: &ActorRef<Msg<W>>, state: &mut State<W>) {
    if state.in_flight || state.queue.is_empty() {
        return;
    }
    let batch = next_batch(&mut state.queue, state.arguments.max_batch);
    state.in_flight = true;
    let flushed = tokio::spawn(flush(Flush {
        name: state.arguments.name,
        pool: state.arguments.pool.clone(),
        writer: state.arguments.writer.clone(),
        stats: state.stats.clone(),
        batch,
    }));
    let me = me.clone();
    tokio::spawn(async move {
        // A panic in a batch is the actor's death: whoever waited is told that it is in doubt.
        let finished = flushed.await.map_err(|error| error.to_string());
        let _ = me.cast(Msg::BatchFinished(finished));
    });
}

/// Takes up to `max` items whose keys differ, in order; an item whose key is taken waits, and so does all behind it of
/// that key.
fn next_batch<W: BatchWriter>(queue: &mut VecDeque<Pending<W>>, max: usize) -> Vec<Pending<W>> {
    let mut batch = Vec::with_capacity(queue.len().min(max));
    let mut keys = HashSet::with_capacity(queue.len().min(max));
    let mut waits = VecDeque::new();
    while batch.len() < max {
        let Some(pending) = queue.pop_front() else { break };
        match keys.insert(W::key(&pending.item).into_owned()) {
            true => batch.push(pending),
            false => waits.push_back(pending),
        }
    }
    while let Some(pending) = waits.pop_back() {
        queue.push_front(pending);
    }
    batch
}
