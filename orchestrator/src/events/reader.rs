//! The reader: one actor a node that follows the table while somebody listens, and hands each row to all listeners.
//!
//! ```text
//! Attach ─► (idle: where is the present?) ─► a receiver, and the place from which it receives
//! Poll ─► spawned read ─► Polled ─► broadcast ─► (event_poll_ms later) Poll, unless nobody listens any more
//! ```
//! Rows are read once for all listeners. Who falls behind by more than the channel holds reads the table itself.

use std::sync::Arc;
use std::time::Duration;

use common::group_commit::{Ledger, ReadError};
use common::supervision::{ActorCard, ChildSpec, Handle, child};
use metrics::gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::sync::{broadcast, oneshot};
use tracing::warn;

use crate::events::id::EventId;
use crate::store::events::{self, EventRow};
use crate::store::writer::SagaLogWriter;

/// Rows of one read.
pub(crate) const PAGE: i64 = 500;
/// Rows that wait for the slowest listener.
const CHANNEL: usize = 4 * PAGE as usize;
/// The rest after a read that failed.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Where a listener joins.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Gives every row after `from`.
    pub(crate) rows: broadcast::Receiver<Arc<EventRow>>,
    /// The last change that was given before.
    pub(crate) from: EventId,
}

/// Where that is told.
pub(crate) type Attach = oneshot::Sender<Result<Attached, ReadError>>;

/// What the reader hears.
pub(crate) enum ReaderMsg {
    /// Somebody wants to listen.
    Attach(Attach),
    /// The database says where the present is.
    Present(Result<EventId, ReadError>),
    /// It is time to look for rows.
    Poll,
    /// They were read, or not.
    Polled(Result<Vec<EventRow>, ReadError>),
}

/// What the reader is made of.
#[derive(Clone)]
pub(crate) struct ReaderArguments {
    pub(crate) card: Arc<ActorCard>,
    pub(crate) saga_log: Ledger<SagaLogWriter>,
    pub(crate) every: Duration,
}

struct Reader;

struct State {
    arguments: ReaderArguments,
    rows: broadcast::Sender<Arc<EventRow>>,
    phase: Phase,
    /// Whether the last read worked, so that an outage is logged once.
    works: bool,
}

enum Phase {
    /// Nobody listens.
    Idle,
    /// These wait to know where the present is.
    Starting(Vec<Attach>),
    /// The last change that was handed out.
    Following(EventId),
}

/// Makes the reader a child.
pub(crate) fn reader(handle: Handle<ReaderMsg>, arguments: ReaderArguments) -> ChildSpec {
    child(arguments.card.clone(), handle, move || (Reader, arguments.clone()))
}

impl Actor for Reader {
    type Msg = ReaderMsg;
    type State = State;
    type Arguments = ReaderArguments;

    async fn pre_start(&self, _: ActorRef<ReaderMsg>, arguments: ReaderArguments) -> Result<State, ActorProcessingErr> {
        // The receivers of a reader that died are closed; their listeners end, and come back with what they had last.
        let (rows, _) = broadcast::channel(CHANNEL);
        let counted = rows.clone();
        arguments.card.set_state(move || json!({ "listeners": counted.receiver_count() }));
        Ok(State { arguments, rows, phase: Phase::Idle, works: true })
    }

    async fn handle(
        &self,
        me: ActorRef<ReaderMsg>,
        message: ReaderMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.card.handled();
        match message {
            ReaderMsg::Attach(listener) => attach(&me, state, listener),
            ReaderMsg::Present(present) => started(&me, state, present),
            ReaderMsg::Poll => poll(&me, state),
            ReaderMsg::Polled(rows) => polled(&me, state, rows),
        }
        gauge!("event_listeners").set(state.rows.receiver_count() as f64);
        Ok(())
    }
}

fn attach(me: &ActorRef<ReaderMsg>, state: &mut State, listener: Attach) {
    match &mut state.phase {
        Phase::Following(from) => {
            let _ = listener.send(Ok(Attached { rows: state.rows.subscribe(), from: *from }));
        }
        Phase::Starting(waiting) => waiting.push(listener),
        Phase::Idle => {
            state.phase = Phase::Starting(vec![listener]);
            let (saga_log, me) = (state.arguments.saga_log.clone(), me.clone());
            tokio::spawn(async move {
                let present = saga_log.read(|connection| Box::pin(events::present(connection))).await;
                let _ = me.cast(ReaderMsg::Present(present));
            });
        }
    }
}

fn started(me: &ActorRef<ReaderMsg>, state: &mut State, present: Result<EventId, ReadError>) {
    let Phase::Starting(waiting) = std::mem::replace(&mut state.phase, Phase::Idle) else { return };
    let from = match present {
        Ok(from) => from,
        Err(error) => {
            let reason = error.to_string();
            warn!(reason, "the present of the events cannot be read");
            // Each gets an error of its own; which one matters to nobody but the log.
            for listener in waiting {
                let _ = listener.send(Err(ReadError::Down));
            }
            return;
        }
    };
    for listener in waiting {
        let _ = listener.send(Ok(Attached { rows: state.rows.subscribe(), from }));
    }
    state.phase = Phase::Following(from);
    poll(me, state);
}

fn poll(me: &ActorRef<ReaderMsg>, state: &mut State) {
    let Phase::Following(from) = state.phase else { return };
    if state.rows.receiver_count() == 0 {
        state.phase = Phase::Idle;
        return;
    }
    let (saga_log, me) = (state.arguments.saga_log.clone(), me.clone());
    tokio::spawn(async move {
        let rows = saga_log.read(move |connection| Box::pin(events::page(connection, from, PAGE))).await;
        let _ = me.cast(ReaderMsg::Polled(rows));
    });
}

fn polled(me: &ActorRef<ReaderMsg>, state: &mut State, rows: Result<Vec<EventRow>, ReadError>) {
    let Phase::Following(from) = &mut state.phase else { return };
    match rows {
        Ok(rows) => {
            state.works = true;
            let is_full = rows.len() as i64 == PAGE;
            // The page begins with the row that was handed out last.
            for row in rows.into_iter().filter(|row| row.first.row() > from.row()).collect::<Vec<_>>() {
                *from = row.last();
                // Nobody may be there any more: the next poll sees to that.
                let _ = state.rows.send(Arc::new(row));
            }
            match is_full {
                true => drop(me.cast(ReaderMsg::Poll)),
                false => drop(me.send_after(state.arguments.every, || ReaderMsg::Poll)),
            }
        }
        Err(error) => {
            if state.works {
                warn!(%error, "events cannot be read now");
            }
            state.works = false;
            me.send_after(REST_AFTER_FAILURE, || ReaderMsg::Poll);
        }
    }
}
