//! Retention: what of old sagas is given up. Their rows stay.

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
