//! Claims: how a node takes over unfinished sagas. Each claim raises the epoch, so that the previous owner can write
//! nothing more.
//!
//! Rows are locked first, and rows locked by another node are skipped, so that two nodes never claim one saga. A
//! statement claims one batch, so that a takeover of thousands holds no lock for long.

use chrono::{DateTime, Utc};
use common::db::Connection;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use tracing::warn;
use uuid::Uuid;

use super::events::pending;
use super::owned;
use super::reader::{columns, from_row};
use saga_engine::SagaId;
use saga_engine::owner::Owner;
use saga_engine::recovery::{Claimer, Flag, Free, ListedRow, SeenLease, SeenOwner, Statements};
use saga_engine::stored::{ReadRow, UnreadableRow};
use saga_engine::takeover::{LeftBy, Takeover};

/// Claimable rows of dead processes are counted up to this number.
const MOST_COUNTED: i64 = 100_000;

/// Maximum length of a reason in the attention list, in characters.
const LONGEST_REASON: usize = 500;

/// The condition that a node may run a saga now: it knows the definition ($3), and the saga does not sleep.
macro_rules! may_run {
    () => {
        "f.ended_at is null and f.definition || '/' || f.definition_version = any($3)
           and (f.wake_at is null or f.wake_at <= clock_timestamp())"
    };
}

/// The columns of the CTE `free`. A saga that was set aside does not count as asleep: its actor died.
macro_rules! free {
    () => {
        "f.id, f.owner_node as last_node, f.owner_incarnation as last_incarnation,
         f.wake_at is not null and not f.attention_until_write as slept"
    };
}

/// Ends a statement whose CTE `claimed` has the claimed rows and how their last owner left them (`last_node`,
/// `last_incarnation`, `slept`). A claim is recorded as a takeover, unless a process wakes its own sleeping saga. It
/// writes PENDING if no event of the saga was written: the unwritten changes of the last owner are lost.
macro_rules! noted {
    () => {
        concat!(
            ",
             noted as (
             insert into saga_takeover (saga_id, epoch, node, at, unowned_ms)
             select c.id, c.epoch, c.owner_node, clock_timestamp(),
                    (select greatest(0, extract(epoch from clock_timestamp() - l.expires_at) * 1000)::bigint
                     from node_lease l
                     where l.node_id = c.last_node and l.incarnation = c.last_incarnation and l.incarnation <> $2)
             from claimed c where not c.slept or c.last_incarnation <> $2
             returning saga_id, node, epoch, at, unowned_ms),
             told as (
             insert into saga_event (saga_id, changes, begins)
             select c.id, ",
            pending!("c"),
            ", true from claimed c where c.status = 'PENDING'
             on conflict (saga_id) where begins do nothing)
             select ",
            columns!(),
            ", s.slept, n.node, n.at, n.unowned_ms from claimed s left join noted n on n.saga_id = s.id"
        )
    };
}

/// Makes the statement that claims the rows of the CTE `free`: their ids, and how their last owner left them. Common
/// parameters: $1 node, $2 incarnation, $3 known definitions, $4 limit.
macro_rules! claim {
    ($($free:expr),+) => {
        concat!(
            "with ",
            $($free,)+
            ",
             claimed as (
             update saga_open s
             set owner_node = $1::varchar, owner_incarnation = $2::uuid, epoch = s.epoch + 1, wake_at = null,
                 waits_for = null
             from free where s.id = free.id
             returning s.*, free.last_node, free.last_incarnation, free.slept)",
            noted!()
        )
    };
}

// Owner by owner in the order of an index, so that a takeover of very many running sagas reads each row once.
const OF_THE_DEAD: &str = claim!(
    "dead as materialized (
         select d.node, d.incarnation from unnest($5::text[], $6::uuid[]) as d (node, incarnation)
         -- a process whose name another one has taken, and that has not heard of it yet, claims nothing
         where exists (select 1 from node_lease l where l.node_id = $1::varchar and l.incarnation = $2::uuid)),
     free as materialized (
         select o.* from dead d cross join lateral (
             select ",
    free!(),
    "
             from saga_open f where f.owner_node = d.node and f.owner_incarnation = d.incarnation and ",
    may_run!(),
    "
             order by f.id limit $4
             for update skip locked) o
         limit $4)"
);

