//! The items of the saga log's group commit, and their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use saga_engine::record::{LogWrite, StepChanges, WriteReport};
use saga_engine::{SagaId, Status};

/// An item of the saga log's group commit.
#[derive(Clone, Debug)]
pub enum LogItem {
    /// An awaited write of one saga, shared with the saga's actor.
    Write(Arc<LogWrite>),
    /// Changes of steps, of many sagas.
    Steps(Vec<StepChanges>),
    /// A read of a saga's state with a barrier behind it.
    Read(StateRead),
}

/// A read of a saga's state.
#[derive(Clone, Copy, Debug)]
pub struct StateRead {
    pub(super) id: SagaId,
    /// Distinguishes reads of one saga, so that any number of them share a batch.
    pub(super) number: u64,
}

impl LogItem {
    /// Makes a read of a saga's state.
    pub fn read(id: SagaId) -> LogItem {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        LogItem::Read(StateRead { id, number: NEXT.fetch_add(1, Ordering::Relaxed) })
    }
}

/// The answer to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAnswer {
    /// To a write.
    Report(WriteReport),
    /// To changes of steps.
    StepsWritten,
    /// To a read: the saga's state, as durable as a commit; `None` if it has no row.
    State(Option<SagaState>),
}

/// The state of a saga as its clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SagaState {
    /// The saga.
    pub id: SagaId,
    /// Its status.
    pub status: Status,
    /// Whether it has ended. FAILED is an end, or none.
    pub has_ended: bool,
}
