//! The actor: it owns the queue and the task that writes it, one batch after the other. It waits for nothing in its
//! handlers.
//!
//! ```text
//!   write ──► queue ──► the task that writes ──► answers         read ──► the actor ──► a task of its own
//! ```
//! Writes pass by the actor's mailbox: the queue takes its place, so that no item costs a message and a turn of the actor.
//! It is there as long as the actor is; what it still holds when the actor dies is told that it is not written.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
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
    /// Read this.
    Read(BoxFuture<'static, ()>),
    /// A batch panicked, with this message.
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
        shared.card.set_state(move || shown.upgrade().map_or_else(Default::default, |it| show(&it)));
        let queue = Arc::new(Queue::new(Phase::Open));
        shared.queue.store(queue.clone());
        let writing = tokio::spawn(write_all(shared.clone(), queue.clone(), me));
        Ok(State { shared, queue, writing: Some(writing) })
    }

    async fn handle(&self, _: ActorRef<Msg>, message: Msg, state: &mut State<W>) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Read(job) => {
                state.shared.card.handled();
                tokio::spawn(job);
                Ok(())
            }
            // Whoever waits for the batch is told that it is in doubt; whoever waits behind it, that nothing is written.
            Msg::Panicked(reason) => Err(format!("a batch panicked: {reason}").into()),
        }
    }

    /// Writes what is left.
    async fn post_stop(&self, _: ActorRef<Msg>, state: &mut State<W>) -> Result<(), ActorProcessingErr> {
        state.queue.stop();
        if let Some(writing) = state.writing.take() {
            let _ = writing.await;
        }
        // There is something left where the task ended with a panic.
        while write_what_waits(&state.shared, &state.queue).await.is_err() {}
        Ok(())
    }
}

impl<W: BatchWriter> Drop for State<W> {
    /// However the actor ends: from here on nothing that waits is written, where its successor may be writing already.
    fn drop(&mut self) {
        drop(self.queue.close());
    }
}

/// What waits to be written: filled by whoever writes, emptied by one task.
pub(super) struct Queue<W: BatchWriter> {
    waiting: Mutex<Waiting<W>>,
    /// There is something to do for that task.
    stirred: Notify,
}

struct Waiting<W: BatchWriter> {
    items: VecDeque<Pending<W>>,
    phase: Phase,
}

/// What a queue is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes items, and they are written.
    Open,
    /// The actor stops: what waits is written, if there is a database; one that is away is not waited for again and again.
    Last,
    /// There is no actor.
    Closed,
}

impl<W: BatchWriter> Queue<W> {
    pub(super) fn new(phase: Phase) -> Self {
        Self { waiting: Mutex::new(Waiting { items: VecDeque::new(), phase }), stirred: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<W>> {
        // Nothing panics under the lock but an allocation.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an item. One that comes too late comes back: dropped, outside of the lock, it tells that it is not written.
    pub(super) fn push(&self, pending: Pending<W>) -> Result<(), Pending<W>> {
        let mut waiting = self.waiting();
        if waiting.phase != Phase::Open {
            return Err(pending);
        }
        waiting.items.push_back(pending);
        drop(waiting);
        self.stirred.notify_one();
        Ok(())
    }

    /// Lets what waits be written, and nothing else.
    fn stop(&self) {
        self.waiting().phase = Phase::Last;
        self.stirred.notify_one();
    }

    /// Ends it, and returns what waited.
    fn close(&self) -> VecDeque<Pending<W>> {
        let mut waiting = self.waiting();
        waiting.phase = Phase::Closed;
        self.stirred.notify_one();
        std::mem::take(&mut waiting.items)
    }

    fn phase(&self) -> Phase {
        self.waiting().phase
    }

    /// Takes the next batch, if anything waits.
    fn next_batch(&self, max: usize) -> Option<Batch<W>> {
        let mut waiting = self.waiting();
        (!waiting.items.is_empty()).then(|| next_batch(&mut waiting.items, max))
    }

    /// Tells all that wait, once the actor has stopped, that nothing of them is written.
    fn give_up(&self) {
        for pending in self.close() {
            pending.reply.give(Written::NotWritten("the ledger has stopped".to_owned()));
        }
    }
}

/// Writes whatever comes, until the actor ends.
async fn write_all<W: BatchWriter>(shared: Arc<Shared<W>>, queue: Arc<Queue<W>>, actor: ActorRef<Msg>) {
    loop {
        queue.stirred.notified().await;
        // What everything that can run now is about to queue shares the commit. Where nothing else can run, that is at once.
        yield_now().await;
        if let Err(panic) = write_what_waits(&shared, &queue).await {
            // It becomes the actor's death. One that stops already hears nothing any more, and goes on by itself.
            let _ = actor.cast(Msg::Panicked(panic));
            return;
        }
        if queue.phase() != Phase::Open {
            return;
        }
    }
}

/// Writes batch after batch until nothing waits; [`flush`] lets run what can run before it returns.
///
/// # Errors
/// What a batch panicked with: it is gone, with all that wait for it.
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
