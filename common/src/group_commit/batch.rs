//! What goes into a batch.

use std::collections::{HashSet, VecDeque};

use tokio::sync::oneshot;

use super::spans::Traced;
use super::{BatchWriter, Place, Written};

/// How many items are looked at for one that may go into the batch, as a multiple of the batch's size. Without a limit a
/// long queue of one key would be walked through again for every batch.
const LOOK_AHEAD: usize = 4;

/// An item on its way.
pub(super) struct Pending<W: BatchWriter> {
    pub(super) item: W::Item,
    /// The hash of its key. Two keys with the same hash are taken for one, which costs a batch and breaks nothing.
    pub(super) key: u64,
    pub(super) reply: Reply<W>,
    pub(super) place: Place,
    /// Whose trace it belongs to; boxed, because it is rare.
    pub(super) traced: Option<Box<Traced>>,
}

type Reply<W> = oneshot::Sender<Written<<W as BatchWriter>::Answer>>;

/// The items of one transaction, and who waits for them, in the same order.
pub(super) struct Batch<W: BatchWriter> {
    pub(super) items: Vec<W::Item>,
    pub(super) replies: Vec<Option<Reply<W>>>,
    /// Those that are traced, by their index.
    pub(super) traced: Vec<(usize, Box<Traced>)>,
}

/// Takes up to `max` items whose keys differ, in order; an item whose key is taken waits, and so does every one of its
/// key behind it.
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
        if keys.insert(pending.key) {
            let Pending { item, reply, place, traced, .. } = pending;
            drop(place);
            batch.traced.extend(traced.map(|traced| (batch.items.len(), traced)));
            batch.items.push(item);
            batch.replies.push(Some(reply));
        } else {
            passed_over.push(pending);
        }
    }
    for pending in passed_over.into_iter().rev() {
        queue.push_front(pending);
    }
    batch
}