// In the order of the index by time, so that rows that are not due are not read: there may be very many.
const OF_OWN_SLEEPERS: &str = claim!(
    "free as materialized (
         select ",
    free!(),
    "
         from saga_open f
         where f.wake_at <= statement_timestamp() and f.owner_incarnation = $2::uuid and ",
    may_run!(),
    "
         order by f.wake_at limit $4
         for update skip locked)"
);

// By id and epoch: a row that was claimed or has ended since it was listed is skipped. Here and below the owner is tested in a
// form that no index can serve, since the index of owners would be read for every row of this one.
const OF_OWN_ORPHANS: &str = claim!(
    "free as materialized (
         select ",
    free!(),
    "
         from saga_open f join unnest($5::uuid[], $6::int[]) as i (id, epoch) on f.id = i.id and f.epoch = i.epoch
         where f.owner_incarnation is not distinct from $2::uuid and ",
    may_run!(),
    "
         order by f.id limit $4
         for update of f skip locked)"
);

/// Makes the statement that claims sagas whose own actor died ($3 ids, $4 epochs, $5 reasons) and counts the death.
/// Once the deaths reach the limit, the saga goes to the attention list with this mark instead of to a new actor, and
/// sleeps for 1, 2, 4 … at most 30 minutes; a saga that runs forward is woken at its deadline, to turn back. Common
/// parameters: $1 node, $2 incarnation.
macro_rules! set_back {
    ($deaths_before_rest:literal, $mark:literal) => {
        concat!(
            "with died as (
                 select s.id, i.reason, s.deaths + 1 as deaths, s.deaths + 1 - ",
            $deaths_before_rest,
            " as too_many,
                        case when s.direction = 'forward' and s.deadline_at > clock_timestamp()
                             then s.deadline_at else 'infinity' end as deadline_at
                 from saga_open s join unnest($3::uuid[], $4::int[], $5::text[]) as i (id, epoch, reason)
                   on s.id = i.id and s.epoch = i.epoch
                 where s.ended_at is null and s.owner_node = $1::varchar
                   and s.owner_incarnation is not distinct from $2::uuid
                 order by s.id
                 for update of s),
             claimed as (
             update saga_open s
             set epoch = s.epoch + 1, deaths = d.deaths,
                 attention = case when d.too_many >= 0 and not s.attention_stays then ",
            $mark,
            " else s.attention end,
                 attention_at = case when d.too_many >= 0 then coalesce(s.attention_at, clock_timestamp())
                                     else s.attention_at end,
                 attention_until_write = s.attention_until_write or d.too_many >= 0,
                 wake_at = case when d.too_many >= 0 then
                     least(d.deadline_at,
                           clock_timestamp() + least(30, power(2, least(d.too_many, 5))) * interval '1 minute') end
             from died d where s.id = d.id
             returning s.*, s.owner_node as last_node, s.owner_incarnation as last_incarnation,
                       s.wake_at is not null as slept)",
            noted!()
        )
    };
}

const DIED: &str = set_back!("$6", "'its actor died ' || d.deaths || ' times: ' || d.reason");
const UNREADABLE: &str = set_back!("1", "'its row cannot be read: ' || d.reason");

// The owners are found by one index jump each, whatever the number of their sagas. Leases are listed even if their
// nodes own no saga now: what is known of a lease counts once its node does.
const OWNERS: &str = "
    with recursive owners as (
         (select owner_node, owner_incarnation from saga_open where ended_at is null
          order by owner_incarnation limit 1)
         union all
         select n.owner_node, n.owner_incarnation
         from owners o
         cross join lateral (
             select owner_node, owner_incarnation from saga_open
             where ended_at is null and owner_incarnation > o.owner_incarnation
             order by owner_incarnation limit 1) n)
    select coalesce(o.owner_node, l.node_id), coalesce(o.owner_incarnation, l.incarnation), l.expires_at::text,
           o.owner_node is not null, l.given_up_at is not null
    from owners o full join node_lease l on l.node_id = o.owner_node and l.incarnation = o.owner_incarnation
    where coalesce(o.owner_incarnation, l.incarnation) <> $1";

const OWN_ROWS: &str = concat!(
    "select f.id, f.epoch from saga_open f
     where f.owner_node = $1 and f.owner_incarnation = $2 and f.id > $4 and ",
    may_run!(),
    " order by f.id limit $5"
);

