//! Claims: how a node makes unfinished sagas its own. Each claim raises the epoch, so that whoever owned the saga before
//! can write nothing more.
//!
//! Rows are locked first and skipped where another node has them, so that two never claim one saga; a statement claims a
//! batch, so that a takeover of thousands holds no lock for long.

use common::db::Connection;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::saga::takeover::{LeftBy, Takeover};
use crate::store::Owner;
use crate::store::reader::{StoredSaga, columns};

/// Makes the statement that claims the rows of the CTE `free`: their ids, and how their last owner left them (`last_node`,
/// `last_incarnation`, `slept`). Parameters of all: $1 node, $2 incarnation, $3 known definitions, $4 limit, $5 the most
/// claims without progress. A claim is noted as a takeover, except that of a process which wakes its own sleeping saga.
macro_rules! claim {
    ($free:literal) => {
        concat!(
            "with ",
            $free,
            ",
             claimed as (
             update saga s
             set owner_node = $1::varchar, owner_incarnation = $2::uuid, epoch = s.epoch + 1, claims = s.claims + 1,
                 wake_at = null,
                 attention = case when s.claims >= $5 then 'claimed ' || s.claims + 1 || ' times without progress'
                                  else s.attention end,
                 attention_at = case when s.claims >= $5 then coalesce(s.attention_at, clock_timestamp())
                                     else s.attention_at end
             from free where s.id = free.id
             returning s.*, free.last_node, free.last_incarnation, free.slept),
             noted as (
             insert into saga_takeover (saga_id, epoch, node, at, unowned_ms)
             select c.id, c.epoch, c.owner_node, clock_timestamp(),
                    (select greatest(0, extract(epoch from clock_timestamp() - l.expires_at) * 1000)::bigint
                     from node_lease l
                     where l.node_id = c.last_node and l.incarnation = c.last_incarnation and l.incarnation <> $2)
             from claimed c where not c.slept or c.last_incarnation <> $2
             returning saga_id, node, epoch, at, unowned_ms)
             select ",
            columns!(),
            ", s.slept, n.node, n.at, n.unowned_ms from claimed s left join noted n on n.saga_id = s.id"
        )
    };
}

// The owners are found by jumps over the index, one for each, whatever the number of their sagas.
const OF_THE_DEAD: &str = claim!(
    "recursive owners as (
         (select owner_node, owner_incarnation from saga where ended_at is null
          order by owner_node, owner_incarnation limit 1)
         union all
         select n.owner_node, n.owner_incarnation
         from owners o
         cross join lateral (
             select owner_node, owner_incarnation from saga
             where ended_at is null and (owner_node, owner_incarnation) > (o.owner_node, o.owner_incarnation)
             order by owner_node, owner_incarnation limit 1) n),
     dead as materialized (
         select o.* from owners o
         where o.owner_incarnation <> $2::uuid
           -- a process whose name another one has taken, and that has not heard of it yet, claims nothing
           and exists (select 1 from node_lease l where l.node_id = $1::varchar and l.incarnation = $2::uuid)
           and (o.owner_node = $1::varchar
                or ($6 and not exists (
                    select 1 from node_lease l
                    where l.node_id = o.owner_node and l.incarnation = o.owner_incarnation
                      and l.expires_at > clock_timestamp())))),
     free as materialized (
         select f.id, f.owner_node as last_node, f.owner_incarnation as last_incarnation, f.wake_at is not null as slept
         from saga f join dead d on f.owner_node = d.owner_node and f.owner_incarnation = d.owner_incarnation
         where f.ended_at is null and f.definition || '/' || f.definition_version = any($3)
           and f.claims <= $5 and (f.wake_at is null or f.wake_at <= clock_timestamp())
         order by f.id limit $4
         for update of f skip locked)"
);

const OF_OWN_SLEEPERS: &str = claim!(
    "free as materialized (
         select f.id, f.owner_node as last_node, f.owner_incarnation as last_incarnation, f.wake_at is not null as slept
         from saga f
         where f.ended_at is null and f.wake_at <= clock_timestamp() and f.owner_incarnation = $2::uuid
           and f.definition || '/' || f.definition_version = any($3) and f.claims <= $5
         order by f.id limit $4
         for update skip locked)"
);

// A row may be a moment ahead of its actor's place in memory: only rows that are not brand-new count.
const OF_OWN_ORPHANS: &str = claim!(
    "free as materialized (
         select f.id, f.owner_node as last_node, f.owner_incarnation as last_incarnation, f.wake_at is not null as slept
         from saga f
         where f.ended_at is null and f.owner_node = $1::varchar and f.owner_incarnation = $2::uuid
           and f.wake_at is null and f.id <> all($6::uuid[])
           and f.created_at < clock_timestamp() - interval '1 second'
           and f.definition || '/' || f.definition_version = any($3) and f.claims <= $5
         order by f.id limit $4
         for update skip locked)"
);

/// Who claims, and how much.
#[derive(Clone, Debug)]
pub struct Claimer {
    /// Who claims.
    pub owner: Owner,
    /// The definitions that this node knows, as `name/version`.
    pub definitions: Vec<String>,
    /// How many sagas are claimed at once.
    pub batch: i64,
    /// How often a saga may be claimed without progress before it is left to a person.
    pub max_claims: i32,
}

/// Whose sagas may be taken, beside those that an earlier process of the own node left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nobody else's: after an outage everybody looks dead.
    OwnNode,
    /// Those of every node whose lease has run out.
    Everybody,
}

impl Claimer {
    /// Claims what owners left that are gone.
    pub(super) async fn of_the_dead(
        &self,
        connection: &mut Connection,
        reach: Reach,
    ) -> Result<Vec<StoredSaga>, Error> {
        let everybody = reach == Reach::Everybody;
        let Self { owner, definitions, batch, max_claims } = self;
        let rows = connection
            .query(OF_THE_DEAD, &[&owner.node_id, &owner.incarnation, definitions, batch, max_claims, &everybody])
            .await?;
        Ok(rows.iter().map(claimed).collect())
    }

    /// Claims own sagas whose time to wake has come.
    pub(super) async fn of_own_sleepers(&self, connection: &mut Connection) -> Result<Vec<StoredSaga>, Error> {
        let Self { owner, definitions, batch, max_claims } = self;
        let rows = connection
            .query(OF_OWN_SLEEPERS, &[&owner.node_id, &owner.incarnation, definitions, batch, max_claims])
            .await?;
        Ok(rows.iter().map(claimed).collect())
    }

    /// Claims own sagas that have no actor: those that are not among `running`.
    pub(super) async fn of_own_orphans(
        &self,
        connection: &mut Connection,
        running: &[Uuid],
    ) -> Result<Vec<StoredSaga>, Error> {
        let Self { owner, definitions, batch, max_claims } = self;
        let rows = connection
            .query(OF_OWN_ORPHANS, &[&owner.node_id, &owner.incarnation, definitions, batch, max_claims, &running])
            .await?;
        Ok(rows.iter().map(claimed).collect())
    }
}

fn claimed(row: &Row) -> StoredSaga {
    let mut saga = StoredSaga::from_row(row);
    saga.left_by = if row.get("slept") { LeftBy::Sleep } else { LeftBy::Loss };
    // The statement that notes a takeover does not see its own note.
    if let Some(node) = row.get("node") {
        saga.takeovers.push(Takeover { node, epoch: saga.epoch, at: row.get("at"), unowned_ms: row.get("unowned_ms") });
    }
    saga
}
