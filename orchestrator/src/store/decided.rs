//! Whether the log has decided that a saga never existed: no row of it can appear any more.
//!
//! No begin is written after the time `decided_by`. A begin written before it may still be in an open transaction of a
//! lost connection, invisible to others. So after `decided_by` every transaction that began earlier must end before a
//! read of the row is final.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::db::Connection;
use tokio_postgres::Error;

// The time is the statement's start: transactions that begin later are newer. The start of a transaction is hidden for
// sessions of other roles; the nodes of one log share a role. The start of a prepared transaction is unknown, so any
// prepared one counts as older.
const LOOK: &str = "
    select statement_timestamp(),
           exists (select from pg_stat_activity a
                   where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start < $1)
           or exists (select from pg_prepared_xacts p where p.database = current_database())";

/// State of the transactions that may hold a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The database's time.
    pub now: DateTime<Utc>,
    /// Whether a transaction that began before the time in question is open.
    pub older: Older,
}

/// Whether a transaction older than some time is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// At least one is open.
    Open,
    /// All have ended.
    Over,
}

/// Whether it is decided that a saga never existed, if the log does not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Decided: a read of the row from now on is final.
    Yes,
    /// Not decided before this time.
    By(DateTime<Utc>),
}

/// Looks for transactions that began before a time.
///
/// # Errors
/// The error of the database.
pub async fn look(connection: &mut Connection, decided_by: DateTime<Utc>) -> Result<Look, Error> {
    let row = connection.query_one(LOOK, &[&decided_by]).await?;
    Ok(Look { now: row.get(0), older: if row.get(1) { Older::Open } else { Older::Over } })
}

/// A `decided_by` further ahead than this belongs to an id that no node made. Nodes make ids by the database's clock,
/// so a `decided_by` is ahead by more than the limit of a begin only if that clock was set back since.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Decides from a [`Look`].
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
