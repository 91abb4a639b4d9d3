//! The table `saga_event`: what is written to it beside the saga log's own writes, and how it is read in the order of
//! commits without a gap.
//!
//! A row shows when its transaction commits, which may be long after rows of later transactions did. So nobody reads
//! beyond the oldest transaction that still runs, which is the xmin of a snapshot: all before it is settled for ever, and
//! whoever goes on from the last row that was read misses none.

use std::sync::LazyLock;

use common::db::{BatchStatement, Bound, Connection};
use tokio_postgres::Error;
use uuid::Uuid;

use crate::events::change::StateChange;
use crate::events::id::EventId;
use crate::saga::{SagaId, Status};
use crate::store::Owner;
use crate::store::reader::parse_status;
use crate::store::record::StepChanges;
use crate::store::row_text;

// Only of sagas that the writer owns: a process that was paused tells nobody what another owner has overtaken. The order
// of the rows is that of the queue, and becomes that of the positions. As in the writer's own statement, owner and end are
// asked for in a way that only the primary key answers, and not the index of all sagas that run.
static INSERT_STEPS: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(
        "
    with i as rows($2: id uuid, epoch int, changes text, number bigint)
    insert into saga_event (saga_id, changes)
    select i.id, i.changes
    from i
    where exists (select 1 from saga s
                  where s.id = i.id and s.owner_incarnation is not distinct from $1 and s.epoch = i.epoch
                    and coalesce(s.ended_at, 'infinity') = 'infinity')
    order by i.number",
    )
});

// A type xid8 is unknown to the driver, so it goes as text.
const PAGE: &str = "
    select e.transaction::text, e.position, e.saga_id, e.changes
    from saga_event e
    where e.transaction < pg_snapshot_xmin(pg_current_snapshot())
      and (e.transaction, e.position) >= ($1::text::xid8, $2)
    order by e.transaction, e.position limit $3";

const PRESENT: &str = "select pg_snapshot_xmin(pg_current_snapshot())::text";

const SEEN: &str = "select pg_current_snapshot()::text";

const HORIZON: &str = "
    select transaction::text, position, pg_snapshot_xmin(pg_current_snapshot())::text from saga_event_horizon";

const STANDING: &str = "
    select pg_current_snapshot()::text, s.status, s.ended_at is not null, s.error,
           coalesce(s.ended_at, s.turned_at, s.created_at)
    from saga s where s.id = $1";

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
const FORGET_ANOTHER_LIFE: &str = "
    with foreign_events as (delete from saga_event where transaction >= pg_snapshot_xmax(pg_current_snapshot())
                            returning 1),
    horizon as (update saga_event_horizon set transaction = pg_snapshot_xmin(pg_current_snapshot()), position = 0
                where transaction >= pg_snapshot_xmax(pg_current_snapshot()))
    select count(*) from foreign_events";

/// Changes of steps, as columns.
#[derive(Default)]
pub(super) struct NewSteps {
    saga_id: Vec<Uuid>,
    epoch: Vec<i32>,
    changes: Vec<String>,
}

impl NewSteps {
    pub(super) fn push(&mut self, of_saga: &StepChanges) {
        let Some(changes) = row_text::of_changes(&of_saga.changes) else { return };
        self.saga_id.push(of_saga.saga_id.0);
        self.epoch.push(of_saga.epoch);
        self.changes.push(changes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.saga_id.is_empty()
    }
}

pub(super) fn insert_steps(owner: &Owner, steps: NewSteps) -> Bound<'static> {
    let NewSteps { saga_id, epoch, changes } = steps;
    let number: Vec<i64> = (0..).take(changes.len()).collect();
    Bound::over_rows(&INSERT_STEPS).with(owner.incarnation).column(saga_id).column(epoch).column(changes).column(number)
}

/// A row: all that one write changed in one saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The id of its first change.
    pub first: EventId,
    /// Whose changes they are.
    pub saga_id: SagaId,
    /// The changes, oldest first.
    pub changes: Vec<StateChange>,
}

impl EventRow {
    /// Returns the id of its last change.
    pub fn last(&self) -> EventId {
        let others = self.changes.len().saturating_sub(1);
        EventId { index: u32::try_from(others).unwrap_or(u32::MAX), ..self.first }
    }
}

