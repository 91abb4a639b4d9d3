//! Lists of sagas, newest first, and their totals. Both cost the same with thousands and with millions of sagas: every
//! filter has an index for its page, and counting stops at a limit.
//!
//! | filter | index |
//! |---|---|
//! | none | the primary key: ids sort by time |
//! | a status | `saga_ended_of_status`; `saga_open` is scanned, and stays small |
//! | a user, with or without a status | `saga_ended_of_user`, without a status once for each; `saga_open_of_user` |
//! | a definition | `saga_ended_of_definition`, which holds all sagas but purchases; with a status, that status's index |
//!
//! `saga_brief` has the indexes of `saga_ended`.

use common::db::Connection;
use common::ids::UserId;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::reader::{columns, from_row};
use crate::checkout::StockRule;
use saga_engine::Status;
use saga_engine::stored::ReadRow;

/// Sagas that one text search examines.
const SEARCHED: i64 = 10_000;

/// Maximum number of sagas counted exactly. One more row is read, to know whether there are more.
pub const COUNTED: i64 = 10_000;

/// The sagas that a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this status.
    pub status: Option<Status>,
    /// Only this user's.
    pub user_id: Option<UserId>,
    /// Only of the definition with this name.
    pub definition: Option<String>,
    /// Only sagas older than this one.
    pub before: Option<Uuid>,
    /// Page size.
    pub limit: i64,
}

/// Number of sagas that match a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Their number; if it is not exact, an estimate of at least the counted rows.
    pub sagas: i64,
    /// Whether all of them were counted.
    pub is_exact: bool,
}

impl Total {
    /// Makes the total from a count that stops one beyond [`COUNTED`].
    pub(crate) fn of_count(counted: i64) -> Total {
        Total { sagas: counted, is_exact: counted <= COUNTED }
    }
}

/// A filter and a search text.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Conditions that the sagas meet.
    pub filter: Filter,
    /// Only sagas that contain this text.
    pub text: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Found {
    /// The sagas, newest first.
    pub sagas: Vec<ReadRow>,
    /// The last saga examined, if there are more to examine.
    pub searched_to: Option<Uuid>,
}

/// The statements of one kind of filter. Parameters: `$1` status, `$2` user, `$3` before, `$4` sagas to examine, `$5`
/// definition, and for the list `$6` text and `$7` sagas to show.
struct Statements {
    list: &'static str,
    end_of_window: &'static str,
    count: &'static str,
}

macro_rules! newest {
    ($condition:literal, $order:literal) => {
        concat!(
            "select s.* from saga s where s.id < $3 and ($5::text is null or s.definition = $5) and ",
            $condition,
            " order by ",
            $order,
            " limit $4"
        )
    };
}

