//! The stream of events: inserts into `saga_event` besides the saga log's own writes, and reads in commit order without a
//! gap, of that table and of the rows of ended sagas.
//!
//! A row becomes visible when its transaction commits, possibly long after rows of later transactions. So readers stop
//! at the oldest running transaction, the xmin of a snapshot: everything before it is final, and a reader that
//! continues from its last row misses none. This holds for one server. A restored or promoted server may continue from
//! an earlier transaction; a page carries enough to notice.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use common::db::{BatchStatement, Bound, Connection};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::store::event_id::EventId;
use crate::store::event_place::Place;
use crate::store::reader::parse_status;
use crate::store::row_events::{self, EndedRow};
use crate::store::row_text;
use saga_engine::change::BeginTold;
use saga_engine::change::StateChange;
use saga_engine::owner::Owner;
use saga_engine::record::StepChanges;
use saga_engine::{SagaId, Status};

/// The changes of a row of events that contains the begin of a saga: PENDING, in the form of
/// [`row_text`](crate::store::row_text). The argument is the name of the saga's row. No time makes it fail: the statement
/// would fail for all sagas.
macro_rules! pending {
    ($row:literal) => {
        concat!(
            "json_build_array(json_build_array('PENDING', false, null,
                 greatest(least(extract(epoch from ",
            $row,
            ".created_at) * 1000000, 8e18), -8e18)::bigint))::text"
        )
    };
}
pub(super) use pending;

// Only of sagas that the writer owns: a process that was paused must not report steps that a newer owner has
// superseded. Rows are inserted in queue order, which becomes the order of positions. As in the writer's own
// statements, owner and end are tested in a form that only the primary key can serve.
static INSERT_STEPS: LazyLock<BatchStatement> = LazyLock::new(|| {
    let pending = pending!("o");
    BatchStatement::new(&format!(
        "
    with i as rows($2: id uuid, epoch int, changes text, tells_begin bool, number bigint),
    owned as (
    select i.*, s.created_at from i join saga_open s
        on s.id = i.id and s.owner_incarnation is not distinct from $1 and s.epoch = i.epoch
           and coalesce(s.ended_at, 'infinity') = 'infinity')
    insert into saga_event (saga_id, changes, begins)
    select id, changes, begins from (
        select id, number, {pending} as changes, true as begins from owned o where tells_begin
        union all
        select id, number, changes, false from owned) told
    order by number, begins desc
    on conflict (saga_id) where begins do nothing"
    ))
});

/// The stream: rows of `saga_event`, and the rows of ended sagas whose events are made from them.
macro_rules! stream {
    () => {
        "(select transaction, position, saga_id, changes, at, null::text as timeline, null::text as status,
                 null::text as error, null::timestamptz as begun_at
          from saga_event
          union all
          select ended_transaction, ended_position, id, null::text, ended_at, timeline, status::text, error, created_at
          from saga)"
    };
}

// One statement, so all of it is one snapshot: the end of the stream, the horizon, the rows, and the age of the oldest
// committed row after the given place. Rows of sagas outlast the horizon, so the page starts behind it; a horizon that this
// server has not reached is another one's. The driver does not know the type xid8, so it is sent as text.
const PAGE: &str = concat!(
    "
    select pg_snapshot_xmin(pg_current_snapshot())::text, h.transaction::text, h.position,
           (select greatest(0, extract(epoch from clock_timestamp() - w.at) * 1000)::bigint
            from ",
    stream!(),
    " w
            where (w.transaction, w.position) > ($1::text::xid8, $2)
              and w.transaction < pg_snapshot_xmax(pg_current_snapshot())
            order by w.transaction, w.position limit 1),
           e.transaction::text, e.position, e.saga_id, e.changes, e.at, e.timeline, e.status, e.error, e.begun_at
    from (
        select *, transaction < pg_snapshot_xmin(pg_current_snapshot())
                  and (transaction, position) > ($1::text::xid8, $2) as hides_start
        from saga_event_horizon) h
    left join lateral (
        select * from ",
    stream!(),
    " p
        where p.transaction < pg_snapshot_xmin(pg_current_snapshot())
          and (p.transaction, p.position) >= (case when h.hides_start then h.transaction else $1::text::xid8 end,
                                              case when h.hides_start then h.position + 1 else $2 end)
        order by p.transaction, p.position limit $3) e on true
    order by e.transaction, e.position"
);

// The last final row of the stream, or else the id that precedes everything that is not final.
const PRESENT: &str = concat!(
    "
    select pg_snapshot_xmin(pg_current_snapshot())::text, e.transaction::text, e.position, e.saga_id, e.changes, e.at,
           e.timeline, e.status, e.error, e.begun_at
    from (select) nothing
    left join lateral (
        select * from ",
    stream!(),
    " p
        where p.transaction < pg_snapshot_xmin(pg_current_snapshot())
        order by p.transaction desc, p.position desc limit 1) e on true"
);

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
    tells_begin: Vec<bool>,
}

impl NewSteps {
    pub(super) fn push(&mut self, of_saga: &StepChanges) {
        let Some(changes) = row_text::of_changes(&of_saga.changes) else { return };
        self.saga_id.push(of_saga.saga_id.0);
        self.epoch.push(of_saga.epoch);
        self.changes.push(changes);
        self.tells_begin.push(of_saga.begin_told != BeginTold::Yes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.saga_id.is_empty()
    }
}

pub(super) fn insert_steps(owner: &Owner, steps: NewSteps) -> Bound<'static> {
    let NewSteps { saga_id, epoch, changes, tells_begin } = steps;
    let number: Vec<i64> = (0..).take(changes.len()).collect();
    Bound::over_rows(&INSERT_STEPS)
        .with(owner.incarnation)
        .column(saga_id)
        .column(epoch)
        .column(changes)
        .column(tells_begin)
        .column(number)
}

/// A row of the stream: all changes of one saga by one write, or all of a saga that ended before any was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The id of its first change.
    pub first: EventId,
    /// The saga of these changes.
    pub saga_id: SagaId,
    /// The changes, oldest first.
    pub changes: Vec<StateChange>,
    /// Time of the write, by the clock of the database: rows with the same key, before and after a restore, differ in
    /// it.
    pub at: DateTime<Utc>,
}

