//! Whether the log has decided that a saga was never there: no row of it can come any more.
//!
//! A begin is not written from a certain time on, `decided_by`. One that was written before may still be in a transaction
//! that nobody sees into, of a connection that was lost. So after that time each transaction is waited for that began
//! before it, and only then is it worth looking for the row once more.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::db::Connection;
use tokio_postgres::Error;

// The time is that of the statement's start: what it finds open is newer. Sessions of other roles do not show when their
// transactions began; the nodes of one log share a role. When a prepared transaction began nobody knows.
const LOOK: &str = "
    select statement_timestamp(),
           exists (select from pg_stat_activity a
                   where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start < $1)
           or exists (select from pg_prepared_xacts p where p.database = current_database())";

/// What the database says of the transactions that may hold a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its time.
    pub now: DateTime<Utc>,
    /// Whether a transaction is open that began before the time in question.
    pub older: Older,
}

/// Whether a transaction is open that is older than some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// One is.
    Open,
    /// None is.
    Over,
}

/// Whether it is decided that a saga was never there, if the log does not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is: a look at the row from now on is the last word.
    Yes,
    /// Not before this time.
    By(DateTime<Utc>),
}

/// Looks for transactions that began before a time.
///
/// # Errors
/// What the database says.
pub async fn look(connection: &mut Connection, decided_by: DateTime<Utc>) -> Result<Look, Error> {
    let row = connection.query_one(LOOK, &[&decided_by]).await?;
    Ok(Look { now: row.get(0), older: if row.get(1) { Older::Open } else { Older::Over } })
}

/// How far a `decided_by` may lie ahead before it is taken for one that no node has made. A node makes ids by the database's
/// clock, so one lies ahead by more than the limit of a begin only where that clock was set back since.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Judges by such a look.
pub fn judge(decided_by: DateTime<Utc>, Look { now, older }: Look) -> Decided {
    match older {
        _ if decided_by >= now + AHEAD => Decided::Yes,
        Older::Over if now >= decided_by => Decided::Yes,
        Older::Over | Older::Open => Decided::By(decided_by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_decided_once_the_time_is_over_and_no_older_transaction_is_open() {
        let now = DateTime::UNIX_EPOCH;
        let by = |seconds: i64| now + chrono::TimeDelta::seconds(seconds);
        let cases = [
            (by(-1), Older::Over, Decided::Yes),
            (by(0), Older::Over, Decided::Yes),
            (by(-1), Older::Open, Decided::By(by(-1))),
            (by(1), Older::Over, Decided::By(by(1))),
            (by(1), Older::Open, Decided::By(by(1))),
            (by(3_599), Older::Over, Decided::By(by(3_599))),
            (by(3_600), Older::Over, Decided::Yes),
            (by(1_000_000_000), Older::Open, Decided::Yes),
        ];
        for (decided_by, older, expected) in cases {
            assert_eq!(judge(decided_by, Look { now, older }), expected, "{decided_by} {older:?}");
        }
    }
}
