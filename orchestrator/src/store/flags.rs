//! Flags on a saga that any process may own: a cancel, a retry, a wake-up, a resolution. Each is one conditional update
//! from any node; the owner reads it with its next heartbeat or its next write. If it changes nothing, the row shows
//! why, with a barrier behind the read.

use chrono::{DateTime, Utc};
use common::db::{Bound, Connection};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::store::lists::Total;
use crate::store::reader::{columns, from_row, kept, parse_status};
use saga_engine::stored::{ReadRow, Resolution};
use saga_engine::{SagaId, Status};

// A saga that has already turned back needs no cancel; the flag is harmless. A saga that runs forward and sleeps
// because its actors died is woken to turn back.
const CANCEL: &str = "
    update saga_open
    set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
        wake_at = case when wake_at is not null and direction = 'forward' then clock_timestamp() else wake_at end
    where id = $1 and ended_at is null
    returning status";

// Wakes a sleeping saga and resets the count of its actor's deaths.
const RETRY: &str = "
    update saga_open
    set retry_requested_at = clock_timestamp(), deaths = 0,
        wake_at = case when wake_at is not null then clock_timestamp() end
    where id = $1 and ended_at is null
    returning status";

const RETRY_ALL: &str = "
    update saga_open
    set retry_requested_at = clock_timestamp(), deaths = 0,
        wake_at = case when wake_at is not null then clock_timestamp() end
    where attention is not null and ended_at is null";

// A compensating saga that a person has settled ends, with an event in the form of `row_text`; an ended saga only loses
// its mark. Either way nothing keeps it in `saga_open`. A saga that runs forward is never resolved: it is not known yet what
// there is to settle.
const RESOLVE: &str = concat!(
    "
    with gone as (
        delete from saga_open
        where id = $1 and attention is not null and (ended_at is not null or direction = 'compensating')
        returning *),
    resolved as (
        insert into saga (",
    kept!(),
    ", status, direction, error, started, outputs, timeline, turned_at, ended_at, ended_transaction, ended_position,
                          resolved_at, resolved_note, resolved_by)
        select ",
    kept!(),
    ", case when ended_at is null then 'FAILED' else status end, direction, error, started, outputs, timeline, turned_at,
                          coalesce(ended_at, now()), ended_transaction, ended_position, now(), $2, $3
        from gone
        returning id, status, resolved_at, resolved_note, resolved_by, ended_at, error),
    told as (
        insert into saga_event (saga_id, changes)
        select r.id, json_build_array(json_build_array(
                   r.status, true, r.error, (extract(epoch from r.ended_at) * 1000000)::bigint))::text
        from resolved r join gone on gone.id = r.id where gone.ended_at is null)
    select status, resolved_at, resolved_note, resolved_by from resolved"
);

const RESOLUTION: &str = "
    select status, resolved_at, resolved_note, resolved_by, ended_at is null and direction = 'forward' as runs_forward
    from saga where id = $1";

const ATTENTION: &str = concat!(
    "select ",
    columns!(),
    ", s.attention_at, s.wake_at from saga_open s
      where s.attention is not null and (s.attention_at, s.id) > (coalesce($1::timestamptz, '-infinity'),
                                      coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
      order by s.attention_at, s.id limit $3"
);

// By `saga_open_attention`, up to a limit. The bounds exclude nothing (every saga in attention has a time); without them a
// planner without statistics would scan the whole table, once a second.
const ATTENTION_COUNT: &str = "
    select count(*) from (
        select from saga_open where attention is not null and attention_at between '-infinity' and 'infinity' limit 10001) s";

// As the count: by `saga_open_attention`, up to a limit, the longest waiting first. Cents, since sums exceed the type of
// money.
const ATTENTION_CAUSES: &str = "
    select definition, definition_version, attention, count(*), (sum(amount) * 100)::bigint, min(attention_at),
           min(wake_at)
    from (select definition, definition_version, attention, amount, attention_at, wake_at from saga_open
          where attention is not null and attention_at between '-infinity' and 'infinity'
          order by attention_at limit 10001) s
    group by definition, definition_version, attention
    order by min(attention_at), definition, definition_version, attention";

const STATUS: &str = "select status from saga where id = $1";

// By `saga_open_waiting`. The longest sleepers come first: the others wake soon enough by themselves.
const WAKE_WAITING: &str = "
    with found as materialized (
        select w.id from unnest($1::text[]) as o(operation)
        cross join lateral (
            select s.id from saga_open s
            where s.waits_for = o.operation and s.wake_at > clock_timestamp() and s.ended_at is null
            order by s.wake_at desc limit $2 for update skip locked) w)
    update saga_open s set wake_at = clock_timestamp(), waits_for = null, woken = true
    from found where s.id = found.id";

/// Result of setting a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flagged {
    /// The flag is set; the saga has this status.
    Set(Status),
    /// The saga has ended with this status; the flag was not set.
    HasEnded(Status),
}

/// Requests that a saga turn back; `None` if there is no such saga.
///
/// # Errors
/// The error of the database.
pub async fn cancel(connection: &mut Connection, id: SagaId) -> Result<Option<Flagged>, Error> {
    flag(connection, CANCEL, id).await
}

/// Wakes a saga in its current direction; `None` if there is no such saga.
///
/// # Errors
/// The error of the database.
pub async fn retry(connection: &mut Connection, id: SagaId) -> Result<Option<Flagged>, Error> {
    flag(connection, RETRY, id).await
}

