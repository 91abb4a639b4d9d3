//! Handovers: a node gives sagas that wait for an operation which does not work from there to a node from which it does.
//!
//! A handover is a takeover that the old owner begins: the row gets the new owner and epoch + 1, so that the old owner can
//! write nothing more, and the new owner claims it like a row without an actor. A saga changes its owner at most once in
//! the time of a lease.

use std::time::Duration;

use common::db::Connection;
use tokio_postgres::Error;
use uuid::Uuid;

use saga_engine::SagaId;
use saga_engine::owner::Owner;

/// Live nodes from which the operation ($3) works. A node of an earlier version does not say, and gets nothing.
macro_rules! able {
    () => {
        "able as materialized (
             select l.node_id, l.incarnation, l.definitions from node_lease l
             where l.incarnation <> $2 and l.given_up_at is null and l.expires_at > clock_timestamp()
               and not ($3::text = any(l.open_breakers)))"
    };
}

/// The condition that a saga of this process may be handed over now ($4: time of a lease in ms).
macro_rules! may_go {
    () => {
        "s.ended_at is null and s.owner_node = $1 and s.owner_incarnation = $2::uuid
           and exists (select from able a where s.definition || '/' || s.definition_version = any(a.definitions))
           and not exists (
               select from saga_takeover t
               where t.saga_id = s.id and t.at > clock_timestamp() - $4::bigint * interval '1 millisecond')"
    };
}

// Parked sagas by their ids; FAILED sagas that sleep, by what they wait for.
const FIND: &str = concat!(
    "with ",
    able!(),
    "
     select s.id, s.epoch from saga_open s join unnest($5::uuid[], $6::int[]) as p (id, epoch) on s.id = p.id and s.epoch = p.epoch
     where s.wake_at is null and ",
    may_go!(),
    "
     union all
     select s.id, s.epoch from saga_open s
     where s.waits_for = $3 and s.wake_at is not null and ",
    may_go!(),
    "
     limit $7"
);

// A sleeping saga wakes at its new owner. A saga that is awake has no actor there: the retry flag makes the new owner
// search its rows with its next heartbeat. That claim is noted as a takeover; the waking of a sleeper is not, so it is
// noted here. The nodes share the sagas by a hash of both.
const HAND_OVER: &str = concat!(
    "with ",
    able!(),
    ",
     free as materialized (
         select s.id, s.wake_at is not null as sleeps
         from saga_open s join unnest($5::uuid[], $6::int[]) as p (id, epoch) on s.id = p.id and s.epoch = p.epoch
         where ",
    may_go!(),
    "
         order by s.id for update of s skip locked),
     given as (
         update saga_open s
         set owner_node = a.node_id, owner_incarnation = a.incarnation, epoch = s.epoch + 1, waits_for = null,
             wake_at = case when f.sleeps then clock_timestamp() end,
             retry_requested_at = case when f.sleeps then s.retry_requested_at else clock_timestamp() end
         from free f cross join lateral (
             select a.node_id, a.incarnation from able a, saga_open d
             where d.id = f.id and d.definition || '/' || d.definition_version = any(a.definitions)
             order by hashtextextended(a.node_id || f.id::text, 0) limit 1) a
         where s.id = f.id
         returning s.id, s.epoch, s.owner_node, f.sleeps),
     noted as (
         insert into saga_takeover (saga_id, epoch, node, at, unowned_ms)
         select id, epoch, owner_node, clock_timestamp(), null from given where sleeps)
     select id, owner_node from given"
);

/// The waiting sagas of one operation.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The process that owns them.
    pub owner: Owner,
    /// The operation, such as `payments.charge`.
    pub operation: String,
    /// Time between two changes of a saga's owner.
    pub lease: Duration,
    /// Ids and epochs of the sagas that are awake.
    pub sagas: Vec<(SagaId, i32)>,
}

impl Waiting {
    fn columns(&self) -> (i64, Vec<Uuid>, Vec<i32>) {
        let (ids, epochs) = self.sagas.iter().map(|(id, epoch)| (id.0, *epoch)).unzip();
        (i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX), ids, epochs)
    }
}

/// Returns the sagas that another live node can continue, sleeping ones included, up to a limit.
///
/// # Errors
/// The error of the database.
pub async fn find(connection: &mut Connection, waiting: &Waiting, limit: i64) -> Result<Vec<(SagaId, i32)>, Error> {
    let Waiting { owner, operation, .. } = waiting;
    let (lease_ms, ids, epochs) = waiting.columns();
    let rows = connection
        .query(FIND, &[&owner.node_id, &owner.incarnation, operation, &lease_ms, &ids, &epochs, &limit])
        .await?;
    Ok(rows.iter().map(|row| (SagaId(row.get(0)), row.get(1))).collect())
}

/// Gives sagas to live nodes from which the operation works, and returns those that were given, each with its new owner.
///
/// # Errors
/// The error of the database.
pub async fn hand_over(connection: &mut Connection, waiting: &Waiting) -> Result<Vec<(SagaId, String)>, Error> {
    let Waiting { owner, operation, .. } = waiting;
    let (lease_ms, ids, epochs) = waiting.columns();
    let rows =
        connection.query(HAND_OVER, &[&owner.node_id, &owner.incarnation, operation, &lease_ms, &ids, &epochs]).await?;
    Ok(rows.iter().map(|row| (SagaId(row.get(0)), row.get(1))).collect())
}
