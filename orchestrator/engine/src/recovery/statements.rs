//! The statements of recovery on the saga log: PostgreSQL in production, memory in the simulator.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::judgement::SeenOwner;
use crate::SagaId;
use crate::owner::Owner;
use crate::stored::{ReadRow, UnreadableRow};

/// The process that claims, with its limits.
#[derive(Clone, Debug)]
pub struct Claimer {
    /// The process.
    pub owner: Owner,
    /// The definitions that this node knows, as `name/version`.
    pub definitions: Vec<String>,
    /// Maximum number of sagas in one claim.
    pub batch: i64,
    /// Number of deaths of a saga's actor, without an awaited write in between, at which the saga is left to a person.
    pub max_claims: i32,
}

/// A flag on a saga that this node owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The saga.
    pub id: SagaId,
    /// Whether a cancel was requested while the saga still runs forward.
    pub cancel: bool,
    /// Time of the last requested retry.
    pub retry_at: Option<DateTime<Utc>>,
}

/// The death of a saga's actor that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorDeath {
    /// The saga.
    pub id: SagaId,
    /// The epoch under which it ran.
    pub epoch: i32,
    /// The reason for its death.
    pub reason: String,
}

/// A row, as found by a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// The saga.
    pub id: SagaId,
    /// Its epoch.
    pub epoch: i32,
}

/// Rows that a process may claim, if it knows their definition and they do not sleep.
#[derive(Clone, Copy, Debug)]
pub enum Free<'a> {
    /// Rows of these dead processes.
    OfTheDead(&'a [Owner]),
    /// Its own rows whose time to wake has come.
    OwnSleepers,
    /// Its own rows without an actor.
    Orphans(&'a [ListedRow]),
    /// Its own rows whose actor died. The deaths are counted; a row whose actor died too often is put to sleep on the
    /// attention list and not claimed.
    Died(&'a [ActorDeath]),
}

impl Free<'_> {
    /// Tells whether no row can match, so that no statement is needed.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Free::OfTheDead(owners) => owners.is_empty(),
            Free::OwnSleepers => false,
            Free::Orphans(rows) => rows.is_empty(),
            Free::Died(deaths) => deaths.is_empty(),
        }
    }
}

/// The statements of recovery.
pub trait Statements: Send {
    /// Error of a statement.
    type Error: Send;

    /// Returns the maximum number of rows in one claim.
    fn batch(&self) -> i64;

    /// Returns those of these sagas that this process no longer owns.
    fn lost(&mut self, running: &[Uuid]) -> impl Future<Output = Result<Vec<SagaId>, Self::Error>> + Send;

    /// Returns the flags on this process's sagas: cancels not yet carried out, and retries newer than `since`.
    fn flags(&mut self, since: Option<DateTime<Utc>>) -> impl Future<Output = Result<Vec<Flag>, Self::Error>> + Send;

    /// Returns the other processes that own unfinished sagas or have a lease.
    fn owners(&mut self) -> impl Future<Output = Result<Vec<SeenOwner>, Self::Error>> + Send;

    /// Returns up to `limit` claimable rows of this process with ids after `after`, in the order of ids.
    fn own_rows(&mut self, after: Uuid, limit: i64)
    -> impl Future<Output = Result<Vec<ListedRow>, Self::Error>> + Send;

    /// Returns the number of claimable rows of these dead processes, up to a limit.
    fn free_of_the_dead(&mut self, dead: &[Owner]) -> impl Future<Output = Result<usize, Self::Error>> + Send;

    /// Claims rows for this process, each with epoch + 1.
    fn claim(&mut self, free: Free<'_>) -> impl Future<Output = Result<Vec<ReadRow>, Self::Error>> + Send;

    /// Puts claimed rows that cannot be read on the attention list and to sleep.
    fn set_aside(&mut self, rows: &[UnreadableRow]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Runs rare maintenance: puts sagas of these dead processes on the attention list if no live node knows their
    /// definition, and deletes the leases of processes that are long dead and own no saga.
    fn tidy(&mut self, dead: &[Owner]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Returns how many of these rows are still claimable.
    fn still_free(&mut self, rows: &[ListedRow]) -> impl Future<Output = Result<usize, Self::Error>> + Send;
}
