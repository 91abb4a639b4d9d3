//! The reader: one actor per node that polls the table while there are listeners, and sends each row to all of them.
//!
//! ```text
//! Attach ─► (idle: where is the present?) ─► a receiver, and the place from which it receives
//! Poll ─► spawned read ─► Polled ─► broadcast ─► (event_poll_ms later) Poll, unless no listeners are left
//! ```
//! Rows are read once for all listeners. A listener that lags by more than the channel's capacity catches up from the
//! table. If the stream does not continue from the last row (see [`event_place`](crate::store::event_place)), all
//! listeners get a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::group_commit::{BatchSender, ReadError};
use common::supervision::{ActorEntry, ChildSpec, Handle, child};
use metrics::gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::sync::{broadcast, oneshot};
use tracing::warn;

use crate::meters;
use crate::store::event_id::EventId;
use crate::store::event_place::Place;
use crate::store::events::{self, EventRow, Page};
use crate::store::writer::SagaLogWriter;

/// Rows per read.
pub(crate) const PAGE: i64 = 500;
/// Capacity of the channel, in rows: how far the slowest listener may lag.
const CHANNEL: usize = 4 * PAGE as usize;
/// Pause after a failed read.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// An item for the listeners.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The next row.
    Row(Arc<EventRow>),
    /// Some events are missing; the stream resumes after this one.
    Gap(EventId),
}

/// A listener's attachment to the stream.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Yields every row after `from`.
    pub(crate) items: broadcast::Receiver<Item>,
    /// The last change before the attachment.
    pub(crate) from: EventId,
}

/// Reply channel of an attachment.
pub(crate) type Attach = oneshot::Sender<Result<Attached, ReadError>>;

pub(crate) enum ReaderMsg {
    /// A new listener.
    Attach(Attach),
    /// Result of the read of the present.
    Present(Result<Place, ReadError>),
    /// Time to read rows.
    Poll,
    /// Result of a read.
    Polled(Result<Page, ReadError>),
}

#[derive(Clone)]
pub(crate) struct ReaderArguments {
    pub(crate) entry: Arc<ActorEntry>,
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) every: Duration,
}

struct Reader;

struct State {
    arguments: ReaderArguments,
    items: broadcast::Sender<Item>,
    phase: Phase,
    /// For the entry; in milliseconds.
    lag_ms: Arc<AtomicI64>,
    /// Whether the last read worked, so that an outage is logged once.
    works: bool,
}

enum Phase {
    /// No listeners.
    Idle,
    /// These listeners wait for the read of the present.
    Starting(Vec<Attach>),
    /// Has delivered everything up to this place.
    Following(Place),
}

pub(crate) fn reader(handle: Handle<ReaderMsg>, arguments: ReaderArguments) -> ChildSpec {
    child(arguments.entry.clone(), handle, move || (Reader, arguments.clone()))
}

impl Actor for Reader {
    type Msg = ReaderMsg;
    type State = State;
    type Arguments = ReaderArguments;

    async fn pre_start(&self, _: ActorRef<ReaderMsg>, arguments: ReaderArguments) -> Result<State, ActorProcessingErr> {
        // The receivers of a dead reader are closed; their listeners end, and the clients reconnect with their last
        // event.
        let (items, _) = broadcast::channel(CHANNEL);
        let (counted, lag_ms) = (items.clone(), Arc::new(AtomicI64::new(0)));
        let shown = lag_ms.clone();
        arguments.entry.set_state(
            move || json!({ "listeners": counted.receiver_count(), "lag_ms": shown.load(Ordering::Relaxed) }),
        );
        Ok(State { arguments, items, phase: Phase::Idle, lag_ms, works: true })
    }

