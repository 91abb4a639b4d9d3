//! A listener: one task per open stream, between the reader and the client.
//!
//! A waiting listener holds neither a pooled connection nor a permit of the front. Its cursor is the last event it
//! sent; a listener that lags by more than the reader's channel catches up from the table.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use common::group_commit::{BatchSender, ReadError};
use common::http::SseEvent;
use common::per_client::Share;
use rand::RngExt;
use serde_json::json;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::events::Events;
use crate::events::reader::{Attached, Item, PAGE, ReaderMsg};
use crate::store::event_id::EventId;
use crate::store::event_place::Place;
use crate::store::events::{self, EventRow, SagaStanding, Snapshot};
use crate::store::writer::SagaLogWriter;
use saga_engine::change::StateChange;
use saga_engine::{SagaId, Status};

/// Idle time after which a listener gets a comment with its current position, to keep the stream open.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events buffered per client.
const WINDOW: usize = 64;
/// Delay before a client reconnects, in milliseconds. Each client gets a random one, so that the listeners of a
/// stopping node do not all reach the next node at once.
const COME_BACK_AFTER_MS: RangeInclusive<u64> = 500..=3_000;
/// Time limit for the reader to attach a listener.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);

/// The events that a client asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Only events of this saga.
    pub(crate) saga: Option<SagaId>,
    /// Only events after this one; `None`: from now on, beginning with the saga's current state.
    pub(crate) after: Option<EventId>,
    /// The client's address, if it is known.
    pub(crate) client: Option<IpAddr>,
}

/// Why a listener is refused.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    /// This process is stopping.
    #[error("the service is stopping")]
    Closing,
    /// The limit of listeners is reached.
    #[error("too many listeners")]
    Full,
    /// This client has reached its limit of listeners.
    #[error("too many listeners of this client")]
    ClientFull,
    /// The reader is being restarted, or the database does not answer.
    #[error("the events cannot be read now")]
    Down,
    /// The saga log could not be read.
    #[error("the saga log cannot be read now")]
    Unreadable(#[from] ReadError),
    /// There is no such saga.
    #[error("there is no saga {0}")]
    NoSaga(SagaId),
}

impl Events {
    /// Opens a stream; it ends when the receiver is dropped or this process stops.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(crate) async fn listen(&self, wanted: Wanted) -> Result<mpsc::Receiver<SseEvent>, ListenError> {
        if self.closing.is_cancelled() {
            return Err(ListenError::Closing);
        }
        let share = wanted.client.map_or_else(|| Some(Share::uncounted()), |client| self.places_of.take(client));
        let share = share.ok_or(ListenError::ClientFull)?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| ListenError::Full)?;
        let Attached { items, from } = self.attach().await?;
        // Read after the attachment to the reader: a change that this snapshot does not include arrives as an event,
        // and no other does.
        let (first, seen) = match wanted.saga {
            Some(id) => {
                let standing = self
                    .saga_log
                    .read_for_display(move |connection| Box::pin(events::standing(connection, id)))
                    .await?;
                let SagaStanding { change, seen } = standing.ok_or(ListenError::NoSaga(id))?;
                (Some(change), seen)
            }
            None => (None, self.saga_log.read_for_display(|connection| Box::pin(events::seen(connection))).await?),
        };
        let seen = wanted.after.is_none().then_some(seen);
        let (out, events) = mpsc::channel(WINDOW);
        let listener = Listener {
            saga: wanted.saga,
            cursor: wanted.after.unwrap_or(from),
            seen,
            knows_begin: first.is_some() && wanted.after.is_none(),
            items,
            out,
            last_sent: Instant::now(),
            saga_log: self.saga_log.clone(),
            catching_up: self.catching_up.clone(),
            cell: self.cell,
            closing: self.closing.clone(),
            _place: (place, share),
        };
        let start = if wanted.after.is_some() { Start::InThePast } else { Start::Now(first) };
        tokio::spawn(async move {
            let Err(over) = listener.run(start).await;
            debug!(?over, "a listener has ended");
        });
        Ok(events)
    }

    async fn attach(&self) -> Result<Attached, ListenError> {
        let (reply, attached) = oneshot::channel();
        self.reader.cast(ReaderMsg::Attach(reply)).map_err(|_| ListenError::Down)?;
        match timeout(ATTACH_TIMEOUT, attached).await {
            Ok(Ok(attached)) => Ok(attached?),
            Ok(Err(_)) | Err(_) => Err(ListenError::Down),
        }
    }
}

/// The start of a stream.
enum Start {
    /// After an event that the client has received.
    InThePast,
    /// Now, beginning with the saga's state if one saga was asked for.
    Now(Option<StateChange>),
}

/// Why a stream ended.
#[derive(Debug)]
enum StreamEnd {
    /// The client disconnected.
    ClientLeft,
    /// This process stops, or its reader was restarted.
    Closing,
    /// The table could not be read; the client reconnects.
    Unreadable,
}

struct Listener {
    saga: Option<SagaId>,
    /// The last change that was sent or skipped.
    cursor: EventId,
    /// The transactions that committed before the listener began; their events are not sent.
    seen: Option<Snapshot>,
    /// Whether the client has received the state of its saga. PENDING, which comes with the first event of the saga, is
    /// then not sent again.
    knows_begin: bool,
    items: broadcast::Receiver<Item>,
    out: mpsc::Sender<SseEvent>,
    last_sent: Instant,
    saga_log: BatchSender<SagaLogWriter>,
    catching_up: Arc<Semaphore>,
    cell: u8,
    closing: CancellationToken,
    _place: (OwnedSemaphorePermit, Share),
}

