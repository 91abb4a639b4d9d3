//! The batching alone, without actor and database, for the micro-benchmark that shows regressions.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::batch::{Pending, Reply, next_batch};
use super::{BatchWriter, Place, Written};

/// A queue whose batches are written by its caller.
pub struct InMemory<W: BatchWriter> {
    queue: VecDeque<Pending<W>>,
    waiting: Arc<AtomicUsize>,
    hasher: RandomState,
}

impl<W: BatchWriter> Default for InMemory<W> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), waiting: Arc::default(), hasher: RandomState::new() }
    }
}

impl<W: BatchWriter> InMemory<W> {
    /// Enqueues an item and returns the receiver of its answer.
    pub fn push(&mut self, item: W::Item) -> oneshot::Receiver<Written<W::Answer>> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.waiting.clone());
        let key = self.hasher.hash_one(W::key(&item).as_ref());
        let (sender, answer) = oneshot::channel();
        let reply = Reply::new(move |written| {
            // The caller may have gone.
            let _ = sender.send(written);
        });
        self.queue.push_back(Pending { item, key, reply, place, traced: None });
        answer
    }

    /// Takes the next batch of at most `max` items, writes it with `write` and answers each item. Returns the number of
    /// items.
    pub fn write_next(&mut self, max: usize, write: impl FnOnce(&[W::Item]) -> Vec<W::Answer>) -> usize {
        let batch = next_batch(&mut self.queue, max);
        for (reply, answer) in batch.replies.into_iter().zip(write(&batch.items)) {
            if let Some(reply) = reply {
                reply.give(Written::Committed(answer));
            }
        }
        batch.items.len()
    }
}