async fn flag(connection: &mut Connection, sql: &'static str, id: SagaId) -> Result<Option<Flagged>, Error> {
    if let Some(row) = connection.query_opt(sql, &[&id.0]).await? {
        return Ok(Some(Flagged::Set(parse_status(row.get(0)))));
    }
    let rows = connection.query_behind_barrier(&[Bound::new(STATUS).with(id.0)]).await?;
    Ok(rows.iter().flatten().next().map(|row| Flagged::HasEnded(parse_status(row.get(0)))))
}

/// Wakes every unfinished saga of the attention list and returns their number.
///
/// # Errors
/// The error of the database.
pub async fn retry_all(connection: &mut Connection) -> Result<u64, Error> {
    connection.execute(RETRY_ALL, &[]).await
}

/// Wakes FAILED sagas that wait for one of these operations, at most `most` per operation, and returns their number.
///
/// # Errors
/// The error of the database.
pub async fn wake_waiting(connection: &mut Connection, operations: &[String], most: i64) -> Result<u64, Error> {
    connection.execute(WAKE_WAITING, &[&operations, &most]).await
}

/// Result of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It is recorded, now or before.
    Recorded(Status, Resolution),
    /// The saga runs forward: it is not known yet what there is to settle.
    RunsForward,
    /// The saga is not in the attention list.
    NotInAttention(Status),
}

/// Records that a person has settled a saga; `None` if there is no such saga. The first note stays: a repetition
/// changes nothing.
///
/// # Errors
/// The error of the database.
pub async fn resolve(
    connection: &mut Connection,
    id: SagaId,
    note: &str,
    by: Option<&str>,
) -> Result<Option<Resolved>, Error> {
    if let Some(row) = connection.query_opt(RESOLVE, &[&id.0, &note, &by]).await? {
        return Ok(recorded(&row));
    }
    let rows = connection.query_behind_barrier(&[Bound::new(RESOLUTION).with(id.0)]).await?;
    let Some(row) = rows.iter().flatten().next() else { return Ok(None) };
    let unresolved = if row.get("runs_forward") {
        Resolved::RunsForward
    } else {
        Resolved::NotInAttention(parse_status(row.get(0)))
    };
    Ok(Some(recorded(row).unwrap_or(unresolved)))
}

fn recorded(row: &Row) -> Option<Resolved> {
    let (at, note): (Option<DateTime<Utc>>, Option<String>) = (row.get(1), row.get(2));
    let resolution = Resolution { at: at?, note: note.unwrap_or_default(), by: row.get(3) };
    Some(Resolved::Recorded(parse_status(row.get(0)), resolution))
}

/// A saga in the attention list.
#[derive(Clone, Debug)]
pub struct Attention {
    /// The saga, if its row can be read.
    pub saga: ReadRow,
    /// The reason.
    pub reason: String,
    /// Time when the saga entered the list.
    pub since: DateTime<Utc>,
    /// Time of the next retry, if the saga sleeps until then.
    pub next_try: Option<DateTime<Utc>>,
}

/// Sagas of the attention list that have a definition and a reason in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Name of the definition.
    pub definition: String,
    /// Its version.
    pub version: i32,
    /// The reason.
    pub reason: String,
    /// Number of the sagas.
    pub sagas: i64,
    /// Sum of their amounts in cents; `None` if none of them has an amount.
    pub cents: Option<i64>,
    /// Time when the first of them entered the list.
    pub since: DateTime<Utc>,
    /// Time of the first retry.
    pub next_try: Option<DateTime<Utc>>,
}

/// Start of a page of the attention list: after this saga; `None` is the first page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After(pub Option<(DateTime<Utc>, Uuid)>);

/// Counts the attention list, up to a limit.
///
/// # Errors
/// The error of the database.
pub async fn attention_count(connection: &mut Connection) -> Result<Total, Error> {
    Ok(Total::of_count(connection.query_one(ATTENTION_COUNT, &[]).await?.get(0)))
}

/// Groups the attention list by causes, up to the limit of [`attention_count`].
///
/// # Errors
/// The error of the database.
pub async fn attention_causes(connection: &mut Connection) -> Result<Vec<Cause>, Error> {
    let rows = connection.query(ATTENTION_CAUSES, &[]).await?;
    let cause = |row: &Row| Cause {
        definition: row.get(0),
        version: row.get(1),
        reason: row.get(2),
        sagas: row.get(3),
        cents: row.get(4),
        since: row.get(5),
        next_try: row.get(6),
    };
    Ok(rows.iter().map(cause).collect())
}

/// Reads a page of the attention list, longest waiting first, and the total over all pages.
///
/// # Errors
/// The error of the database.
pub async fn attention(
    connection: &mut Connection,
    After(after): After,
    limit: i64,
) -> Result<(Total, Vec<Attention>), Error> {
    let total = attention_count(connection).await?;
    let (since, id) = after.unzip();
    let rows = connection.query(ATTENTION, &[&since, &id, &limit]).await?;
    let read = |row: &Row| Attention {
        saga: from_row(row),
        reason: row.get("attention"),
        since: row.get("attention_at"),
        next_try: row.get("wake_at"),
    };
    Ok((total, rows.iter().map(read).collect()))
}
