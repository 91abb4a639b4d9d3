//! What recovery asks of the saga log, one statement each: PostgreSQL live, memory in the simulator.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::judgement::SeenOwner;
use super::look::{ActorDeath, ListedRow};
use crate::SagaId;
use crate::owner::Owner;
use crate::stored::{ReadRow, UnreadableRow};

/// Which process claims, and how much.
#[derive(Clone, Debug)]
pub struct Claimer {
    /// The process.
    pub owner: Owner,
    /// The definitions that this node knows, as `name/version`.
    pub definitions: Vec<String>,
    /// How many sagas are claimed at once.
    pub batch: i64,
    /// How often a saga's own actor may die without an awaited write before it is left to a person.
    pub max_claims: i32,
}

/// A flag on a saga that this node owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The saga.
    pub id: SagaId,
    /// A cancel was asked for, and the saga still runs forward.
    pub cancel: bool,
    /// When a retry was last asked for.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Rows that a node may claim, provided that it knows their definition and that they do not sleep.
#[derive(Clone, Copy, Debug)]
pub enum Free<'a> {
    /// Those of these processes, which are not alive.
    OfTheDead(&'a [Owner]),
    /// Its own whose time to wake has come.
    OwnSleepers,
    /// Its own that have no actor.
    Orphans(&'a [ListedRow]),
    /// Its own whose actor died: that is counted, and one that dies too often is set aside and not claimed.
    Died(&'a [ActorDeath]),
}

impl Free<'_> {
    /// Tells whether there can be none.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Free::OfTheDead(owners) => owners.is_empty(),
            Free::OwnSleepers => false,
            Free::Orphans(rows) => rows.is_empty(),
            Free::Died(deaths) => deaths.is_empty(),
        }
    }
}

/// The statements.
pub trait Statements: Send {
    /// Why a statement failed.
    type Error: Send;

    /// Returns how many rows one claim takes at most.
    fn batch(&self) -> i64;

    /// Finds those of these sagas that are not this process's any more.
    fn lost(&mut self, running: &[Uuid]) -> impl Future<Output = Result<Vec<SagaId>, Self::Error>> + Send;

    /// Reads the cancels that wait, and the retries that are newer than `since`.
    fn flags(&mut self, since: Option<DateTime<Utc>>) -> impl Future<Output = Result<Vec<Flag>, Self::Error>> + Send;

    /// Lists the other processes that own unfinished sagas or have a lease.
    fn owners(&mut self) -> impl Future<Output = Result<Vec<SeenOwner>, Self::Error>> + Send;

    /// Lists rows of this process that a claim could take, by id, from behind `after`.
    fn own_rows(&mut self, after: Uuid, limit: i64)
    -> impl Future<Output = Result<Vec<ListedRow>, Self::Error>> + Send;

    /// Counts, up to a limit, the rows of these processes, which are not alive, that a claim could take.
    fn free_of_the_dead(&mut self, dead: &[Owner]) -> impl Future<Output = Result<usize, Self::Error>> + Send;

    /// Claims a batch.
    fn claim(&mut self, free: Free<'_>) -> impl Future<Output = Result<Vec<ReadRow>, Self::Error>> + Send;

    /// Sends claimed rows that cannot be read to the attention list, to sleep there.
    fn set_aside(&mut self, rows: &[UnreadableRow]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Does what is due now and then: sagas of these processes, which are not alive, go to attention if no live node knows
    /// their definition, and leases of processes that are long dead and own nothing are deleted.
    fn tidy(&mut self, dead: &[Owner]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Counts those of these rows that a claim could still take.
    fn still_free(&mut self, rows: &[ListedRow]) -> impl Future<Output = Result<usize, Self::Error>> + Send;
}