const STILL_FREE: &str = concat!(
    "select count(*) from saga_open f join unnest($4::uuid[], $5::int[]) as i (id, epoch) on f.id = i.id and f.epoch = i.epoch
     where f.owner_node = $1 and f.owner_incarnation is not distinct from $2 and ",
    may_run!()
);

// By the index of unfinished sagas, up to a limit: a dead node may leave any number.
const FREE_OF_THE_DEAD: &str = concat!(
    "select count(*) from (
         select from saga_open f join unnest($1::text[], $2::uuid[]) as d (node, incarnation)
             on f.owner_node = d.node and f.owner_incarnation = d.incarnation
         where ",
    may_run!(),
    " limit $4) as free"
);

// A node of an earlier version does not publish its definitions (null); it counts as knowing all.
const NOT_KNOWN: &str = "
    update saga_open s
    set attention = 'definition ' || s.definition || '/' || s.definition_version || ' is not known to any live node',
        attention_at = clock_timestamp(), attention_until_write = true
    from unnest($1::text[], $2::uuid[]) as d (node, incarnation)
    where s.owner_node = d.node and s.owner_incarnation = d.incarnation and s.ended_at is null and s.attention is null
      and s.definition || '/' || s.definition_version <> all($3)
      and not exists (
          select 1 from node_lease l
          where l.given_up_at is null and l.expires_at > clock_timestamp()
            and (l.definitions is null or s.definition || '/' || s.definition_version = any(l.definitions)))
    returning s.id, s.attention";

const FORGET_LEASES: &str = "
    delete from node_lease l
    where l.incarnation <> $1 and l.expires_at < clock_timestamp() - interval '1 day'
      and not exists (
          select 1 from saga_open s
          where s.ended_at is null and s.owner_node = l.node_id and s.owner_incarnation = l.incarnation)";

/// A claimer at a connection.
pub struct Claims<'a> {
    /// The claimer.
    pub claimer: &'a Claimer,
    /// The connection.
    pub connection: &'a mut Connection,
}

