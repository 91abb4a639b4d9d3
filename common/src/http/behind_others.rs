//! Connections with many concurrent requests: their answers are collected into few writes.

use std::future::poll_fn;
use std::task::Poll;

/// Polls a future, each time it is woken, after all tasks that can run by then.
///
/// For the task of a connection: Tokio runs the task woken last next, so each of a hundred answers ready at the same
/// time would be written to the socket separately. Polled after the other tasks, the connection finds all answers, and
/// one write sends them. If no other task can run, the future is polled at once.
pub fn behind_others<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    let mut is_behind = false;
    poll_fn(move |context| {
        if !is_behind {
            is_behind = true;
            // A task that wakes itself goes to the end of the queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        is_behind = false;
        future.as_mut().poll(context)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    /// On a worker of the runtime, where the task woken last runs next.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_ready_at_the_same_time_is_found_by_one_poll() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let polls = Arc::new(AtomicUsize::new(0));
        let (counted, waiting) = (polls.clone(), polls.clone());
        let found = tokio::spawn(async move {
            let connection = tokio::spawn(behind_others(async move {
                let mut found = Vec::new();
                while found.len() < 100 {
                    counted.fetch_add(1, Ordering::Relaxed);
                    receiver.recv_many(&mut found, 100).await;
                }
                found
            }));
            while waiting.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            // All tasks are ready before the first of them runs.
            for answer in 0..100 {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(answer) });
            }
            connection.await.expect("no panic")
        });
        let mut found = found.await.expect("no panic");
        found.sort_unstable();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
        assert!(polls.load(Ordering::Relaxed) <= 2, "{polls:?}");
    }
}
