//! Retention: moves old sagas to `saga_brief`, without their details, deletes their keys, old events, and events that a
//! restored dump brought from another server.

use common::db::Connection;
use tokio_postgres::Error;

// The limits are literals: for parameters, the planner would assume a tenth of the table. `now()` is stable, so an
// index can be searched by it; the clock is not.

// A saga in the attention list is in `saga_open`, and kept in full, whenever it ended. The outputs that are kept are
// copied as they are: `json` does not rewrite texts. Rows locked by another node are skipped. A row that the horizon has
// passed leaves the stream of events; any other keeps its place, and yields the begin and the end.
const CLEAR: &str = "
    with old as materialized (
        select id from saga_ended
        where ended_at < now() - make_interval(days => $1)
        order by ended_at limit 500
        for update skip locked),
    forgotten as (delete from saga_takeover t using old where t.saga_id = old.id),
    gone as (delete from saga_ended s using old where s.id = old.id returning s.*)
    insert into saga (id, definition, definition_version, user_id, amount, product_wanted, input, gid, secret_hash,
                      begin_nonce, owner_node, owner_incarnation, epoch, cancel_requested_at, deadline_at, created_at,
                      failed_marks, status, direction, error, turned_at, ended_at, ended_transaction, ended_position,
                      resolved_at, resolved_note, resolved_by, cleared_at, timeline, outputs)
    select id, definition, definition_version, user_id, amount, product_wanted,
           case when input is not null then '{}' end, gid, secret_hash, begin_nonce, owner_node, owner_incarnation, epoch,
           cancel_requested_at, deadline_at, created_at, failed_marks, status, direction, error, turned_at, ended_at,
           case when (s.ended_transaction, s.ended_position) > (h.transaction, h.position) then s.ended_transaction end,
           ended_position, resolved_at, resolved_note, resolved_by, clock_timestamp(), '[]',
           coalesce(
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
    from gone s cross join saga_event_horizon h";

// The oldest first. A saga's id has the time of its begin, so those of young sagas are not looked at.
const RELEASE_KEYS: &str = "
    with old as materialized (
        select k.scope, k.user_id, k.key from saga_key k
        where k.scope <> 'gid' and k.saga_id < saga_id_at(now() - $1::bigint * interval '1 millisecond')
          and exists (select from saga s where s.id = k.saga_id
                      and s.ended_at < now() - $1::bigint * interval '1 millisecond')
        order by k.saga_id limit 500
        for update of k skip locked)
    delete from saga_key k using old where k.key = old.key and k.user_id = old.user_id and k.scope = old.scope";

const MONTHS: &str = "select saga_months()";

// The row of the horizon is also the lock that keeps two nodes from pruning at once. The statement examines the oldest
// rows whatever their age, so a table without old rows is not scanned. The limit is PRUNE_BATCH as a literal: for a
// parameter, the planner would assume a tenth of the table. The horizon also passes the ends of that age whose events are
// made from the rows of their sagas, by `saga_ended_by_time`.
const PRUNE: &str = "
    with mine as (select 1 from saga_event_horizon for update skip locked),
    oldest as (select e.transaction, e.position, e.at from mine, saga_event e
               order by e.transaction, e.position limit 2000),
    gone as (delete from saga_event e using oldest o
             where e.transaction = o.transaction and e.position = o.position
               and o.at < clock_timestamp() - $1::bigint * interval '1 millisecond'
             returning e.transaction, e.position),
    newest_old as materialized (
        select s.ended_transaction as transaction, s.ended_position as position
        from mine, saga_ended s
        where s.ended_at < now() - $1::bigint * interval '1 millisecond'
        order by s.ended_at desc limit 100),
    ended as (select transaction, position from newest_old
              where transaction < pg_snapshot_xmin(pg_current_snapshot())),
    last as (select transaction, position from (table gone union all table ended) old
             order by transaction desc, position desc limit 1),
    moved as (update saga_event_horizon h set transaction = last.transaction, position = last.position from last
              where (h.transaction, h.position) < (last.transaction, last.position))
    select count(*) from gone";

// A visible row of a transaction that this server has not reached yet was restored from another server's dump. Its
// place in this server's order means nothing.
const HAS_ANOTHER_LIFE: &str = "
    select exists (select from saga_event where transaction >= pg_snapshot_xmax(pg_current_snapshot()))
           or exists (select from saga where ended_transaction >= pg_snapshot_xmax(pg_current_snapshot()))
           or exists (select from saga_event_horizon where transaction >= pg_snapshot_xmax(pg_current_snapshot()))";

// The lowest first: this server would reach those first. The limits are PRUNE_BATCH. A saga loses only its place in the
// stream.
const FORGET_ANOTHER_LIFE: &str = "
    with mine as (select 1 from saga_event_horizon for update skip locked),
    foreign_events as (select e.transaction, e.position from mine, saga_event e
                       where e.transaction >= pg_snapshot_xmax(pg_current_snapshot())
                       order by e.transaction, e.position limit 2000),
    gone as (delete from saga_event e using foreign_events f
             where e.transaction = f.transaction and e.position = f.position returning 1),
    foreign_ends as (select s.id from mine, saga s
                     where s.ended_transaction >= pg_snapshot_xmax(pg_current_snapshot())
                     order by s.ended_transaction, s.ended_position limit 2000),
    displaced as (update saga s set ended_transaction = null from foreign_ends f
                  where s.id = f.id returning 1),
    horizon as (update saga_event_horizon h set transaction = pg_snapshot_xmin(pg_current_snapshot()), position = 0
                from mine where h.transaction >= pg_snapshot_xmax(pg_current_snapshot()))
    select greatest((select count(*) from gone), (select count(*) from displaced))";

/// The outputs that are kept of a saga whose details are cleared.
#[derive(Clone, Debug)]
pub struct InBrief {
    /// Their names.
    pub names: Vec<&'static str>,
    /// Outputs with a condition: they are kept only if the timeline contains one of their texts, which shows that their
    /// step is still in effect.
    pub only_if: Vec<(&'static str, String)>,
    /// Outputs that are added if the timeline contains this text.
    pub added: Vec<(&'static str, String)>,
}

/// Clears the details of up to 500 sagas that ended more than `days` days ago, and returns their number.
///
/// # Errors
/// The error of the database.
pub async fn clear(connection: &mut Connection, days: i32, in_brief: &InBrief) -> Result<u64, Error> {
    let columns =
        |pairs: &'_ [(&'static str, String)]| -> (Vec<&'static str>, Vec<String>) { pairs.iter().cloned().unzip() };
    let (keys, marks) = columns(&in_brief.only_if);
    let (added, added_marks) = columns(&in_brief.added);
    connection.execute(CLEAR, &[&days, &in_brief.names, &keys, &marks, &added, &added_marks]).await
}

/// Makes the partitions of this month and the next, and drops those of earlier months that have become empty.
///
/// # Errors
/// The error of the database, also if a partition is in use at the moment.
pub async fn months(connection: &mut Connection) -> Result<(), Error> {
    connection.execute(MONTHS, &[]).await.map(drop)
}

/// Releases the idempotency keys of up to 500 sagas that ended more than `kept_ms` ago, and returns their number.
///
/// # Errors
/// The error of the database.
pub async fn release_keys(connection: &mut Connection, kept_ms: i64) -> Result<u64, Error> {
    connection.execute(RELEASE_KEYS, &[&kept_ms]).await
}

/// Maximum number of sagas that [`clear`] moves, and of keys that [`release_keys`] deletes, at once.
pub const CLEAR_BATCH: u64 = 500;

/// Maximum number of events that [`prune`] deletes at once.
pub const PRUNE_BATCH: u64 = 2_000;

/// Deletes up to [`PRUNE_BATCH`] events older than this, oldest first, and returns their number; 0 if another node is
/// pruning.
///
/// # Errors
/// The error of the database.
pub async fn prune(connection: &mut Connection, older_than_ms: i64) -> Result<u64, Error> {
    let pruned: i64 = connection.query_one(PRUNE, &[&older_than_ms]).await?.get(0);
    Ok(pruned.unsigned_abs())
}

/// Deletes up to [`PRUNE_BATCH`] events that a restored dump brought from another server, and returns their number; 0
/// if another node is pruning.
///
/// # Errors
/// The error of the database.
pub async fn forget_another_life(connection: &mut Connection) -> Result<u64, Error> {
    if !connection.query_one(HAS_ANOTHER_LIFE, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let gone: i64 = connection.query_one(FORGET_ANOTHER_LIFE, &[]).await?.get(0);
    Ok(gone.unsigned_abs())
}