impl EventRow {
    /// Returns the id of its last change.
    pub fn last(&self) -> EventId {
        let others = self.changes.len().saturating_sub(1);
        EventId { index: u32::try_from(others).unwrap_or(u32::MAX), ..self.first }
    }

    /// Reads the columns of the stream, from this one on; `None` if they are null.
    fn read(row: &Row, column: usize) -> Option<EventRow> {
        let transaction: Option<&str> = row.get(column);
        let transaction = number(transaction?);
        let (changes, at): (Option<&str>, DateTime<Utc>) = (row.get(column + 3), row.get(column + 4));
        let changes = changes.map_or_else(
            || {
                row_events::of_row(EndedRow {
                    begun_at: row.get(column + 8),
                    steps: row_text::to_steps(row.get(column + 5)),
                    status: parse_status(row.get(column + 6)),
                    error: row.get(column + 7),
                    ended_at: at,
                })
            },
            row_text::to_changes,
        );
        let first = EventId { transaction, position: row.get(column + 1), index: 0 };
        Some(EventRow { first, saga_id: SagaId(row.get(column + 2)), changes, at })
    }
}

/// One read of the stream.
#[derive(Debug)]
pub struct Page {
    /// Rows in order, beginning with the requested one.
    pub rows: Vec<EventRow>,
    /// The ends of the stream.
    pub bounds: Bounds,
    /// Age of the oldest row committed after the requested one, in milliseconds; 0 if there is none.
    pub lag_ms: i64,
}

