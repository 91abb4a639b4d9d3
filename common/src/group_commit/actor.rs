//! The actor: it owns the queue and the task that writes it, one batch after the other. Its handlers never await.
//!
//! ```text
//!   write ──► queue ──► writer task ──► answers         read ──► actor ──► spawned task
//! ```
//! Writes bypass the actor's mailbox and go directly to the queue, so that an item costs no message and no turn of the
//! actor. The queue lives as long as the actor; items still queued when the actor dies are answered as not written.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};

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

pub(super) enum Msg {
    /// A read to spawn.
    Read(BoxFuture<'static, ()>),
    /// A batch panicked with this message.
    Panicked(String),
}

pub(super) struct State<W: BatchWriter> {
    shared: Arc<Shared<W>>,
    queue: Arc<Queue<W>>,
    writing: Option<JoinHandle<()>>,
}

impl<W: BatchWriter> Actor for GroupCommit<W> {
    type Msg = Msg;
    type State = State<W>;
    type Arguments = Arc<Shared<W>>;

    async fn pre_start(&self, me: ActorRef<Msg>, shared: Arc<Shared<W>>) -> Result<State<W>, ActorProcessingErr> {
        let shown = Arc::downgrade(&shared);
        shared.entry.set_state(move || shown.upgrade().map_or_else(Default::default, |it| show(&it)));
        let queue = Arc::new(Queue::new(Phase::Open));
        shared.queue.store(queue.clone());
        let writing = tokio::spawn(write_all(shared.clone(), queue.clone(), me));
        Ok(State { shared, queue, writing: Some(writing) })
    }

    async fn handle(&self, _: ActorRef<Msg>, message: Msg, state: &mut State<W>) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Read(job) => {
                state.shared.entry.handled();
                tokio::spawn(job);
                Ok(())
            }
            // The batch's callers are answered that it is in doubt, callers still in the queue that nothing is written.
            Msg::Panicked(reason) => Err(format!("a batch panicked: {reason}").into()),
        }
    }

    /// Writes the remaining items.
    async fn post_stop(&self, _: ActorRef<Msg>, state: &mut State<W>) -> Result<(), ActorProcessingErr> {
        state.queue.stop();
        if let Some(writing) = state.writing.take() {
            let _ = writing.await;
        }
        // Items remain if the writer task ended with a panic.
        while write_what_waits(&state.shared, &state.queue).await.is_err() {}
        Ok(())
    }
}

impl<W: BatchWriter> Drop for State<W> {
    /// However the actor ends, its queued items are not written from here on: its successor may already be writing.
    fn drop(&mut self) {
        drop(self.queue.close());
    }
}

/// The items to be written: filled by callers, emptied by one task.
pub(super) struct Queue<W: BatchWriter> {
    waiting: Mutex<Waiting<W>>,
    /// Wakes the writer task.
    stirred: Notify,
}

struct Waiting<W: BatchWriter> {
    items: VecDeque<Pending<W>>,
    phase: Phase,
}

/// The state of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Items are accepted and written.
    Open,
    /// The actor is stopping: queued items are written if there is a database. An unavailable one is tried only once.
    Last,
    /// The actor has ended.
    Closed,
}

impl<W: BatchWriter> Queue<W> {
    pub(super) fn new(phase: Phase) -> Self {
        Self { waiting: Mutex::new(Waiting { items: VecDeque::new(), phase }), stirred: Notify::new() }
    }

    /// Enqueues an item. A rejected item is returned: dropped outside of the lock, it answers that it is not written.
    pub(super) fn push(&self, pending: Pending<W>) -> Result<(), Pending<W>> {
        let mut waiting = self.waiting.lock();
        if waiting.phase != Phase::Open {
            return Err(pending);
        }
        waiting.items.push_back(pending);
        drop(waiting);
        self.stirred.notify_one();
        Ok(())
    }

    /// Accepts no more items; queued ones are still written.
    fn stop(&self) {
        self.waiting.lock().phase = Phase::Last;
        self.stirred.notify_one();
    }

    /// Closes the queue and returns its items.
    fn close(&self) -> VecDeque<Pending<W>> {
        let mut waiting = self.waiting.lock();
        waiting.phase = Phase::Closed;
        self.stirred.notify_one();
        std::mem::take(&mut waiting.items)
    }

    fn phase(&self) -> Phase {
        self.waiting.lock().phase
    }

    /// Takes the next batch; `None` if the queue is empty.
    fn next_batch(&self, max: usize) -> Option<Batch<W>> {
        let mut waiting = self.waiting.lock();
        (!waiting.items.is_empty()).then(|| next_batch(&mut waiting.items, max))
    }

    /// Answers all queued items as not written, once the actor has stopped.
    fn give_up(&self) {
        for pending in self.close() {
            pending.reply.give(Written::NotWritten("the writer has stopped".to_owned()));
        }
    }
}

/// Writes items until the actor ends.
async fn write_all<W: BatchWriter>(shared: Arc<Shared<W>>, queue: Arc<Queue<W>>, actor: ActorRef<Msg>) {
    loop {
        queue.stirred.notified().await;
        // Yield, so tasks that can run now enqueue their items before the commit. Without such tasks this returns at
        // once.
        yield_now().await;
        if let Err(panic) = write_what_waits(&shared, &queue).await {
            // The message ends the actor. An actor that is already stopping ignores it and writes the rest itself.
            let _ = actor.cast(Msg::Panicked(panic));
            return;
        }
        if queue.phase() != Phase::Open {
            return;
        }
    }
}

/// Writes batch after batch until the queue is empty; [`flush`] yields to other tasks before it returns.
///
/// # Errors
/// The message of a panic in a batch; the batch and its callers' replies are dropped.
async fn write_what_waits<W: BatchWriter>(shared: &Shared<W>, queue: &Queue<W>) -> Result<(), String> {
    while let Some(batch) = queue.next_batch(shared.max_batch) {
        let flushed = AssertUnwindSafe(flush(shared, batch)).catch_unwind().await;
        let flushed = flushed.map_err(|panic| reason::of_panic(&*panic).to_owned())?;
        if flushed == Flushed::NoDatabase && queue.phase() == Phase::Last {
            queue.give_up();
        }
    }
    Ok(())
}
