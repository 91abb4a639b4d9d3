//! The changes of sagas and steps as a stream: `GET /saga/events`, of all replicas, none skipped.
//!
//! ```text
//! saga actor ─ apply ─► unsent ─┬─ ride with the saga's next awaited write ──┐
//!                               └─ outbox, after event_flush_ms at the latest ┴─► saga log's group commit ─► saga_event
//! saga_event ─► reader (polls while somebody listens) ─► broadcast ─► a listener's task ─► SSE body
//!      └──────── pages, for who comes back with a Last-Event-ID, or is too slow ───┘
//! ```
//! A change of a saga's status is written with the write that makes it true, in one transaction: it cannot be missing. A
//! change of a step is not awaited; a process that dies takes the last `event_flush_ms` of them with it.

pub(crate) mod id;
pub(crate) mod listener;
pub(crate) mod outbox;
pub(crate) mod place;
pub(crate) mod reader;

pub use id::EventId;
pub use place::Place;

use std::sync::Arc;

use common::config::OrchestratorSettings;
use common::group_commit::Ledger;
use common::per_client::PerClient;
use common::supervision::{ActorCard, ChildSpec, Handle};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::store::writer::SagaLogWriter;
use outbox::OutboxArguments;
use reader::{ReaderArguments, ReaderMsg};
use saga_engine::running::Running;

/// Listeners that read pages of the table at the same time: after a restart all of them come back at once, and the
/// connections are there for other work too.
const CATCH_UPS_AT_ONCE: usize = 2;

/// What the HTTP side needs to let somebody listen.
#[derive(Clone)]
pub(crate) struct Events {
    reader: Handle<ReaderMsg>,
    saga_log: Ledger<SagaLogWriter>,
    /// One permit a listener.
    places: Arc<Semaphore>,
    /// Listeners of each client.
    places_of: PerClient,
    catching_up: Arc<Semaphore>,
    /// Cancelled when the streams are to end.
    closing: CancellationToken,
}

/// Makes the way in, and the children that a supervisor starts after the saga log. Streams end once `closing` is cancelled.
pub(crate) fn events(
    card: impl Fn(&str, &'static str) -> Arc<ActorCard>,
    settings: &OrchestratorSettings,
    saga_log: &Ledger<SagaLogWriter>,
    running: &Arc<Running>,
    closing: CancellationToken,
) -> (Events, [ChildSpec; 2]) {
    let events = Events {
        reader: Handle::new(),
        saga_log: saga_log.clone(),
        places: Arc::new(Semaphore::new(settings.max_event_listeners)),
        places_of: PerClient::new(settings.max_event_listeners_per_client),
        catching_up: Arc::new(Semaphore::new(CATCH_UPS_AT_ONCE)),
        closing,
    };
    let outbox = outbox::outbox(OutboxArguments {
        card: card("event-outbox", "event outbox"),
        saga_log: saga_log.clone(),
        running: running.clone(),
        every: std::time::Duration::from_millis(settings.event_flush_ms),
    });
    let reader = reader::reader(
        events.reader.clone(),
        ReaderArguments {
            card: card("event-reader", "event reader"),
            saga_log: saga_log.clone(),
            every: std::time::Duration::from_millis(settings.event_poll_ms),
        },
    );
    (events, [outbox, reader])
}