// The newest of each status, merged: the index of users has no order across statuses.
macro_rules! newest_of_each {
    ($condition:literal, $order:literal) => {
        concat!(
            "select s.* from unnest(array['PENDING', 'COMPENSATING', 'COMPLETED', 'COMPENSATED', 'FAILED']) as each (status)
             cross join lateral (",
            newest!($condition, $order),
            ") s order by s.id desc limit $4"
        )
    };
}

macro_rules! statements {
    ($newest:ident, $condition:literal, $order:literal) => {
        Statements {
            list: concat!(
                "select ",
                columns!(),
                " from (",
                $newest!($condition, $order),
                ") s
                  where $6::text is null or position(lower($6) in
                        lower(concat_ws(' ', s.id::text, s.user_id, s.product_wanted, s.definition, s.input, s.error, s.outputs))) > 0
                  order by s.id desc limit $7"
            ),
            end_of_window: concat!(
                "select s.id from (",
                $newest!($condition, $order),
                ") s order by s.id desc offset $4::bigint - 1"
            ),
            count: concat!("select count(*) from (", $newest!($condition, $order), ") s"),
        }
    };
}

// The rows are ordered by the columns of their index, and `= any(array[…])` hides from the planner that these columns
// are constant. Otherwise it would walk the primary key and filter: fast if matches are many and evenly spread, as the
// statistics assume, and a scan of the whole table if they are few or old.
const ALL: Statements = statements!(newest, "$1::text is null and $2::text is null", "s.id desc");
const OF_STATUS: Statements =
    statements!(newest, "s.status = any(array[$1::text]) and $2::text is null", "s.status desc, s.id desc");
const OF_USER_AND_STATUS: Statements =
    statements!(newest, "s.user_id = any(array[$2::text]) and s.status = $1::text", "s.user_id desc, s.id desc");
const OF_USER: Statements = statements!(
    newest_of_each,
    "s.user_id = any(array[$2::text]) and s.status = each.status and $1::text is null",
    "s.user_id desc, s.id desc"
);

const OF_DEFINITION: Statements = statements!(
    newest,
    "s.definition = any(array[$5::text]) and s.user_id is null and $1::text is null and $2::text is null",
    "s.definition desc, s.id desc"
);

// Statistics of the last analyze, partition by partition: the number of rows, and the shares of the status, the user and
// the definition, assumed to be independent. Reads no saga.
const ESTIMATED: &str = "
    with share as (
        select t.tablename, t.attname as name, v.share
        from pg_stats t, unnest(t.most_common_vals::text::text[], t.most_common_freqs) as v (value, share)
        where t.schemaname = current_schema() and starts_with(t.tablename, 'saga_')
          and (t.attname = 'status' and v.value = $1 or t.attname = 'user_id' and v.value = $2
               or t.attname = 'definition' and v.value = $3))
    select coalesce(sum(greatest(c.reltuples, 0) * (
               select case when $1::text is null then 1 else coalesce(max(share) filter (where name = 'status'), 0) end
                    * case when $2::text is null then 1 else coalesce(max(share) filter (where name = 'user_id'), 0) end
                    * case when $3::text is null then 1 else coalesce(max(share) filter (where name = 'definition'), 0) end
               from share where tablename = c.relname)), 0)::float8
    from pg_partition_tree('saga') p join pg_class c on c.oid = p.relid where p.isleaf";

fn statements(filter: &Filter) -> &'static Statements {
    let is_no_purchase = |name: &String| StockRule::of_definition(name).is_none();
    match (&filter.user_id, filter.status) {
        (None, None) if filter.definition.as_ref().is_some_and(is_no_purchase) => &OF_DEFINITION,
        (Some(_), Some(_)) => &OF_USER_AND_STATUS,
        (Some(_), None) => &OF_USER,
        (None, Some(_)) => &OF_STATUS,
        (None, None) => &ALL,
    }
}

/// Reads a page of the list.
///
/// # Errors
/// The error of the database.
pub async fn list(connection: &mut Connection, search: &Search) -> Result<Found, Error> {
    let Search { filter, text } = search;
    let window = if text.is_some() { SEARCHED } else { filter.limit };
    let status = filter.status.map(Status::as_str);
    let user_id = filter.user_id.as_ref().map(UserId::as_str);
    let Statements { list, end_of_window, .. } = statements(filter);
    let definition = &filter.definition;
    let before = filter.before.unwrap_or(Uuid::max());
    let parameters: [&(dyn ToSql + Sync); 7] = [&status, &user_id, &before, &window, definition, text, &filter.limit];
    let rows = connection.query(list, &parameters).await?;
    let sagas: Vec<_> = rows.iter().map(from_row).collect();
    let is_full = sagas.len() as i64 >= filter.limit;
    if text.is_none() || is_full {
        return Ok(Found { sagas, searched_to: None });
    }
    let last = connection.query_opt(end_of_window, &[&status, &user_id, &before, &window, definition]).await?;
    Ok(Found { sagas, searched_to: last.map(|row| row.get(0)) })
}

/// Returns the number of sagas that match a filter on all pages: exact up to [`COUNTED`], else estimated from the
/// statistics.
///
/// # Errors
/// The error of the database.
pub async fn total(connection: &mut Connection, filter: &Filter) -> Result<Total, Error> {
    let status = filter.status.map(Status::as_str);
    let user_id = filter.user_id.as_ref().map(UserId::as_str);
    let estimate = async |connection: &mut Connection, at_least: i64| {
        let estimated: f64 = connection.query_one(ESTIMATED, &[&status, &user_id, &filter.definition]).await?.get(0);
        Ok::<_, Error>(Total { sagas: at_least.max(estimated as i64), is_exact: false })
    };
    if status.is_none() && user_id.is_none() && filter.definition.is_none() {
        // No saga is ever deleted, so above this estimate a count would stop at its limit and add nothing.
        let all = estimate(connection, 0).await?;
        if all.sagas > 2 * COUNTED {
            return Ok(all);
        }
    }
    let count = statements(filter).count;
    let counted =
        connection.query_one(count, &[&status, &user_id, &Uuid::max(), &(COUNTED + 1), &filter.definition]).await?;
    let total = Total::of_count(counted.get(0));
    if total.is_exact { Ok(total) } else { estimate(connection, total.sagas).await }
}