impl Statements for Claims<'_> {
    type Error = Error;

    fn batch(&self) -> i64 {
        self.claimer.batch
    }

    async fn lost(&mut self, running: &[Uuid]) -> Result<Vec<SagaId>, Error> {
        owned::lost(self.connection, &self.claimer.owner, running).await
    }

    async fn flags(&mut self, since: Option<DateTime<Utc>>) -> Result<Vec<Flag>, Error> {
        owned::flags(self.connection, &self.claimer.owner, since).await
    }

    async fn owners(&mut self) -> Result<Vec<SeenOwner>, Error> {
        let rows = self.connection.query(OWNERS, &[&self.claimer.owner.incarnation]).await?;
        Ok(rows.iter().map(seen_owner).collect())
    }

    async fn own_rows(&mut self, after: Uuid, limit: i64) -> Result<Vec<ListedRow>, Error> {
        let Claimer { owner, definitions, .. } = self.claimer;
        let rows =
            self.connection.query(OWN_ROWS, &[&owner.node_id, &owner.incarnation, definitions, &after, &limit]).await?;
        Ok(rows.iter().map(|row| ListedRow { id: SagaId(row.get(0)), epoch: row.get(1) }).collect())
    }

    async fn free_of_the_dead(&mut self, dead: &[Owner]) -> Result<usize, Error> {
        let (nodes, incarnations) = owner_columns(dead);
        let parameters: [&(dyn ToSql + Sync); 4] = [&nodes, &incarnations, &self.claimer.definitions, &MOST_COUNTED];
        let row = self.connection.query_one(FREE_OF_THE_DEAD, &parameters).await?;
        Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX))
    }

    async fn claim(&mut self, free: Free<'_>) -> Result<Vec<ReadRow>, Error> {
        let Claimer { owner, definitions, batch, max_claims } = self.claimer;
        let (node, incarnation) = (&owner.node_id, &owner.incarnation);
        let rows = match free {
            Free::OfTheDead(owners) => {
                let (nodes, incarnations) = owner_columns(owners);
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [node, incarnation, definitions, batch, &nodes, &incarnations];
                self.connection.query(OF_THE_DEAD, &parameters).await?
            }
            Free::OwnSleepers => {
                self.connection.query(OF_OWN_SLEEPERS, &[node, incarnation, definitions, batch]).await?
            }
            Free::Orphans(listed) => {
                let (ids, epochs) = columns_of(listed);
                let parameters: [&(dyn ToSql + Sync); 6] = [node, incarnation, definitions, batch, &ids, &epochs];
                self.connection.query(OF_OWN_ORPHANS, &parameters).await?
            }
            Free::Died(deaths) => {
                let died = deaths.iter().map(|death| (death.id, death.epoch, death.reason.as_str()));
                let (ids, epochs, reasons) = set_back_columns(died);
                let parameters: [&(dyn ToSql + Sync); 6] = [node, incarnation, &ids, &epochs, &reasons, max_claims];
                let mut rows = self.connection.query(DIED, &parameters).await?;
                // The other rows were set aside.
                rows.retain(|row| !row.get::<_, bool>("slept"));
                rows
            }
        };
        Ok(rows.iter().map(claimed).collect())
    }

    async fn set_aside(&mut self, rows: &[UnreadableRow]) -> Result<(), Error> {
        let Owner { node_id, incarnation } = &self.claimer.owner;
        let (ids, epochs, reasons) = set_back_columns(rows.iter().map(|row| (row.id, row.epoch, row.reason.as_str())));
        self.connection.query(UNREADABLE, &[node_id, incarnation, &ids, &epochs, &reasons]).await?;
        Ok(())
    }

    async fn tidy(&mut self, dead: &[Owner]) -> Result<(), Error> {
        let Claimer { owner, definitions, .. } = self.claimer;
        if !dead.is_empty() {
            let (nodes, incarnations) = owner_columns(dead);
            for row in self.connection.query(NOT_KNOWN, &[&nodes, &incarnations, definitions]).await? {
                let (id, attention): (Uuid, &str) = (row.get(0), row.get(1));
                warn!(saga.id = %id, attention, "a saga waits for a node that can run it");
            }
        }
        self.connection.execute(FORGET_LEASES, &[&owner.incarnation]).await?;
        Ok(())
    }

    async fn still_free(&mut self, rows: &[ListedRow]) -> Result<usize, Error> {
        let Claimer { owner, definitions, .. } = self.claimer;
        let (ids, epochs) = columns_of(rows);
        let row = self
            .connection
            .query_one(STILL_FREE, &[&owner.node_id, &owner.incarnation, definitions, &ids, &epochs])
            .await?;
        Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX))
    }
}

fn claimed(row: &Row) -> ReadRow {
    let mut saga = from_row(row)?;
    saga.left_by = if row.get("slept") { LeftBy::Sleep } else { LeftBy::Loss };
    // The statement that inserts a takeover does not see its own insert, so the new one is added here.
    if let Some(node) = row.get("node") {
        saga.takeovers.push(Takeover { node, epoch: saga.epoch, at: row.get("at"), unowned_ms: row.get("unowned_ms") });
    }
    Ok(saga)
}

fn owner_columns(owners: &[Owner]) -> (Vec<&str>, Vec<Uuid>) {
    owners.iter().map(|owner| (owner.node_id.as_str(), owner.incarnation)).unzip()
}

fn columns_of(rows: &[ListedRow]) -> (Vec<Uuid>, Vec<i32>) {
    rows.iter().map(|row| (row.id.0, row.epoch)).unzip()
}

/// Ids, epochs and reasons.
fn set_back_columns<'a>(rows: impl Iterator<Item = (SagaId, i32, &'a str)>) -> (Vec<Uuid>, Vec<i32>, Vec<String>) {
    rows.map(|(id, epoch, reason)| (id.0, epoch, plain_reason(reason))).collect()
}

/// Returns a reason as the attention list takes it. It contains error text: control characters are replaced (the log
/// takes no NUL), and it is cut.
pub fn plain_reason(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn seen_owner(row: &Row) -> SeenOwner {
    let until: Option<String> = row.get(2);
    let lease = match (until, row.get::<_, Option<bool>>(4)) {
        (None, _) => SeenLease::None,
        (Some(_), Some(true)) => SeenLease::GivenUp,
        (Some(until), _) => SeenLease::Until(until),
    };
    SeenOwner { owner: Owner { node_id: row.get(0), incarnation: row.get(1) }, lease, has_sagas: row.get(3) }
}