impl Listener {
    async fn run(mut self, start: Start) -> Result<std::convert::Infallible, StreamEnd> {
        // A comment opens the stream at once and gives the client a position to resume from, should no event follow.
        let come_back_after_ms = rand::rng().random_range(COME_BACK_AFTER_MS);
        self.send(self.mark().retry(Duration::from_millis(come_back_after_ms))).await?;
        match start {
            Start::InThePast => self.catch_up().await?,
            Start::Now(Some(change)) => {
                let id = self.saga.unwrap_or(SagaId(uuid::Uuid::nil()));
                self.send(event(self.cursor, id, &change, self.cell)).await?;
            }
            Start::Now(None) => {}
        }
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return Err(StreamEnd::Closing),
                () = self.out.closed() => return Err(StreamEnd::ClientLeft),
                () = sleep_until(self.last_sent + KEEP_ALIVE) => self.send(self.mark()).await?,
                item = self.items.recv() => match item {
                    Ok(Item::Row(row)) => self.deliver(&row).await?,
                    Ok(Item::Gap(goes_on_after)) => self.tell_gap(goes_on_after).await?,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await?,
                    Err(broadcast::error::RecvError::Closed) => return Err(StreamEnd::Closing),
                },
            }
        }
    }

    /// Returns a comment that moves the client's `Last-Event-ID` to this listener's cursor.
    fn mark(&self) -> SseEvent {
        SseEvent::default().comment("listening").id(self.cursor.to_string())
    }

    /// Sends all events in the table after the cursor.
    async fn catch_up(&mut self) -> Result<(), StreamEnd> {
        loop {
            let from = self.cursor;
            let read = {
                let _permit = self.catching_up.acquire().await.map_err(|_| StreamEnd::Closing)?;
                self.saga_log.read_for_display(move |connection| Box::pin(events::page(connection, from, PAGE))).await
            };
            let page = read.map_err(|_| StreamEnd::Unreadable)?;
            if let Some(goes_on_after) = Place::at(from).gap(&page) {
                self.tell_gap(goes_on_after).await?;
                continue;
            }
            for row in &page.rows {
                self.deliver(row).await?;
            }
            if (page.rows.len() as i64) < PAGE {
                return Ok(());
            }
        }
    }

    /// Reports a gap. A listener of one saga also gets its current state, since its end may be among the missing
    /// events.
    async fn tell_gap(&mut self, goes_on_after: EventId) -> Result<(), StreamEnd> {
        if self.cursor == goes_on_after {
            // The catch-up from the table has already reported this gap.
            return Ok(());
        }
        let missed = std::mem::replace(&mut self.cursor, goes_on_after);
        self.send(gap_event(missed, goes_on_after)).await?;
        // A snapshot taken before a restore does not apply to the restored server.
        self.seen = None;
        let Some(id) = self.saga else { return Ok(()) };
        let standing =
            self.saga_log.read_for_display(move |connection| Box::pin(events::standing(connection, id))).await;
        if let Some(SagaStanding { change, seen }) = standing.map_err(|_| StreamEnd::Unreadable)? {
            self.seen = Some(seen);
            self.knows_begin = true;
            self.send(event(self.cursor, id, &change, self.cell)).await?;
        }
        Ok(())
    }

    /// Sends the row's changes that follow the cursor and concern this listener.
    async fn deliver(&mut self, row: &EventRow) -> Result<(), StreamEnd> {
        if row.last() <= self.cursor {
            return Ok(());
        }
        let concerns = self.saga.is_none_or(|saga| saga == row.saga_id)
            && !self.seen.as_ref().is_some_and(|seen| seen.has(row.first.transaction));
        if concerns {
            for (index, change) in (0..).zip(&row.changes) {
                let id = EventId { index, ..row.first };
                let is_known = self.knows_begin && matches!(change, StateChange::Saga { status: Status::Pending, .. });
                if id > self.cursor && !is_known {
                    self.send(event(id, row.saga_id, change, self.cell)).await?;
                }
            }
        }
        self.cursor = row.last();
        Ok(())
    }

    /// Waits until the client's buffer has room.
    async fn send(&mut self, event: SseEvent) -> Result<(), StreamEnd> {
        let sent = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(StreamEnd::Closing),
            sent = self.out.send(event) => sent,
        };
        self.last_sent = Instant::now();
        sent.map_err(|_| StreamEnd::ClientLeft)
    }
}

fn event(id: EventId, saga_id: SagaId, change: &StateChange, cell: u8) -> SseEvent {
    SseEvent::default().id(id.to_string()).event(change.kind()).data(change.shown(saga_id, cell))
}

fn gap_event(asked: EventId, goes_on_after: EventId) -> SseEvent {
    let data = json!({
        "kind": "gap",
        "last_event_id": asked.to_string(),
        "detail": "some events after this one are missing: they are no longer kept, or the database was restored; \
                   the stream continues after the gap",
    });
    SseEvent::default().id(goes_on_after.to_string()).event("gap").data(data.to_string())
}