/// Reads up to `limit` rows, from the row of this id on, with the bounds of the stream in the same snapshot.
///
/// # Errors
/// The error of the database.
pub async fn page(connection: &mut Connection, from: EventId, limit: i64) -> Result<Page, Error> {
    let rows = connection.query(PAGE, &[&from.transaction.to_string(), &from.position, &limit]).await?;
    let bounds = |row: &Row| Bounds {
        present: EventId::before_transaction(number(row.get(0))),
        pruned: EventId { transaction: number(row.get(1)), position: row.get(2), index: 0 },
    };
    // The horizon table has one row, so the result has at least one.
    Ok(Page {
        bounds: rows.first().map_or_else(Bounds::default, bounds),
        lag_ms: rows.first().and_then(|row| row.get(3)).unwrap_or(0),
        rows: rows.iter().filter_map(|row| EventRow::read(row, 4)).collect(),
    })
}

/// Returns the place after the last final row, or else before everything that is not final.
///
/// # Errors
/// The error of the database.
pub async fn present(connection: &mut Connection) -> Result<Place, Error> {
    let row = connection.query_one(PRESENT, &[]).await?;
    let present = EventId::before_transaction(number(row.get(0)));
    Ok(EventRow::read(&row, 1).map_or(Place::at(present), |last| Place::behind(&last)))
}

/// The ends of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The last row that was pruned.
    pub pruned: EventId,
    /// The id that precedes everything that is not final yet.
    pub present: EventId,
}

/// Returns the current snapshot.
///
/// # Errors
/// The error of the database.
pub async fn seen(connection: &mut Connection) -> Result<Snapshot, Error> {
    Ok(Snapshot::parse(connection.query_one(SEEN, &[]).await?.get(0)))
}

/// A saga's current state, and the events that it includes.
#[derive(Debug)]
pub struct SagaStanding {
    /// The state, in the form of its last event.
    pub change: StateChange,
    /// The snapshot of the read.
    pub seen: Snapshot,
}

/// Reads a saga's current state; `None` if there is no such saga.
///
/// # Errors
/// The error of the database.
pub async fn standing(connection: &mut Connection, id: SagaId) -> Result<Option<SagaStanding>, Error> {
    let row = connection.query_opt(STANDING, &[&id.0]).await?;
    Ok(row.map(|row| SagaStanding {
        change: {
            let status: Status = parse_status(row.get(1));
            StateChange::Saga { status, ended: row.get(2), error: row.get(3), at: row.get(4) }
        },
        seen: Snapshot::parse(row.get(0)),
    }))
}

/// A snapshot of the database: which transactions it sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    all_before: u64,
    none_from: u64,
    running: Vec<u64>,
}

impl Snapshot {
    /// Reads PostgreSQL's `xmin:xmax:running,running`.
    fn parse(text: &str) -> Snapshot {
        let mut parts = text.split(':');
        let mut next = || parts.next().unwrap_or_default();
        Snapshot {
            all_before: number(next()),
            none_from: number(next()),
            running: next().split(',').filter(|part| !part.is_empty()).map(number).collect(),
        }
    }

    /// Tells whether the snapshot includes this transaction.
    pub fn has(&self, transaction: u64) -> bool {
        transaction < self.all_before || (transaction < self.none_from && !self.running.contains(&transaction))
    }
}

/// Parses a transaction id from PostgreSQL's text.
pub(super) fn number(text: &str) -> u64 {
    text.parse().expect("PostgreSQL shows xid8 as a whole number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_had_committed_when_it_was_taken() {
        let seen = Snapshot::parse("10:15:11,13");
        for (transaction, expected) in
            [(9, true), (10, true), (11, false), (12, true), (13, false), (14, true), (15, false)]
        {
            assert_eq!(seen.has(transaction), expected, "{transaction}");
        }
        assert!(Snapshot::parse("10:10:").has(9) && !Snapshot::parse("10:10:").has(10));
    }
}
