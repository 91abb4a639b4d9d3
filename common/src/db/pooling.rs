//! The check for poolers that share a server connection between sessions.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::timeout;
use tokio_postgres::Error;

use super::DbError;
use super::session::last_value;
use super::target::Target;

/// How long [`check_pooling`] waits for a session whose server connection may be held by another session.
const POOLING_CHECK_LIMIT: Duration = Duration::from_secs(2);

/// Detects a pooler in transaction mode (PgBouncer's `pool_mode = transaction`), which breaks all state of a session:
/// settings, prepared statements, advisory locks.
///
/// The first session makes a setting. A second session opens a transaction; if server connections are shared, it takes
/// the one used last. Then the first session reads its setting. If it gets no answer, both share the only connection.
///
/// # Errors
/// [`DbError::TransactionPooling`], or an error of the check itself.
pub async fn check_pooling(server: &SecretString, database: Option<&str>) -> Result<(), DbError> {
    const MARK: &str = "select set_config('ecommerce.session_check', 'kept', false)";
    const LOOK: &str = "select coalesce(current_setting('ecommerce.session_check', true), '')";
    let target = Target::new(server, database, None)?;
    let (first, second) = (target.connect().await?, target.connect().await?);
    let failed = |error: Error| first.failed(&error);
    last_value(&first.client, MARK).await.map_err(failed)?;
    // A second session that gets no server connection is waiting for the first one's: each session has its own then.
    let Ok(begun) = timeout(POOLING_CHECK_LIMIT, second.client.batch_execute("begin")).await else { return Ok(()) };
    begun.map_err(failed)?;
    let kept = match timeout(POOLING_CHECK_LIMIT, last_value(&first.client, LOOK)).await {
        Ok(kept) => kept.map_err(failed)?,
        Err(_) => None,
    };
    match kept.as_deref() {
        Some("kept") => Ok(()),
        _ => Err(DbError::TransactionPooling { place: first.origin.place.clone() }),
    }
}
