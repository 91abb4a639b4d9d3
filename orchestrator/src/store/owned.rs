//! Changes by others to the sagas that run here: flags and takeovers.

use chrono::{DateTime, Utc};
use common::db::Connection;
use tokio_postgres::Error;
use uuid::Uuid;

use saga_engine::SagaId;
use saga_engine::owner::Owner;
use saga_engine::recovery::Flag;

// Its partial index holds only flagged rows. A sleeping saga reads its flags when it is claimed.
const FLAGS: &str = "
    select id, cancel_requested_at is not null and direction = 'forward', retry_requested_at
    from saga_open
    where ended_at is null and (cancel_requested_at is not null or retry_requested_at is not null)
      and owner_incarnation = $1 and (wake_at is null or wake_at <= clock_timestamp())
      and ((cancel_requested_at is not null and direction = 'forward')
           or retry_requested_at > coalesce($2::timestamptz, '-infinity'))";

const LOST: &str = "
    select id from saga
    where id = any($1::uuid[]) and (owner_incarnation <> $2 or ended_at is not null)";

/// Reads the pending cancels, and the retries newer than `since`.
pub(super) async fn flags(
    connection: &mut Connection,
    owner: &Owner,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<Flag>, Error> {
    let rows = connection.query(FLAGS, &[&owner.incarnation, &since]).await?;
    Ok(rows.iter().map(|row| Flag { id: SagaId(row.get(0)), cancel: row.get(1), retry_at: row.get(2) }).collect())
}

/// Returns the sagas among these that this process no longer owns.
pub(super) async fn lost(connection: &mut Connection, owner: &Owner, running: &[Uuid]) -> Result<Vec<SagaId>, Error> {
    let rows = connection.query(LOST, &[&running, &owner.incarnation]).await?;
    Ok(rows.iter().map(|row| SagaId(row.get(0))).collect())
}
