//! After a failover: whether the database still holds what was confirmed.
//!
//! With an asynchronous standby a failover loses the newest commits. A server's log is a sequence, so if the last
//! confirmed batch of this writer is there, all earlier ones are. Its receipt is kept in memory, and looked for on the
//! first connection to another timeline, before anything is written there. So nothing is asked on the happy path, and
//! with synchronous replication no loss is ever found. Another system has none of this writer's commits, whatever its
//! tables hold.
//!
//! The position of the commit in the write-ahead log would tell the same, but has a price for each batch, and the
//! position at which a timeline begins is readable for a superuser only.

use parking_lot::Mutex;
use tokio_postgres::types::ToSql;

use crate::db::{Connection, Timeline};

/// The trace that a confirmed item has left in the database.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// A query of one row with one boolean: whether it is there.
    pub query: &'static str,
    /// Its parameters, all of type text.
    pub parameters: Vec<String>,
}

/// The last confirmed batch of a writer.
#[derive(Default)]
pub(super) struct History(Mutex<Option<Last>>);

#[derive(Clone)]
struct Last {
    timeline: Timeline,
    receipt: Option<Receipt>,
}

/// The fate of the confirmed batches on another timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    All,
    /// Some are missing that were confirmed on the timeline `before`.
    Lost {
        before: Timeline,
    },
}

impl History {
    /// Returns whether a connection leads to another timeline than the last confirmed batch.
    pub(super) fn is_elsewhere(&self, timeline: Option<Timeline>) -> bool {
        let last = self.0.lock().as_ref().map(|last| last.timeline);
        timeline.is_some() && last.is_some() && last != timeline
    }

    /// Looks for the last confirmed batch if the connection leads to another timeline. Each timeline is reported once.
    ///
    /// # Errors
    /// See [`Connection::query`].
    pub(super) async fn look(&self, connection: &mut Connection) -> Result<Kept, tokio_postgres::Error> {
        let Some(timeline) = connection.timeline() else { return Ok(Kept::All) };
        let Some(last) = self.0.lock().clone().filter(|last| last.timeline != timeline) else { return Ok(Kept::All) };
        let is_kept = last.timeline.system == timeline.system
            && match &last.receipt {
                Some(receipt) => receipt.is_there(connection).await?,
                None => true,
            };
        let mut known = self.0.lock();
        if known.as_ref().is_some_and(|known| known.timeline != last.timeline) {
            return Ok(Kept::All);
        }
        *known = Some(Last { timeline, receipt: last.receipt.filter(|_| is_kept) });
        Ok(if is_kept { Kept::All } else { Kept::Lost { before: last.timeline } })
    }

    /// Remembers a confirmed batch. Without a receipt it has left nothing, and the one before still counts.
    pub(super) fn confirmed(&self, timeline: Option<Timeline>, receipt: Option<Receipt>) {
        let Some(timeline) = timeline else { return };
        let mut last = self.0.lock();
        let receipt = receipt.or_else(|| last.take().and_then(|last| last.receipt));
        *last = Some(Last { timeline, receipt });
    }
}

impl Receipt {
    async fn is_there(&self, connection: &mut Connection) -> Result<bool, tokio_postgres::Error> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            self.parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
        Ok(connection.query_one(self.query, &parameters).await?.get(0))
    }
}
