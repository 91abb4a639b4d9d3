//! Batches: their items, and the selection of items from the queue.

use std::collections::{HashSet, VecDeque};
use std::time::SystemTime;

use super::{BatchWriter, Place, Written};
use crate::http::TraceContext;
use crate::traces::Tracer;

/// Number of queue items examined for a batch, as a multiple of its maximum size. Without a limit, a long queue of one
/// key would be walked again for every batch.
const LOOK_AHEAD: usize = 4;

/// A queued item.
pub(super) struct Pending<W: BatchWriter> {
    pub(super) item: W::Item,
    /// The hash of its key. Keys with the same hash are treated as equal, which costs a batch and breaks nothing.
    pub(super) key: u64,
    pub(super) reply: Reply<W::Answer>,
    pub(super) place: Place,
    /// The trace it belongs to; boxed, because it is rare.
    pub(super) traced: Option<Box<Traced>>,
}

/// A write that is part of a trace.
pub(super) struct Traced {
    pub(super) part_of: TraceContext,
    pub(super) what: &'static str,
    pub(super) queued: SystemTime,
}

impl Traced {
    pub(super) fn of<W: BatchWriter>(tracer: &Tracer, writer: &W, item: &W::Item) -> Option<Box<Self>> {
        if !tracer.is_on() {
            return None;
        }
        let (part_of, what) = writer.traced(item).filter(|(part_of, _)| part_of.sampled)?;
        Some(Box::new(Self { part_of, what, queued: SystemTime::now() }))
    }
}

/// The callback for an answer, called exactly once: dropping the reply answers too.
pub(super) struct Reply<A> {
    then: Option<Box<dyn FnOnce(Written<A>) + Send>>,
    /// Once set, the item's outcome is unknown if the batch dies.
    is_in_batch: bool,
}

impl<A> Reply<A> {
    pub(super) fn new(then: impl FnOnce(Written<A>) + Send + 'static) -> Self {
        Self { then: Some(Box::new(then)), is_in_batch: false }
    }

    pub(super) fn give(mut self, written: Written<A>) {
        if let Some(then) = self.then.take() {
            then(written);
        }
    }
}

impl<A> Drop for Reply<A> {
    fn drop(&mut self) {
        if let Some(then) = self.then.take() {
            then(if self.is_in_batch {
                Written::InDoubt("the writer died".to_owned())
            } else {
                Written::NotWritten("the writer is being restarted".to_owned())
            });
        }
    }
}

/// The items of one transaction and their replies, in the same order.
pub(super) struct Batch<W: BatchWriter> {
    pub(super) items: Vec<W::Item>,
    pub(super) replies: Vec<Option<Reply<W::Answer>>>,
    /// The traced items, by index.
    pub(super) traced: Vec<(usize, Box<Traced>)>,
}

/// Takes up to `max` items with different keys, in order. An item whose key is already in the batch stays queued, and
/// so do all later items with that key. An item that goes alone ends the batch before it and forms its own.
pub(super) fn next_batch<W: BatchWriter>(queue: &mut VecDeque<Pending<W>>, max: usize) -> Batch<W> {
    let size = queue.len().min(max);
    let mut batch = Batch { items: Vec::with_capacity(size), replies: Vec::with_capacity(size), traced: Vec::new() };
    let mut keys = HashSet::with_capacity(size);
    let mut passed_over = Vec::new();
    for _ in 0..max.saturating_mul(LOOK_AHEAD) {
        if batch.items.len() == max {
            break;
        }
        let Some(pending) = queue.pop_front() else {
            break;
        };
        let goes_alone = W::goes_alone(&pending.item);
        if goes_alone && !batch.items.is_empty() {
            queue.push_front(pending);
            break;
        }
        if keys.insert(pending.key) {
            let Pending { item, mut reply, place, traced, .. } = pending;
            drop(place);
            reply.is_in_batch = true;
            batch.traced.extend(traced.map(|traced| (batch.items.len(), traced)));
            batch.items.push(item);
            batch.replies.push(Some(reply));
            if goes_alone {
                break;
            }
        } else {
            passed_over.push(pending);
        }
    }
    for pending in passed_over.into_iter().rev() {
        queue.push_front(pending);
    }
    batch
}
