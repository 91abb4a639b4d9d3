//! Reads the saga log as a whole, for people who look at it: how many sagas stand how, how they ended lately, and a list
//! that is not counted. Nothing here costs more because there are more sagas.

use chrono::{DateTime, Utc};
use common::db::Connection;
use common::ids::UserId;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::flags;
use super::reader::{Filter, ReadRow, StoredSaga, columns};
use crate::saga::Status;

/// Sagas that a search looks through in one go.
const SEARCHED: i64 = 10_000;

// By `saga_unfinished`, which holds what runs and nothing else.
const UNFINISHED: &str = "
    select count(*) filter (where status = 'PENDING'), count(*) filter (where status = 'COMPENSATING'),
           count(*) filter (where status = 'FAILED'), now()
    from saga where ended_at is null";

// Up to so many are counted. The limit bounds the rows that are read; more than the limit means "estimate instead".
const COUNTED: &str = "
    select count(*) filter (where status = 'COMPLETED'), count(*) filter (where status = 'COMPENSATED'),
           count(*) filter (where status = 'FAILED'), count(*) = 20001
    from (select status from saga where ended_at is not null limit 20001) s";

// What the last analyze saw: the number of rows, and the share of each status. Reads no saga.
const ESTIMATED: &str = "
    select greatest(c.reltuples, 0)::float8, v.status, v.share::float8
    from pg_class c
    join pg_stats t on t.schemaname = current_schema() and t.tablename = 'saga' and t.attname = 'status',
         unnest(t.most_common_vals::text::text[], t.most_common_freqs) as v (status, share)
    where c.oid = 'saga'::regclass";

// The newest ends by `saga_in_full`, at most so many of them; within five minutes.
const SECONDS: &str = "
    select floor(extract(epoch from ended_at))::bigint as second,
           count(*) filter (where status = 'COMPLETED'), count(*) filter (where status = 'COMPENSATED'),
           count(*) filter (where status = 'FAILED'),
           percentile_cont(array[0.5, 0.9, 0.99])
               within group (order by greatest(0, extract(epoch from ended_at - created_at) * 1000)::float8)
    from (select status, created_at, ended_at from saga
           where ended_at is not null and cleared_at is null and ended_at > now() - interval '5 minutes'
           order by ended_at desc limit 20000) s
    group by second order by second";

/// The sagas that a search looks through. What has not ended is few, what failed too, and both have indexes: a planner that
/// does not know the parameter uses them only where the condition is said in so many words.
macro_rules! window {
    ($and:literal) => {
        concat!(
            "from saga s
              where ($1::text is null or s.status = $1) and ($2::text is null or s.user_id = $2)
                and ($3::uuid is null or s.id < $3)",
            $and,
            " order by s.id desc"
        )
    };
}

macro_rules! list {
    ($and:literal) => {
        concat!(
            "select ",
            columns!(),
            " from (select s.* ",
            window!($and),
            " limit $4) s
              where $5::text is null or position(lower($5) in
                    lower(concat_ws(' ', s.id::text, s.user_id, s.product_wanted, s.error, s.outputs))) > 0
              order by s.id desc limit $6"
        )
    };
}

const LIST: &str = list!("");
const LIST_UNENDED: &str = list!(" and s.ended_at is null");
const LIST_FAILED: &str = list!(" and s.status = 'FAILED'");
const END_OF_WINDOW: &str = concat!("select s.id ", window!(""), " offset $4 limit 1");
const END_OF_WINDOW_UNENDED: &str = concat!("select s.id ", window!(" and s.ended_at is null"), " offset $4 limit 1");
const END_OF_WINDOW_FAILED: &str = concat!("select s.id ", window!(" and s.status = 'FAILED'"), " offset $4 limit 1");

/// The saga log in numbers.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The time of the database.
    pub now: DateTime<Utc>,
    /// What has not ended.
    pub unfinished: Unfinished,
    /// Sagas that a person should look at.
    pub attention: i64,
    /// What has ended.
    pub ended: Ended,
    /// The last five minutes in seconds, oldest first, without those in which nothing ended.
    pub seconds: Vec<Second>,
}

/// Sagas that have not ended, by status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Running forward.
    pub pending: i64,
    /// Turned back.
    pub compensating: i64,
    /// Not undone yet, and still tried.
    pub failed: i64,
}

