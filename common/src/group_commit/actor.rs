//! The actor: a queue, and a task that writes it, one batch after the other. It waits for nothing in its handlers.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{JoinHandle, yield_now};
use tracing::Instrument;

use super::batch::{Batch, Pending, next_batch};
use super::flush::{Flushed, flush, show};
use super::{BatchWriter, Shared, Written};
use crate::reason;

pub(super) struct GroupCommit<W>(PhantomData<fn() -> W>);

impl<W> GroupCommit<W> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

pub(super) enum Msg<W: BatchWriter> {
    /// Write this.
    Write(Pending<W>),
    /// Read this.
    Read(BoxFuture<'static, ()>),
    /// A batch panicked, with this message.
    Panicked(String),
}

pub(super) struct State<W: BatchWriter> {
    shared: Arc<Shared<W>>,
    queue: Arc<Queue<W>>,
    /// The task that writes, or the last one that did.
    writing: Option<JoinHandle<()>>,
}

/// What waits to be written. The actor fills it, and a task empties it, of which there is one at a time.
struct Queue<W: BatchWriter>(Mutex<Waiting<W>>);

struct Waiting<W: BatchWriter> {
    items: VecDeque<Pending<W>>,
    /// Whether a task is there that writes until nothing is left.
    is_written: bool,
    /// Whether the actor stops: then a database that is away is not waited for again and again.
    is_last: bool,
}

impl<W: BatchWriter> Actor for GroupCommit<W> {
    type Msg = Msg<W>;
    type State = State<W>;
    type Arguments = Arc<Shared<W>>;

    async fn pre_start(&self, _: ActorRef<Msg<W>>, shared: Arc<Shared<W>>) -> Result<State<W>, ActorProcessingErr> {
        let shown = Arc::downgrade(&shared);
        shared.card.set_state(move || shown.upgrade().map_or_else(Default::default, |it| show(&it)));
        let waiting = Waiting { items: VecDeque::new(), is_written: false, is_last: false };
        Ok(State { shared, queue: Arc::new(Queue(Mutex::new(waiting))), writing: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg<W>>,
        message: Msg<W>,
        state: &mut State<W>,
    ) -> Result<(), ActorProcessingErr> {
        state.shared.card.handled();
        match message {
            Msg::Write(pending) => {
                if state.queue.push(pending) {
                    let (shared, queue) = (state.shared.clone(), state.queue.clone());
                    state.writing = Some(tokio::spawn(write_all(shared, queue, Some(myself))));
                }
                Ok(())
            }
            Msg::Read(job) => {
                tokio::spawn(job.in_current_span());
                Ok(())
            }
            // Whoever waits for the batch is told that it is in doubt; whoever waits behind it, that nothing is written.
            Msg::Panicked(reason) => Err(format!("a batch panicked: {reason}").into()),
        }
    }

    /// Writes what is left.
    async fn post_stop(&self, _: ActorRef<Msg<W>>, state: &mut State<W>) -> Result<(), ActorProcessingErr> {
        state.queue.waiting().is_last = true;
        if let Some(writing) = state.writing.take() {
            let _ = writing.await;
        }
        // There is something left where the task ended with a panic.
        write_all(state.shared.clone(), state.queue.clone(), None).await;
        Ok(())
    }
}

impl<W: BatchWriter> Drop for State<W> {
    /// However the actor ends: nothing that waits is written after it, where its successor may be writing already.
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.queue.waiting().items);
        drop(left);
    }
}

impl<W: BatchWriter> Queue<W> {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting<W>> {
        // Nothing panics under the lock but an allocation.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a task is to be started that writes.
    fn push(&self, pending: Pending<W>) -> bool {
        let mut waiting = self.waiting();
        waiting.items.push_back(pending);
        !std::mem::replace(&mut waiting.is_written, true)
    }

    /// Takes the next batch; `None` ends the task that writes.
    fn next_batch(&self, max: usize) -> Option<Batch<W>> {
        let mut waiting = self.waiting();
        if waiting.items.is_empty() {
            waiting.is_written = false;
            return None;
        }
        Some(next_batch(&mut waiting.items, max))
    }

    /// Tells all that wait, once the actor has stopped, that nothing of them is written.
    fn give_up(&self) {
        let left = std::mem::take(&mut self.waiting().items);
        for pending in left {
            pending.reply.give(Written::NotWritten("the ledger has stopped".to_owned()));
        }
    }
}

/// Writes until nothing is left. Each batch is taken as soon as everything that can run has run ([`flush`] waits for that
/// too): what that queues shares the commit. Where nothing else can run, that is at once.
async fn write_all<W: BatchWriter>(shared: Arc<Shared<W>>, queue: Arc<Queue<W>>, actor: Option<ActorRef<Msg<W>>>) {
    yield_now().await;
    while let Some(batch) = queue.next_batch(shared.max_batch) {
        // A panic drops the batch with all that wait for it, and becomes the actor's death.
        match AssertUnwindSafe(flush(&shared, batch)).catch_unwind().await {
            Ok(Flushed::NoDatabase) if queue.waiting().is_last => queue.give_up(),
            Ok(Flushed::NoDatabase | Flushed::Settled) => {}
            Err(panic) => {
                let reason = reason::of_panic(&*panic).to_owned();
                let told = actor.as_ref().map(|actor| actor.cast(Msg::Panicked(reason)));
                // An actor that stops hears nothing any more: it is itself that goes on.
                if matches!(told, Some(Ok(()))) {
                    return;
                }
            }
        }
    }
}
