//! The kept events of one saga, for people: made from its row, or those in `saga_event`. That table has no index by saga,
//! which each insert would pay for: the rows since the saga's acceptance are found by a search for their time, since
//! transactions are numbered about in the order of time, and the saga's own are picked from those up to its end.

use chrono::{DateTime, TimeDelta, Utc};
use common::db::Connection;
use tokio_postgres::Error;

use crate::store::events::number;
use crate::store::reader::parse_status;
use crate::store::row_events::{self, EndedRow};
use crate::store::row_text;
use saga_engine::SagaId;
use saga_engine::change::StateChange;

/// Rows that are looked through. A saga that runs for long among many others has only its first events shown.
const SEARCHED: i64 = 100_000;
/// How far the order of transactions may be from the order of their times.
const SLACK: TimeDelta = TimeDelta::seconds(5);

const TIMES: &str = "
    select s.created_at, coalesce(s.ended_at, now()), h.transaction::text, pg_snapshot_xmax(pg_current_snapshot())::text,
           s.ended_position is not null, s.timeline, s.status, s.error
    from saga s cross join saga_event_horizon h where s.id = $1";

const TIME_OF: &str = "
    select at from saga_event where transaction >= $1::text::xid8 order by transaction, position limit 1";

const CHANGES: &str = "
    select e.changes from (
        select saga_id, changes, at, transaction, position from saga_event
        where transaction >= $2::text::xid8 order by transaction, position limit $4) e
    where e.saga_id = $1 and e.at <= $3
    order by e.transaction, e.position";

/// Reads the changes of a saga that are kept, oldest first; `None` if there is no such saga.
///
/// # Errors
/// The error of the database.
pub async fn read(connection: &mut Connection, id: SagaId) -> Result<Option<Vec<StateChange>>, Error> {
    let Some(row) = connection.query_opt(TIMES, &[&id.0]).await? else { return Ok(None) };
    let (accepted, ended): (DateTime<Utc>, DateTime<Utc>) = (row.get(0), row.get(1));
    if row.get(4) {
        return Ok(Some(row_events::of_row(EndedRow {
            begun_at: accepted,
            steps: row_text::to_steps(row.get(5)),
            status: parse_status(row.get(6)),
            error: row.get(7),
            ended_at: ended,
        })));
    }
    let bounds = (number(row.get(2)), number(row.get(3)));
    let first = first_since(connection, bounds, accepted - SLACK).await?.to_string();
    let rows = connection.query(CHANGES, &[&id.0, &first, &(ended + SLACK), &SEARCHED]).await?;
    Ok(Some(rows.iter().flat_map(|row| row_text::to_changes(row.get(0))).collect()))
}

/// Returns the first transaction whose events are not older than this time: some thirty reads of one row each.
async fn first_since(
    connection: &mut Connection,
    (mut low, mut high): (u64, u64),
    time: DateTime<Utc>,
) -> Result<u64, Error> {
    while low < high {
        let middle = low + (high - low) / 2;
        let row = connection.query_opt(TIME_OF, &[&middle.to_string()]).await?;
        match row.map(|row| row.get::<_, DateTime<Utc>>(0)) {
            Some(at) if at < time => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}
