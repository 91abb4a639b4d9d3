//! States that this process knows to be replicated: ends that it wrote itself, and states that it read with a barrier
//! behind the read. A state read from a row is reported to a client only once it is known here, because a visible row
//! can be lost at a failover ([`common::db::barrier`]).
//!
//! The state is read again for that, in the transaction that is the barrier: a barrier on another session could be one of
//! the server that has taken over meanwhile. It goes through the saga log's queue. A read that waits there is part of the
//! next batch, with all others that wait and with the writes of that batch, so any number of reads costs at most the
//! commits that follow each other anyway.

use std::num::NonZeroUsize;
use std::time::Duration;

use common::group_commit::{BatchSender, Written};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::writer::{LogAnswer, LogItem, SagaLogWriter, SagaState};
use saga_engine::record::{Change, LogWrite};
use saga_engine::stored::StoredSaga;
use saga_engine::{SagaId, Status};

/// Number of states remembered. A forgotten one costs a barrier; clients ask soon after the end or rarely.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(50_000).expect("it is not zero");

/// Pause before another attempt at a read.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// States known to be replicated, and the way to find out about others.
pub(crate) struct Replicated {
    saga_log: BatchSender<SagaLogWriter>,
    /// Time limit for a read with a barrier.
    limit: Duration,
    known: Mutex<LruCache<SagaState, ()>>,
}

impl Replicated {
    pub(crate) fn new(saga_log: BatchSender<SagaLogWriter>, limit: Duration) -> Replicated {
        Replicated { saga_log, limit, known: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Records the end that this durable write made, if it made one.
    pub(crate) fn written(&self, write: &LogWrite) {
        let status = match &write.change {
            Change::End { status, .. } => *status,
            Change::Begin { ended: Some(_), .. } => Status::Compensated,
            // Memory answers for a saga that has not ended.
            Change::Begin { ended: None, .. }
            | Change::Outputs
            | Change::TurnBack { .. }
            | Change::MarkFailed { .. } => {
                return;
            }
        };
        self.known.lock().put(SagaState { id: write.saga_id, status, has_ended: true }, ());
    }

    /// Returns once the state of a row that was read is replicated.
    ///
    /// # Errors
    /// The reason why that is not known.
    pub(crate) async fn confirm(&self, row: &StoredSaga) -> Result<(), String> {
        let read = SagaState { id: row.id, status: row.status, has_ended: row.ended_at.is_some() };
        if self.known.lock().get(&read).is_some() {
            return Ok(());
        }
        match self.state(row.id).await? {
            Some(now) if may_become(read, now) => {
                self.known.lock().put(read, ());
                Ok(())
            }
            Some(now) => Err(format!("it was read as {} and is {}", read.status, now.status)),
            None => Err("its row no longer exists".to_owned()),
        }
    }

    /// Returns the state of a saga, replicated; `None` if it has no row. It asks again until the time limit: a lost
    /// connection proves nothing.
    ///
    /// # Errors
    /// The reason why it is not known.
    pub(crate) async fn state(&self, id: SagaId) -> Result<Option<SagaState>, String> {
        let mut last = None;
        let asked = async {
            loop {
                last = Some(match self.saga_log.write(LogItem::read(id)).await {
                    Written::Committed(LogAnswer::State(state)) => return state,
                    Written::Committed(_) => "the saga log gave no state".to_owned(),
                    Written::Rejected(refused) => refused.to_string(),
                    Written::NotWritten(reason) | Written::InDoubt(reason) => reason,
                });
                sleep(ASK_AGAIN_AFTER).await;
            }
        };
        let state = timeout(self.limit, asked).await;
        state.map_err(|_| last.unwrap_or_else(|| format!("no commit was confirmed within {:?}", self.limit)))
    }
}

/// Tells whether a saga that was in one state can be in the other now, in one history.
fn may_become(before: SagaState, now: SagaState) -> bool {
    match before.status {
        _ if before.has_ended => now == before,
        Status::Pending => true,
        // It has turned back, but for COMPLETED, which has ended.
        Status::Compensating | Status::Failed | Status::Compensated | Status::Completed => {
            !matches!(now.status, Status::Pending | Status::Completed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_confirmed_by_what_may_follow_it() {
        use Status::{Compensated, Compensating, Completed, Failed, Pending};
        let running = |status| SagaState { id: SagaId(uuid::Uuid::nil()), status, has_ended: false };
        let ended = |status| SagaState { has_ended: true, ..running(status) };
        let all = [running(Pending), running(Compensating), running(Failed)].into_iter();
        let all: Vec<_> = all.chain([Completed, Compensated, Failed].map(ended)).collect();
        let followers = |before| all.iter().copied().filter(|now| may_become(before, *now)).collect::<Vec<_>>();
        let turned_back = [running(Compensating), running(Failed), ended(Compensated), ended(Failed)];
        assert_eq!(followers(running(Pending)), all);
        assert_eq!(followers(running(Compensating)), turned_back);
        assert_eq!(followers(running(Failed)), turned_back);
        for end in [Completed, Compensated, Failed] {
            assert_eq!(followers(ended(end)), [ended(end)]);
        }
    }
}
