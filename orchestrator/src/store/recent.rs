//! The newest ends of sagas, for people: by intervals, as a whole, and by reasons. The cost does not grow with the
//! number of sagas.

use chrono::{DateTime, Utc};
use common::db::Connection;
use tokio_postgres::{Error, Row};

use super::overview::{Counts, counts};

/// Maximum number of ends that are read.
const MOST: i64 = 20_000;
/// Maximum number of reasons.
const REASONS_SHOWN: i64 = 12;

// By `saga_ended_by_time`; an ended saga that a person should look at is in `saga_open`. Parameters: $1 minutes, $2 the
// maximum of ends.
macro_rules! ends {
    () => {
        "(select * from (
              select status, error, created_at, ended_at from saga_ended
              union all
              select status, error, created_at, ended_at from saga_open where attention is not null) e
           where ended_at > now() - make_interval(mins => $1)
           order by ended_at desc limit $2) s"
    };
}

macro_rules! by_status_and_time {
    () => {
        "count(*) filter (where status = 'COMPLETED'), count(*) filter (where status = 'COMPENSATED'),
         count(*) filter (where status = 'FAILED'),
         percentile_cont(array[0.5, 0.9, 0.99])
             within group (order by greatest(0, extract(epoch from ended_at - created_at) * 1000)::float8)"
    };
}

// One row for each interval of $3 seconds, and one for all of them: its interval is null, and it exists without an end
// too.
const INTERVALS: &str = concat!(
    "select at, ",
    by_status_and_time!(),
    ", count(*), min(ended_at), now()
     from (select *, (floor(extract(epoch from ended_at) / $3::int) * $3::int)::bigint as at from ",
    ends!(),
    ") e group by grouping sets ((at), ()) order by at nulls first"
);

// Numbers differ from saga to saga, as those of products do. The status at the start of an error stays.
const REASONS: &str = concat!(
    r"select regexp_replace(error, '(\D)[0-9]+', '\1…', 'g') as reason, count(*), max(ended_at) from ",
    ends!(),
    " where status = 'COMPENSATED' and error is not null
     group by reason order by count(*) desc, reason limit $3"
);

/// The sagas that ended within a range of time.
#[derive(Clone, Debug)]
pub struct Recent {
    /// The time of the database.
    pub now: DateTime<Utc>,
    /// Time of the oldest end that was read, if there may be older ones in the range.
    pub since: Option<DateTime<Utc>>,
    /// The whole range; `None` without an end.
    pub all: Option<Interval>,
    /// Its intervals with an end, oldest first.
    pub intervals: Vec<Interval>,
    /// Why sagas turned back, the most frequent first.
    pub reasons: Vec<Reason>,
}

/// Sagas that ended within an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its start in seconds since 1970; 0 for the whole range.
    pub at: i64,
    /// The sagas by status.
    pub counts: Counts,
    /// Time from acceptance to end in milliseconds: 50th, 90th and 99th percentile.
    pub quantiles_ms: [f64; 3],
}

/// Sagas that turned back for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The error, with `…` for its numbers.
    pub reason: String,
    /// Number of the sagas.
    pub sagas: i64,
    /// Time of the latest end.
    pub last_at: DateTime<Utc>,
}

/// Reads the ends of the last minutes.
///
/// # Errors
/// The error of the database.
pub async fn recent(connection: &mut Connection, minutes: i32, interval_s: i32) -> Result<Recent, Error> {
    let rows = connection.query(INTERVALS, &[&minutes, &MOST, &interval_s]).await?;
    let reasons = connection.query(REASONS, &[&minutes, &MOST, &REASONS_SHOWN]).await?;
    let (all, intervals) = rows.split_first().expect("the grouping set () has one row, whatever was read");
    let is_full = all.get::<_, i64>(5) == MOST;
    Ok(Recent {
        now: all.get(7),
        since: all.get::<_, Option<DateTime<Utc>>>(6).filter(|_| is_full),
        all: interval(all),
        intervals: intervals.iter().filter_map(interval).collect(),
        reasons: reasons
            .iter()
            .map(|row| Reason { reason: row.get(0), sagas: row.get(1), last_at: row.get(2) })
            .collect(),
    })
}

/// `None` for a row without an end: PostgreSQL has no percentiles of nothing.
fn interval(row: &Row) -> Option<Interval> {
    let quantiles: Option<Vec<f64>> = row.get(4);
    let quantiles = quantiles?;
    let at: Option<i64> = row.get(0);
    Some(Interval {
        at: at.unwrap_or_default(),
        counts: counts(row, 1),
        quantiles_ms: std::array::from_fn(|index| quantiles[index]),
    })
}
