//! Sagas of DTM's clients: lists of them, and the stop by force.

use chrono::{DateTime, Utc};
use common::db::{Bound, Connection};
use tokio_postgres::Error;
use uuid::Uuid;

use super::events::pending;
use super::reader::{columns, from_row, kept};
use saga_engine::SagaId;
use saga_engine::stored::ReadRow;

// By `saga_ended_of_definition`, or by the id that belongs to a gid.
const LIST: &str = concat!(
    "select ",
    columns!(),
    ", s.gid from saga s
      where s.definition = 'dtm' and s.user_id is null and s.gid is not null
        and s.id < $1 and s.id between $2 and $3
        and ($4::text is null or case when s.ended_at is null and s.status = 'PENDING' then 'submitted'
                                      when s.ended_at is null then 'aborting'
                                      when s.status = 'COMPLETED' then 'succeed'
                                      else 'failed' end = $4)
        and s.created_at >= coalesce($5::timestamptz, '-infinity') and s.created_at <= coalesce($6::timestamptz, 'infinity')
      order by s.id desc limit $7"
);

// A stop by force is a resolution in any running state: nothing more is called, and nothing is compensated. The event has
// the form of `row_text`.
const FORCE_STOP: &str = concat!(
    "
    with gone as (
        delete from saga_open s using saga_key k
        where k.key = $1 and k.user_id = '' and k.scope = 'gid' and s.id = k.saga_id and s.ended_at is null
        returning s.*),
    stopped as (
        insert into saga (",
    kept!(),
    ", status, direction, error, started, outputs, timeline, turned_at, ended_at, resolved_at, resolved_note)
        select ",
    kept!(),
    ", 'FAILED', 'compensating', coalesce(error, '409: stopped by force'), started, outputs, timeline,
                          coalesce(turned_at, now()), now(), now(), 'forceStop'
        from gone
        returning id, status, error, ended_at),
    told as (
        insert into saga_event (saga_id, changes, begins)
        select id, changes, begins from (
            select id, ",
    pending!("g"),
    " as changes, true as begins from gone g where status = 'PENDING'
            union all
            select id, json_build_array(json_build_array(
                       status, true, error, (extract(epoch from ended_at) * 1000000)::bigint))::text, false
            from stopped) told
        order by begins desc
        on conflict (saga_id) where begins do nothing)
    select id from stopped"
);

const HAS: &str = "select saga_id from saga_key where key = $1 and user_id = '' and scope = 'gid'";

/// The sagas that a list shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only sagas older than this one.
    pub(crate) before: Option<Uuid>,
    pub(crate) gid: Option<String>,
    /// A status in DTM's words.
    pub(crate) status: Option<String>,
    pub(crate) created_from: Option<DateTime<Utc>>,
    pub(crate) created_to: Option<DateTime<Utc>>,
    pub(crate) limit: i64,
}

/// Reads a page of sagas, newest first, with their gids.
pub(crate) async fn list(connection: &mut Connection, filter: &Filter) -> Result<Vec<(String, ReadRow)>, Error> {
    let Filter { before, gid, status, created_from, created_to, limit } = filter;
    let before = before.unwrap_or(Uuid::max());
    let (first, last) = match gid {
        None => (Uuid::nil(), Uuid::max()),
        Some(gid) => match connection.query_opt(HAS, &[gid]).await? {
            Some(row) => (row.get(0), row.get(0)),
            None => return Ok(Vec::new()),
        },
    };
    let rows = connection.query(LIST, &[&before, &first, &last, status, created_from, created_to, limit]).await?;
    Ok(rows.iter().map(|row| (row.get("gid"), from_row(row))).collect())
}

/// Result of a stop by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Now(SagaId),
    HadEnded,
    Unknown,
}

/// Ends a running saga as FAILED and resolved.
pub(crate) async fn force_stop(connection: &mut Connection, gid: &str) -> Result<Stopped, Error> {
    if let Some(row) = connection.query_opt(FORCE_STOP, &[&gid]).await? {
        return Ok(Stopped::Now(SagaId(row.get(0))));
    }
    let rows = connection.query_behind_barrier(&[Bound::new(HAS).with(gid.to_owned())]).await?;
    Ok(if rows.iter().flatten().next().is_some() { Stopped::HadEnded } else { Stopped::Unknown })
}
