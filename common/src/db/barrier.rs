//! The barrier: a small commit behind reads. Once it is confirmed, everything that they saw is as durable as a commit.
//!
//! With synchronous replication a commit is confirmed only once the standby has it, but its rows can be visible before:
//! an administrator cancelled the wait, or the server crashed during the wait and came back. A failover to the standby
//! then takes such rows away. Everything that a read saw was written to the log before the barrier's own commit, and
//! the standby receives the log in order, so a confirmed barrier means that the standby has it too. Read and barrier
//! share a session: on another one, the barrier could be one of the server that has taken over meanwhile.
//!
//! Without synchronous replication a barrier costs a flush to disk and adds nothing to the read. It is sent with the
//! read and needs no preparation, so it costs no round trip.

use futures::future::{join, try_join_all};
use tokio_postgres::{Error, Row};

use super::{Bound, Connection};

/// Writes a message that has no reader to the write-ahead log, so that its transaction has something to commit.
const BARRIER: &str = "select pg_logical_emit_message(true, 'ecommerce', '')";

/// The end of a transaction that is to be a barrier, though it may have written nothing.
pub(super) const BARRIER_AND_COMMIT: &str = "select pg_logical_emit_message(true, 'ecommerce', ''); commit";

impl Connection {
    /// Runs statements in this order, with a barrier behind them, in one round trip, and returns the rows of each. Not
    /// inside a transaction.
    ///
    /// # Errors
    /// See [`Connection::query`]; what was read may be lost at a failover.
    pub async fn query_behind_barrier(&mut self, statements: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let prepared = self.prepare_all(statements).await?;
        let client = self.client.clone();
        let rows = statements.iter().zip(&prepared).map(|(statement, prepared)| statement.run(&client, prepared));
        // `join` polls the statements first, so they are sent first.
        let work = async {
            let (rows, barrier) = join(try_join_all(rows), client.batch_execute(BARRIER)).await;
            let rows = rows?;
            barrier.map(|()| rows)
        };
        self.run(work).await
    }

    /// Passes a barrier behind the reads of this session. Not inside a transaction.
    ///
    /// # Errors
    /// See [`Connection::query_behind_barrier`].
    pub async fn pass_barrier(&mut self) -> Result<(), Error> {
        self.batch_execute(BARRIER).await
    }
}
