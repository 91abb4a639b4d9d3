//! The changes of sagas and steps as a stream: `GET /saga/events`, of all replicas, none skipped.
//!
//! ```text
//! saga actor ─ apply ─► unsent ─┬─ ride with the saga's next awaited write ──┐
//!                               └─ outbox, after event_flush_ms at the latest ┴─► saga log's group commit ─► saga_event
//! saga_event ─► reader (polls while there are listeners) ─► broadcast ─► a listener's task ─► SSE body
//!      └──────── pages, for listeners that reconnect with Last-Event-ID or lag ────┘
//! ```
//! A change of a saga's status is written in the transaction that makes it true, so it cannot be missing; PENDING is
//! written with the first event of its saga. A change of a step is not awaited: a process that dies loses those of its
//! last `event_flush_ms`. A saga that ends before any of its events is written has no row in `saga_event`: readers make
//! its events from its own row.

pub(crate) mod listener;
pub(crate) mod outbox;
pub(crate) mod reader;

use std::sync::Arc;

use common::config::OrchestratorSettings;
use common::group_commit::BatchSender;
use common::per_client::PerClient;
use common::supervision::{ActorEntry, ChildSpec, Handle};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::store::writer::SagaLogWriter;
use outbox::Outbox;
use reader::{ReaderArguments, ReaderMsg};
use saga_engine::running::Running;

/// Maximum number of listeners that catch up from the table at once: after a restart all of them reconnect together,
/// and the connections also serve other work.
const CATCH_UPS_AT_ONCE: usize = 2;

/// Registry of the event listeners, for the HTTP handlers.
#[derive(Clone)]
pub(crate) struct Events {
    reader: Handle<ReaderMsg>,
    saga_log: BatchSender<SagaLogWriter>,
    /// One permit per listener.
    places: Arc<Semaphore>,
    /// Listeners of each client.
    places_of: PerClient,
    catching_up: Arc<Semaphore>,
    /// Number of the cell, shown in each event.
    cell: u8,
    /// Cancelled when all streams must end.
    closing: CancellationToken,
}

/// Creates the registry and its two actors, to be started after the saga log. Streams end once `closing` is cancelled.
pub(crate) fn events(
    entry: impl Fn(&str, &'static str) -> Arc<ActorEntry>,
    settings: &OrchestratorSettings,
    saga_log: &BatchSender<SagaLogWriter>,
    running: &Arc<Running>,
    closing: CancellationToken,
) -> (Events, [ChildSpec; 2]) {
    let events = Events {
        reader: Handle::new(),
        saga_log: saga_log.clone(),
        places: Arc::new(Semaphore::new(settings.max_event_listeners)),
        places_of: PerClient::new(settings.max_event_listeners_per_client),
        catching_up: Arc::new(Semaphore::new(CATCH_UPS_AT_ONCE)),
        cell: settings.cell,
        closing,
    };
    // A change waits for up to event_flush_ms: until it is due, and then for the next flush.
    let longest = std::time::Duration::from_millis(settings.event_flush_ms);
    let outbox = outbox::outbox(
        entry("event-outbox", "event outbox"),
        Outbox {
            saga_log: saga_log.clone(),
            running: running.clone(),
            every: longest / 4,
            once_waited: longest * 3 / 4,
            sent: Arc::default(),
            one_by_one: Arc::default(),
            turn: tokio::sync::Mutex::default(),
        },
    );
    let reader = reader::reader(
        events.reader.clone(),
        ReaderArguments {
            entry: entry("event-reader", "event reader"),
            saga_log: saga_log.clone(),
            every: std::time::Duration::from_millis(settings.event_poll_ms),
        },
    );
    (events, [outbox, reader])
}
