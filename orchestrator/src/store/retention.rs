//! Retention: what is given up. Of old sagas that is details and keys, and their rows stay; old events go, and those that a
//! restored dump brought from another server.

use common::db::Connection;
use tokio_postgres::Error;

// The limits stand in the text: as parameters, the planner would take them for a tenth of the table. `now()` and not the
// clock, which no index could be searched by.

// A saga in the attention list is somebody's business, whenever it ended. What shows in brief is copied as it is: `json`,
// which does not take texts apart. Rows that another node has are skipped.
const CLEAR: &str = "
    with old as materialized (
        select id from saga
        where ended_at < now() - make_interval(days => $1) and cleared_at is null and attention is null
        order by ended_at limit 500
        for update skip locked),
    forgotten as (delete from saga_takeover t using old where t.saga_id = old.id)
    update saga s
    set cleared_at = clock_timestamp(), timeline = '[]',
        outputs = coalesce(
            (select json_object_agg(kept.key, kept.value)::text
             from (select o.key, o.value from json_each(s.outputs::json) o
                   where o.key = any($2)
                     and (o.key <> all($3::text[])
                          or exists (select 1 from unnest($3::text[], $4::text[]) as only_if(key, mark)
                                     where only_if.key = o.key and strpos(s.timeline, only_if.mark) > 0))
                   union all
                   select distinct on (added.key) added.key, '\"true\"'::text::json from unnest($5::text[], $6::text[]) as added(key, mark)
                   where strpos(s.timeline, added.mark) > 0) kept),
            '{}')
    from old where s.id = old.id";

const RELEASE_KEYS: &str = "
    with old as materialized (
        select id from saga
        where ended_at < now() - $1::bigint * interval '1 millisecond' and idempotency_key is not null
        order by ended_at limit 500
        for update skip locked)
    update saga s set idempotency_key = null, fingerprint = null from old where s.id = old.id";

// The row of the horizon is also what two nodes that prune do not have at once. The oldest rows are looked at whatever
// their age, so that a table without old ones is not walked through.
// The limit is PRUNE_BATCH; as a parameter, the planner would take it for a tenth of the table.
const PRUNE: &str = "
    with mine as (select 1 from saga_event_horizon for update skip locked),
    oldest as (select e.transaction, e.position, e.at from mine, saga_event e
               order by e.transaction, e.position limit 2000),
    gone as (delete from saga_event e using oldest o
             where e.transaction = o.transaction and e.position = o.position
               and o.at < clock_timestamp() - $1::bigint * interval '1 millisecond'
             returning e.transaction, e.position),
    last as (select transaction, position from gone order by transaction desc, position desc limit 1),
    moved as (update saga_event_horizon h set transaction = last.transaction, position = last.position from last
              where (h.transaction, h.position) < (last.transaction, last.position))
    select count(*) from gone";

// A row that shows and was written by a transaction that this server has not come to yet was restored from another
// server's dump. Its place in this server's order means nothing.
const HAS_ANOTHER_LIFE: &str = "
    select exists (select from saga_event where transaction >= pg_snapshot_xmax(pg_current_snapshot()))
           or exists (select from saga_event_horizon where transaction >= pg_snapshot_xmax(pg_current_snapshot()))";

// The lowest first, which this server would come to first. The limit is PRUNE_BATCH.
const FORGET_ANOTHER_LIFE: &str = "
    with mine as (select 1 from saga_event_horizon for update skip locked),
    foreign_events as (select e.transaction, e.position from mine, saga_event e
                       where e.transaction >= pg_snapshot_xmax(pg_current_snapshot())
                       order by e.transaction, e.position limit 2000),
    gone as (delete from saga_event e using foreign_events f
             where e.transaction = f.transaction and e.position = f.position returning 1),
    horizon as (update saga_event_horizon h set transaction = pg_snapshot_xmin(pg_current_snapshot()), position = 0
                from mine where h.transaction >= pg_snapshot_xmax(pg_current_snapshot()))
    select count(*) from gone";

/// Which outputs of a saga show in brief.
#[derive(Clone, Debug)]
pub struct InBrief {
    /// Their names.
    pub names: Vec<&'static str>,
    /// Of some of them what the timeline must hold one of: a text that tells that the step which gave it still stands.
    pub only_if: Vec<(&'static str, String)>,
    /// What is added where the timeline holds this text.
    pub added: Vec<(&'static str, String)>,
}

/// Clears the details of some sagas, up to 500, that ended more than so many days ago, and returns how many.
///
/// # Errors
/// What the database says.
pub async fn clear(connection: &mut Connection, days: i32, in_brief: &InBrief) -> Result<u64, Error> {
    let columns =
        |pairs: &'_ [(&'static str, String)]| -> (Vec<&'static str>, Vec<String>) { pairs.iter().cloned().unzip() };
    let (keys, marks) = columns(&in_brief.only_if);
    let (added, added_marks) = columns(&in_brief.added);
    connection.execute(CLEAR, &[&days, &in_brief.names, &keys, &marks, &added, &added_marks]).await
}

/// Releases the idempotency keys of some sagas, up to 500, that ended longer ago than this, and returns how many.
///
/// # Errors
/// What the database says.
pub async fn release_keys(connection: &mut Connection, kept_ms: i64) -> Result<u64, Error> {
    connection.execute(RELEASE_KEYS, &[&kept_ms]).await
}

/// As many events as [`prune`] deletes at once.
pub const PRUNE_BATCH: u64 = 2_000;

/// Deletes up to [`PRUNE_BATCH`] events that are older than this, oldest first, and returns how many; none where another
/// node is doing so.
///
/// # Errors
/// What the database says.
pub async fn prune(connection: &mut Connection, older_than_ms: i64) -> Result<u64, Error> {
    let pruned: i64 = connection.query_one(PRUNE, &[&older_than_ms]).await?.get(0);
    Ok(pruned.unsigned_abs())
}

/// Deletes up to [`PRUNE_BATCH`] events that a restored dump brought from another server, and returns how many; none where
/// another node is doing so.
///
/// # Errors
/// What the database says.
pub async fn forget_another_life(connection: &mut Connection) -> Result<u64, Error> {
    if !connection.query_one(HAS_ANOTHER_LIFE, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let gone: i64 = connection.query_one(FORGET_ANOTHER_LIFE, &[]).await?.get(0);
    Ok(gone.unsigned_abs())
}