    async fn handle(
        &self,
        me: ActorRef<ReaderMsg>,
        message: ReaderMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.entry.handled();
        match message {
            ReaderMsg::Attach(listener) => attach(&me, state, listener),
            ReaderMsg::Present(present) => started(&me, state, present),
            ReaderMsg::Poll => poll(&me, state),
            ReaderMsg::Polled(page) => polled(&me, state, page),
        }
        gauge!("ecommerce_event_listeners").set(state.items.receiver_count() as f64);
        Ok(())
    }
}

fn attach(me: &ActorRef<ReaderMsg>, state: &mut State, listener: Attach) {
    match &mut state.phase {
        Phase::Following(from) => {
            let _ = listener.send(Ok(Attached { items: state.items.subscribe(), from: from.after }));
        }
        Phase::Starting(waiting) => waiting.push(listener),
        Phase::Idle => {
            state.phase = Phase::Starting(vec![listener]);
            let (saga_log, me) = (state.arguments.saga_log.clone(), me.clone());
            tokio::spawn(async move {
                let present = saga_log.read_for_display(|connection| Box::pin(events::present(connection))).await;
                let _ = me.cast(ReaderMsg::Present(present));
            });
        }
    }
}

fn started(me: &ActorRef<ReaderMsg>, state: &mut State, present: Result<Place, ReadError>) {
    let Phase::Starting(waiting) = std::mem::replace(&mut state.phase, Phase::Idle) else { return };
    let from = match present {
        Ok(from) => from,
        Err(error) => {
            let reason = error.to_string();
            warn!(reason, "the end of the event stream cannot be read");
            // `ReadError` is not `Clone`; the cause is in the log.
            for listener in waiting {
                let _ = listener.send(Err(ReadError::Down));
            }
            return;
        }
    };
    for listener in waiting {
        let _ = listener.send(Ok(Attached { items: state.items.subscribe(), from: from.after }));
    }
    state.phase = Phase::Following(from);
    poll(me, state);
}

fn poll(me: &ActorRef<ReaderMsg>, state: &mut State) {
    let Phase::Following(from) = state.phase else { return };
    if state.items.receiver_count() == 0 {
        state.phase = Phase::Idle;
        state.show_lag(0);
        return;
    }
    let (saga_log, me) = (state.arguments.saga_log.clone(), me.clone());
    tokio::spawn(async move {
        let page =
            saga_log.read_for_display(move |connection| Box::pin(events::page(connection, from.after, PAGE))).await;
        let _ = me.cast(ReaderMsg::Polled(page));
    });
}

fn polled(me: &ActorRef<ReaderMsg>, state: &mut State, page: Result<Page, ReadError>) {
    let Phase::Following(from) = &mut state.phase else { return };
    let page = match page {
        Ok(page) => page,
        Err(error) => {
            if state.works {
                warn!(%error, "events cannot be read now");
            }
            state.works = false;
            me.send_after(REST_AFTER_FAILURE, || ReaderMsg::Poll);
            return;
        }
    };
    state.works = true;
    let is_full = page.rows.len() as i64 == PAGE;
    let gap = from.gap(&page);
    if let Some(goes_on_after) = gap {
        warn!(after = %from.after, %goes_on_after, "events are missing: they were pruned, or the database was restored");
        *from = Place::at(goes_on_after);
        // There may be no listeners left; the next poll notices.
        let _ = state.items.send(Item::Gap(goes_on_after));
    } else {
        // The page begins with the row that was delivered last.
        let last = from.after.row();
        for row in page.rows.into_iter().filter(|row| row.first.row() > last) {
            *from = Place::behind(&row);
            let _ = state.items.send(Item::Row(Arc::new(row)));
        }
    }
    state.show_lag(page.lag_ms);
    if is_full || gap.is_some() {
        drop(me.cast(ReaderMsg::Poll))
    } else {
        drop(me.send_after(state.arguments.every, || ReaderMsg::Poll))
    }
}

impl State {
    fn show_lag(&self, lag_ms: i64) {
        self.lag_ms.store(lag_ms, Ordering::Relaxed);
        meters::event_lag().set(lag_ms as f64 / 1000.0);
    }
}