/// Reads up to `limit` rows, in order, from the row of this id on, that one included.
///
/// # Errors
/// What the database says.
pub async fn page(connection: &mut Connection, from: EventId, limit: i64) -> Result<Vec<EventRow>, Error> {
    let rows = connection.query(PAGE, &[&from.transaction.to_string(), &from.position, &limit]).await?;
    let read = |row: &tokio_postgres::Row| EventRow {
        first: EventId { transaction: number(row.get(0)), position: row.get(1), index: 0 },
        saga_id: SagaId(row.get(2)),
        changes: row_text::to_changes(row.get(3)),
    };
    Ok(rows.iter().map(read).collect())
}

/// Returns the id that stands before everything that has not been settled yet.
///
/// # Errors
/// What the database says.
pub async fn present(connection: &mut Connection) -> Result<EventId, Error> {
    let row = connection.query_one(PRESENT, &[]).await?;
    Ok(EventId::before_transaction(number(row.get(0))))
}

/// What is known of the ends of the stream.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The last row that was pruned.
    pub pruned: EventId,
    /// As [`present`].
    pub present: EventId,
}

/// Reads where the stream begins and ends.
///
/// # Errors
/// What the database says.
pub async fn bounds(connection: &mut Connection) -> Result<Bounds, Error> {
    let row = connection.query_one(HORIZON, &[]).await?;
    Ok(Bounds {
        pruned: EventId { transaction: number(row.get(0)), position: row.get(1), index: 0 },
        present: EventId::before_transaction(number(row.get(2))),
    })
}

/// Returns what is to be seen now.
///
/// # Errors
/// What the database says.
pub async fn seen(connection: &mut Connection) -> Result<Seen, Error> {
    Ok(Seen::parse(connection.query_one(SEEN, &[]).await?.get(0)))
}

/// How a saga stands, and which events that includes.
#[derive(Debug)]
pub struct SagaStanding {
    /// As its last event would tell it.
    pub change: StateChange,
    /// What was to be seen when that was read.
    pub seen: Seen,
}

/// Reads how a saga stands; `None` if there is none.
///
/// # Errors
/// What the database says.
pub async fn standing(connection: &mut Connection, id: SagaId) -> Result<Option<SagaStanding>, Error> {
    let row = connection.query_opt(STANDING, &[&id.0]).await?;
    Ok(row.map(|row| SagaStanding {
        change: {
            let status: Status = parse_status(row.get(1));
            StateChange::Saga { status, ended: row.get(2), error: row.get(3), at: row.get(4) }
        },
        seen: Seen::parse(row.get(0)),
    }))
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

/// Deletes what a restored dump brought from another server, and returns how many events that were.
///
/// # Errors
/// What the database says.
pub async fn forget_another_life(connection: &mut Connection) -> Result<i64, Error> {
    Ok(connection.query_one(FORGET_ANOTHER_LIFE, &[]).await?.get(0))
}

/// A snapshot of the database: which transactions it sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    all_before: u64,
    none_from: u64,
    running: Vec<u64>,
}

impl Seen {
    /// Reads PostgreSQL's `xmin:xmax:running,running`.
    fn parse(text: &str) -> Seen {
        let mut parts = text.split(':');
        let mut next = || parts.next().unwrap_or_default();
        Seen {
            all_before: number(next()),
            none_from: number(next()),
            running: next().split(',').filter(|part| !part.is_empty()).map(number).collect(),
        }
    }

    /// Tells whether what this transaction committed was to be seen.
    pub fn has(&self, transaction: u64) -> bool {
        transaction < self.all_before || (transaction < self.none_from && !self.running.contains(&transaction))
    }
}

/// Reads a transaction id as PostgreSQL shows it.
fn number(text: &str) -> u64 {
    text.parse().expect("PostgreSQL shows xid8 as a whole number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_had_committed_when_it_was_taken() {
        let seen = Seen::parse("10:15:11,13");
        for (transaction, expected) in
            [(9, true), (10, true), (11, false), (12, true), (13, false), (14, true), (15, false)]
        {
            assert_eq!(seen.has(transaction), expected, "{transaction}");
        }
        assert!(Seen::parse("10:10:").has(9) && !Seen::parse("10:10:").has(10));
    }
}
