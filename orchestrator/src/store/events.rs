//! The table `saga_event`: what is written to it beside the saga log's own writes, and how it is read in the order of
//! commits without a gap.
//!
//! A row shows when its transaction commits, which may be long after rows of later transactions did. So nobody reads
//! beyond the oldest transaction that still runs, which is the xmin of a snapshot: all before it is settled for ever, and
//! whoever goes on from the last row that was read misses none. That holds as long as the server goes on: one that was
//! restored, or promoted, may count from an earlier transaction on, and a page tells enough to notice.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use common::db::{BatchStatement, Bound, Connection};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::events::id::EventId;
use crate::events::place::Place;
use crate::store::reader::parse_status;
use crate::store::row_text;
use saga_engine::change::StateChange;
use saga_engine::owner::Owner;
use saga_engine::record::StepChanges;
use saga_engine::{SagaId, Status};

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

// One statement, so that all of it is of one moment: where the stream ends and where it was pruned to, the rows, and how long
// the oldest one has waited that was committed and not read before. A type xid8 is unknown to the driver, so it goes as text.
const PAGE: &str = "
    select pg_snapshot_xmin(pg_current_snapshot())::text, h.transaction::text, h.position,
           (select greatest(0, extract(epoch from clock_timestamp() - w.at) * 1000)::bigint
            from saga_event w
            where (w.transaction, w.position) > ($1::text::xid8, $2)
              and w.transaction < pg_snapshot_xmax(pg_current_snapshot())
            order by w.transaction, w.position limit 1),
           e.transaction::text, e.position, e.saga_id, e.changes, e.at
    from saga_event_horizon h
    left join lateral (
        select p.transaction, p.position, p.saga_id, p.changes, p.at
        from saga_event p
        where p.transaction < pg_snapshot_xmin(pg_current_snapshot())
          and (p.transaction, p.position) >= ($1::text::xid8, $2)
        order by p.transaction, p.position limit $3) e on true
    order by e.transaction, e.position";

// The last row of the stream, or what stands before all that is not settled yet.
const PRESENT: &str = "
    select pg_snapshot_xmin(pg_current_snapshot())::text, e.transaction::text, e.position, e.saga_id, e.changes, e.at
    from (select) nothing
    left join lateral (
        select p.transaction, p.position, p.saga_id, p.changes, p.at
        from saga_event p
        where p.transaction < pg_snapshot_xmin(pg_current_snapshot())
        order by p.transaction desc, p.position desc limit 1) e on true";

const SEEN: &str = "select pg_current_snapshot()::text";

const STANDING: &str = "
    select pg_current_snapshot()::text, s.status, s.ended_at is not null, s.error,
           coalesce(s.ended_at, s.turned_at, s.created_at)
    from saga s where s.id = $1";

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
    /// When it was written, by the clock of the database: two rows of one key, in two lives of a server, differ in this.
    pub at: DateTime<Utc>,
}

impl EventRow {
    /// Returns the id of its last change.
    pub fn last(&self) -> EventId {
        let others = self.changes.len().saturating_sub(1);
        EventId { index: u32::try_from(others).unwrap_or(u32::MAX), ..self.first }
    }

    /// Reads the five columns from this one on; `None` where they are null.
    fn read(row: &Row, column: usize) -> Option<EventRow> {
        let transaction: Option<&str> = row.get(column);
        Some(EventRow {
            first: EventId { transaction: number(transaction?), position: row.get(column + 1), index: 0 },
            saga_id: SagaId(row.get(column + 2)),
            changes: row_text::to_changes(row.get(column + 3)),
            at: row.get(column + 4),
        })
    }
}

/// What one look at the stream gives.
#[derive(Debug)]
pub struct Page {
    /// Rows in order, from the one that was asked for on, that one included.
    pub rows: Vec<EventRow>,
    /// Where the stream begins and ends.
    pub bounds: Bounds,
    /// How long the oldest row has waited that was committed behind the one that was asked for, in milliseconds; 0 where
    /// there is none.
    pub lag_ms: i64,
}

/// Reads up to `limit` rows, from the row of this id on, and what is known of the stream at the same moment.
///
/// # Errors
/// What the database says.
pub async fn page(connection: &mut Connection, from: EventId, limit: i64) -> Result<Page, Error> {
    let rows = connection.query(PAGE, &[&from.transaction.to_string(), &from.position, &limit]).await?;
    let bounds = |row: &Row| Bounds {
        present: EventId::before_transaction(number(row.get(0))),
        pruned: EventId { transaction: number(row.get(1)), position: row.get(2), index: 0 },
    };
    // The horizon is one row, so there is one at least.
    Ok(Page {
        bounds: rows.first().map_or_else(Bounds::default, bounds),
        lag_ms: rows.first().and_then(|row| row.get(3)).unwrap_or(0),
        rows: rows.iter().filter_map(|row| EventRow::read(row, 4)).collect(),
    })
}

/// Returns the last row that is settled, or else the id that stands before everything that is not.
///
/// # Errors
/// What the database says.
pub async fn present(connection: &mut Connection) -> Result<Place, Error> {
    let row = connection.query_one(PRESENT, &[]).await?;
    let present = EventId::before_transaction(number(row.get(0)));
    Ok(EventRow::read(&row, 1).map_or(Place::at(present), |last| Place::behind(&last)))
}

/// What is known of the ends of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The last row that was pruned.
    pub pruned: EventId,
    /// What stands before everything that is not settled yet.
    pub present: EventId,
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
