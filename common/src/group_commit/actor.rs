//! The actor: a queue, and one batch out at a time. It waits for nothing in its handlers.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::batch::{Pending, next_batch};
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
    /// Send what is queued by now.
    Due,
    /// Read this.
    Read(BoxFuture<'static, ()>),
    /// The batch that was out is settled; or it panicked, with this message.
    BatchFinished(Result<Flushed, String>),
}

pub(super) struct State<W: BatchWriter> {
    shared: Arc<Shared<W>>,
    queue: VecDeque<Pending<W>>,
    in_flight: Option<JoinHandle<()>>,
    /// Whether [`Msg::Due`] is on its way.
    is_due: bool,
}

impl<W: BatchWriter> Actor for GroupCommit<W> {
    type Msg = Msg<W>;
    type State = State<W>;
    type Arguments = Arc<Shared<W>>;

    async fn pre_start(&self, _: ActorRef<Msg<W>>, shared: Arc<Shared<W>>) -> Result<State<W>, ActorProcessingErr> {
        let shown = Arc::downgrade(&shared);
        shared.card.set_state(move || shown.upgrade().map_or_else(Default::default, |it| show(&it)));
        Ok(State { shared, queue: VecDeque::new(), in_flight: None, is_due: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg<W>>,
        message: Msg<W>,
        state: &mut State<W>,
    ) -> Result<(), ActorProcessingErr> {
        state.shared.card.handled();
        match message {
            Msg::Write(pending) => state.queue.push_back(pending),
            Msg::Due => {
                state.is_due = false;
                send_next(&myself, state);
                return Ok(());
            }
            Msg::Read(job) => {
                tokio::spawn(job.in_current_span());
            }
            Msg::BatchFinished(finished) => {
                state.in_flight = None;
                // Whoever waits, in the batch and behind it, is told that it is in doubt.
                finished.map_err(|reason| format!("a batch panicked: {reason}"))?;
            }
        }
        see_to_next(&myself, state);
        Ok(())
    }

    /// Writes what is left. The mailbox is closed by now, so no message tells when a batch is finished.
    async fn post_stop(&self, _: ActorRef<Msg<W>>, state: &mut State<W>) -> Result<(), ActorProcessingErr> {
        if let Some(in_flight) = state.in_flight.take() {
            let _ = in_flight.await;
        }
        while !state.queue.is_empty() {
            let batch = next_batch(&mut state.queue, state.shared.max_batch);
            if flush(&state.shared, batch).await == Flushed::NoDatabase {
                break;
            }
        }
        for pending in state.queue.drain(..) {
            let stopped = Written::NotWritten("the ledger has stopped".to_owned());
            let _ = pending.reply.send(stopped);
        }
        Ok(())
    }
}

/// Has a batch sent as soon as everything that can run now has run: what it queues shares the commit. Where nothing else
/// can run, that is at once.
fn see_to_next<W: BatchWriter>(myself: &ActorRef<Msg<W>>, state: &mut State<W>) {
    if state.is_due || state.in_flight.is_some() || state.queue.is_empty() {
        return;
    }
    state.is_due = true;
    let myself = myself.clone();
    tokio::spawn(async move {
        tokio::task::yield_now().await;
        let _ = myself.cast(Msg::Due);
    });
}

/// Sends what is queued as the next batch, unless one is out.
fn send_next<W: BatchWriter>(myself: &ActorRef<Msg<W>>, state: &mut State<W>) {
    if state.in_flight.is_some() || state.queue.is_empty() {
        return;
    }
    let batch = next_batch(&mut state.queue, state.shared.max_batch);
    let (shared, myself) = (state.shared.clone(), myself.clone());
    state.in_flight = Some(tokio::spawn(async move {
        // A panic drops the batch with all that wait for it, and becomes the actor's death.
        let flushed = AssertUnwindSafe(flush(&shared, batch)).catch_unwind().await;
        // Nobody hears it once the actor stops; it waits for this task then.
        let _ = myself.cast(Msg::BatchFinished(flushed.map_err(|panic| reason::of_panic(&*panic).to_owned())));
    }));
}