/// Sagas that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How many, by status.
    pub counts: Counts,
    /// Whether they were counted.
    pub is_exact: bool,
}

/// Sagas that ended, by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Completed.
    pub completed: i64,
    /// Undone.
    pub compensated: i64,
    /// Settled by a person.
    pub failed: i64,
}

/// One second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Seconds since 1970.
    pub at: i64,
    /// What ended in it.
    pub counts: Counts,
    /// Times from acceptance to end in milliseconds: median, nine in ten, 99 in a hundred.
    pub quantiles_ms: [f64; 3],
}

/// What a list shows.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Which sagas.
    pub filter: Filter,
    /// Only those that hold this somewhere.
    pub text: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Found {
    /// The sagas, newest first.
    pub sagas: Vec<ReadRow>,
    /// Where the search stopped, if there is more to look through.
    pub searched_to: Option<Uuid>,
}

/// Reads the numbers.
///
/// # Errors
/// What the database says.
pub async fn overview(connection: &mut Connection) -> Result<Overview, Error> {
    let unfinished = connection.query_one(UNFINISHED, &[]).await?;
    let now = unfinished.get(3);
    let unfinished =
        Unfinished { pending: unfinished.get(0), compensating: unfinished.get(1), failed: unfinished.get(2) };
    let attention = flags::attention_count(connection).await?;
    let counted = connection.query_one(COUNTED, &[]).await?;
    let ended = match counted.get(3) {
        false => Ended { counts: counts(&counted, 0), is_exact: true },
        true => estimate(counts(&counted, 0), &connection.query(ESTIMATED, &[]).await?),
    };
    let seconds = connection.query(SECONDS, &[]).await?.iter().map(second).collect();
    Ok(Overview { now, unfinished, attention, ended, seconds })
}

/// Reads a part of the list.
///
/// # Errors
/// What the database says.
pub async fn list(connection: &mut Connection, search: &Search) -> Result<Found, Error> {
    let Search { filter, text } = search;
    let window = if text.is_some() { SEARCHED } else { filter.limit };
    let status = filter.status.map(Status::as_str);
    let user_id = filter.user_id.as_ref().map(UserId::as_str);
    // What has not ended is few, and has an index; the check constraint that ties the two is nothing a planner uses.
    let (list, end_of_window) = match filter.status {
        Some(Status::Pending | Status::Compensating) => (LIST_UNENDED, END_OF_WINDOW_UNENDED),
        Some(Status::Failed) => (LIST_FAILED, END_OF_WINDOW_FAILED),
        Some(Status::Completed | Status::Compensated) | None => (LIST, END_OF_WINDOW),
    };
    let rows = connection.query(list, &[&status, &user_id, &filter.before, &window, text, &filter.limit]).await?;
    let sagas: Vec<_> = rows.iter().map(StoredSaga::from_row).collect();
    let is_full = sagas.len() as i64 >= filter.limit;
    if text.is_none() || is_full {
        return Ok(Found { sagas, searched_to: None });
    }
    let last = connection.query_opt(end_of_window, &[&status, &user_id, &filter.before, &(window - 1)]).await?;
    Ok(Found { sagas, searched_to: last.map(|row| row.get(0)) })
}

fn counts(row: &Row, first: usize) -> Counts {
    Counts { completed: row.get(first), compensated: row.get(first + 1), failed: row.get(first + 2) }
}

fn second(row: &Row) -> Second {
    let quantiles: Vec<f64> = row.get(4);
    Second { at: row.get(0), counts: counts(row, 1), quantiles_ms: std::array::from_fn(|index| quantiles[index]) }
}

/// Spreads the number of rows over the statuses as the statistics say. There are at least as many as were counted.
fn estimate(counted: Counts, statistics: &[Row]) -> Ended {
    let of = |status: Status, counted: i64| {
        let row = statistics.iter().find(|row| row.get::<_, &str>(1) == status.as_str());
        let estimated = row.map_or(0.0, |row| row.get::<_, f64>(0) * row.get::<_, f64>(2));
        counted.max(estimated as i64)
    };
    let counts = Counts {
        completed: of(Status::Completed, counted.completed),
        compensated: of(Status::Compensated, counted.compensated),
        failed: counted.failed,
    };
    Ended { counts, is_exact: false }
}
