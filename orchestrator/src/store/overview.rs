//! Aggregates of the saga log for people: sagas by status. The cost does not grow with their number.

use chrono::{DateTime, Utc};
use common::db::Connection;
use tokio_postgres::{Error, Row};

use super::flags;
use super::lists::Total;
use saga_engine::Status;

// Counted up to a limit.
const UNFINISHED: &str = "
    select count(*) filter (where status = 'PENDING'), count(*) filter (where status = 'COMPENSATING'),
           count(*) filter (where status = 'FAILED'), now(), count(*)
    from (select status from saga_open where ended_at is null limit 10001) s";

// The limit bounds the rows that are read; a count at the limit means "estimate instead".
const COUNTED: &str = "
    select count(*) filter (where status = 'COMPLETED'), count(*) filter (where status = 'COMPENSATED'),
           count(*) filter (where status = 'FAILED'), count(*) = 20001
    from (select status from saga where ended_at is not null order by id desc limit 20001) s";

// Statistics of the last analyze, summed over the partitions: the rows of each status. Reads no saga.
const ESTIMATED: &str = "
    select v.status, sum(greatest(c.reltuples, 0) * v.share)::float8
    from pg_partition_tree('saga') p
    join pg_class c on c.oid = p.relid and p.isleaf
    join pg_stats t on t.schemaname = current_schema() and t.tablename = c.relname and t.attname = 'status',
         unnest(t.most_common_vals::text::text[], t.most_common_freqs) as v (status, share)
    group by v.status";

/// The saga log in numbers.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The time of the database.
    pub now: DateTime<Utc>,
    /// Sagas that have not ended.
    pub unfinished: Unfinished,
    /// Sagas in the attention list.
    pub attention: Total,
    /// Sagas that have ended.
    pub ended: Ended,
}

/// Sagas that have not ended, by status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Whether all were counted; if not, there are more.
    pub is_exact: bool,
    /// Running forward.
    pub pending: i64,
    /// Turned back.
    pub compensating: i64,
    /// Not undone yet, still retried.
    pub failed: i64,
}

/// Sagas that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Their number by status.
    pub counts: Counts,
    /// Whether they were counted or estimated.
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

/// Reads the numbers.
///
/// # Errors
/// The error of the database.
pub async fn overview(connection: &mut Connection) -> Result<Overview, Error> {
    let unfinished = connection.query_one(UNFINISHED, &[]).await?;
    let now = unfinished.get(3);
    let unfinished = Unfinished {
        is_exact: Total::of_count(unfinished.get(4)).is_exact,
        pending: unfinished.get(0),
        compensating: unfinished.get(1),
        failed: unfinished.get(2),
    };
    let attention = flags::attention_count(connection).await?;
    let counted = connection.query_one(COUNTED, &[]).await?;
    let is_over_limit: bool = counted.get(3);
    let ended = if is_over_limit {
        estimate(counts(&counted, 0), &connection.query(ESTIMATED, &[]).await?)
    } else {
        Ended { counts: counts(&counted, 0), is_exact: true }
    };
    Ok(Overview { now, unfinished, attention, ended })
}

pub(super) fn counts(row: &Row, first: usize) -> Counts {
    Counts { completed: row.get(first), compensated: row.get(first + 1), failed: row.get(first + 2) }
}

/// Estimates each status from the statistics; no estimate is below the counted rows.
fn estimate(counted: Counts, statistics: &[Row]) -> Ended {
    let of = |status: Status, counted: i64| {
        let row = statistics.iter().find(|row| row.get::<_, &str>(0) == status.as_str());
        let estimated = row.map_or(0.0, |row| row.get::<_, f64>(1));
        counted.max(estimated as i64)
    };
    let counts = Counts {
        completed: of(Status::Completed, counted.completed),
        compensated: of(Status::Compensated, counted.compensated),
        failed: counted.failed,
    };
    Ended { counts, is_exact: false }
}
