//! Drives a connection and watches for the one notice that changes the meaning of an answer.
//!
//! A commit that waits for a synchronous standby cannot be undone any more. If its wait is cancelled
//! (`pg_cancel_backend`), the server reports success beside a warning: the rows are visible, and lost if the standby
//! takes over now. `statement_timeout` does not end such a wait; the end of the session and a shutdown of the server do,
//! and close the connection. The text of the warning depends on the server's language, so it is recognised by the place
//! in the server's source that all notices carry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Connection};
use tracing::{debug, warn};

/// The setting of a session without which the warning may be withheld.
pub(super) const MIN_MESSAGES: (&str, &str) = ("client_min_messages", "warning");

/// Whether a commit of a session was reported without its standby.
#[derive(Debug, Default)]
pub(super) struct CancelledWait(Arc<AtomicBool>);

impl CancelledWait {
    /// Tells whether there was one since the last call. The server sends the warning before the answer of its statement,
    /// so after that answer nothing is missing.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// Runs a connection in a task of its own, until it ends.
pub(super) fn drive<S, T>(mut connection: Connection<S, T>) -> CancelledWait
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let cancelled = CancelledWait::default();
    let seen = cancelled.0.clone();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        // An error ends the connection and reaches the callers of its client.
        while let Some(Ok(message)) = messages.next().await {
            match message {
                AsyncMessage::Notice(notice) if is_of_a_cancelled_wait(&notice) => {
                    seen.store(true, Ordering::Release);
                    warn!(notice = notice.message(), "a commit did not wait for its standby: it is in doubt");
                }
                AsyncMessage::Notice(notice) => debug!(severity = notice.severity(), "{}", notice.message()),
                _ => {}
            }
        }
    });
    cancelled
}

fn is_of_a_cancelled_wait(notice: &DbError) -> bool {
    notice.routine() == Some("SyncRepWaitForLSN") || notice.file().is_some_and(|file| file.ends_with("syncrep.c"))
}
