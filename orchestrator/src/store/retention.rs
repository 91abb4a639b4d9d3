//! Retention: what of old sagas is given up. Their rows stay.

use common::db::Connection;
use tokio_postgres::Error;

// A saga in the attention list is somebody's business, whenever it ended. What shows in brief is copied as it is: `json`,
// which does not take texts apart. Rows that another node has are skipped.
const CLEAR: &str = "
    with old as materialized (
        select id from saga
        where ended_at < clock_timestamp() - make_interval(days => $1) and cleared_at is null and attention is null
        order by ended_at limit $2
        for update skip locked)
    update saga s
    set cleared_at = clock_timestamp(), timeline = '[]',
        outputs = coalesce(
            (select json_object_agg(o.key, o.value)::text from json_each(s.outputs::json) o
             where o.key = any($3)
               and not exists (select 1 from unnest($4::text[], $5::text[]) as only_if(key, mark)
                               where only_if.key = o.key and strpos(s.timeline, only_if.mark) = 0)),
            '{}')
    from old where s.id = old.id";

const RELEASE_KEYS: &str = "
    with old as materialized (
        select id from saga
        where ended_at < clock_timestamp() - $1::bigint * interval '1 millisecond' and idempotency_key is not null
        order by ended_at limit $2
        for update skip locked)
    update saga s set idempotency_key = null, fingerprint = null from old where s.id = old.id";

/// Which outputs of a saga show in brief.
#[derive(Clone, Debug)]
pub struct InBrief {
    /// Their names.
    pub names: Vec<&'static str>,
    /// Of some of them what the timeline must hold: a text that tells that the step which gave it still stands.
    pub only_if: Vec<(&'static str, String)>,
}

/// Clears the details of up to `limit` sagas that ended more than so many days ago, and returns how many.
///
/// # Errors
/// What the database says.
pub async fn clear(connection: &mut Connection, days: i32, limit: i64, in_brief: &InBrief) -> Result<u64, Error> {
    let (keys, marks): (Vec<&str>, Vec<&str>) =
        in_brief.only_if.iter().map(|(key, mark)| (*key, mark.as_str())).unzip();
    connection.execute(CLEAR, &[&days, &limit, &in_brief.names, &keys, &marks]).await
}

/// Releases the idempotency keys of up to `limit` sagas that ended longer ago than this, and returns how many.
///
/// # Errors
/// What the database says.
pub async fn release_keys(connection: &mut Connection, kept_ms: i64, limit: i64) -> Result<u64, Error> {
    connection.execute(RELEASE_KEYS, &[&kept_ms, &limit]).await
}
