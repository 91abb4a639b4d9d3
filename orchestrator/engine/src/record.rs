//! Writes to the saga log and their reports. Plain data, and one pure function.

use std::time::Duration;

use chrono::{DateTime, Utc};
pub use foundation::secret::SecretHash;
use smol_str::SmolStr;
use thiserror::Error;
use uuid::Uuid;

use crate::change::{BeginTold, StateChange};
use crate::definition::{Input, Outputs};
use crate::log::{Direction, StepView};
use crate::{SagaId, Status};

/// An `Idempotency-Key` with its scope and the fingerprint of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Scope of the key: equal keys of different scopes are different.
    pub scope: KeyScope,
    /// The key, as the client sent it.
    pub key: String,
    /// A hash of the canonical values of the request.
    pub fingerprint: Fingerprint,
}

/// Scope of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyScope {
    /// The purchases of a user.
    User(String),
    /// All sagas that are not purchases.
    Sagas,
    /// Ids that clients of DTM give; they are never released.
    Gid,
}

/// A hash of the meaning of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Version of the list of hashed fields.
    pub version: i16,
    /// The hash.
    pub hash: Vec<u8>,
}

impl Fingerprint {
    /// Tells whether the stored fingerprint is of an equal request; `None` if their versions cannot be compared. Earlier
    /// programs stored more bytes of the same hash.
    pub fn equals_stored(&self, stored: &Fingerprint) -> Option<bool> {
        (self.version == stored.version).then(|| stored.hash.starts_with(&self.hash))
    }
}

/// Why a person should look at a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The reason.
    pub reason: String,
    /// The event that clears it.
    pub until: Until,
}

/// The event that clears a [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Any end of the saga.
    End,
    /// An operator only: the end of the saga does not settle the reason. It wins over a mark of the other kind.
    Resolved,
}

impl Mark {
    /// Makes a mark that any end of the saga clears.
    pub fn until_end(reason: String) -> Mark {
        Mark { reason, until: Until::End }
    }

    /// Makes a mark that stays until an operator resolves it.
    pub fn until_resolved(reason: String) -> Mark {
        Mark { reason, until: Until::Resolved }
    }
}

/// The row of a new saga.
#[derive(Clone, Debug)]
pub struct NewSaga {
    /// The definition's name.
    pub definition: SmolStr,
    /// The definition's version.
    pub definition_version: i32,
    /// The saga's input.
    pub input: Input,
    /// The client's idempotency key, if it sent one.
    pub key: Option<IdempotencyKey>,
    /// The hash of the client's secret for the saga, if it sent one.
    pub secret: Option<SecretHash>,
    /// Nonce that distinguishes this attempt to begin from any other.
    pub nonce: Uuid,
    /// How long the saga may run forward, counted from the write of the row, by the database's clock.
    pub deadline: Duration,
    /// Time since the saga was accepted. The row stores the time of acceptance by the database's clock.
    pub age: Duration,
    /// Time, by the database's clock, from which the row is no longer written.
    pub decided_by: DateTime<Utc>,
}

/// Stands among the names of started steps, and says that every step that may have started is named. It is the name of
/// no step.
pub const NAMES_ALL: &str = "=";

/// One awaited write to the saga log.
#[derive(Clone, Debug)]
pub struct LogWrite {
    /// The saga.
    pub saga_id: SagaId,
    /// The epoch under which its owner writes.
    pub epoch: i32,
    /// The change.
    pub change: Change,
    /// Outputs of the steps so far.
    pub outputs: Outputs,
    /// The steps that may have started or start next, and [`NAMES_ALL`]; empty if no start of the saga is recorded, so
    /// that any step may have started.
    pub started: Vec<SmolStr>,
    /// The steps, for display.
    pub timeline: Vec<StepView>,
    /// A reason for a person to look, if there is one.
    pub attention: Option<Mark>,
    /// Time of the write by the node's clock, for listeners.
    pub at: DateTime<Utc>,
    /// Changes for listeners, sent if the write takes place: its change of status, and earlier changes of steps.
    pub changes: Vec<StateChange>,
    /// Whether PENDING has been written for listeners. If not, the log writes it before these changes.
    pub begin_told: BeginTold,
    /// Whether it may share its transaction.
    pub batching: Batching,
    /// Whether it repeats an attempt whose result is not known.
    pub was_in_doubt: bool,
}

/// Whether a write may share its transaction with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// With any.
    Any,
    /// With none: the log has refused a value of this write, and might refuse another.
    None,
}

/// Changes of a saga's steps for listeners only; no write is awaited.
#[derive(Clone, Debug)]
pub struct StepChanges {
    /// The saga.
    pub saga_id: SagaId,
    /// The epoch of the owner that made them.
    pub epoch: i32,
    /// The changes.
    pub changes: Vec<StateChange>,
    /// Whether PENDING has been written for listeners. If not, the log writes it before these changes.
    pub begin_told: BeginTold,
}

/// The change that a write makes.
#[derive(Clone, Debug)]
pub enum Change {
    /// The saga begins. With `ended` it ends in the same write, without any effect.
    Begin {
        /// The new saga.
        saga: Box<NewSaga>,
        /// The error with which it ends at once as COMPENSATED, if it does.
        ended: Option<String>,
    },
    /// The outputs of the reads are known.
    Outputs,
    /// The saga turns back.
    TurnBack {
        /// Why.
        cause: String,
    },
    /// Undoing takes too long: the saga becomes FAILED, which is not an end. It sleeps and tries again.
    MarkFailed {
        /// Duration of its sleep.
        wake_in: Duration,
        /// Number of times it was marked FAILED, this one included.
        marks: u32,
        /// The operation (`payments.refund`) whose confirmation for another saga wakes it earlier.
        waits_for: Option<String>,
    },
    /// The saga ends.
    End {
        /// The final status.
        status: Status,
        /// Why it did not complete.
        error: Option<String>,
    },
}

impl Change {
    /// Returns the name of the change, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Change::Begin { ended: None, .. } => "begin",
            Change::Begin { ended: Some(_), .. } => "begin and end",
            Change::Outputs => "outputs",
            Change::TurnBack { .. } => "turn back",
            Change::MarkFailed { .. } => "mark failed",
            Change::End { .. } => "end",
        }
    }
}

/// The log refuses a value, and would refuse it every time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct ValueRefused {
    /// The log's error code, an SQLSTATE for PostgreSQL.
    pub code: String,
    /// The reason.
    pub reason: String,
}

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteReport {
    /// The write is durable, or an equal write of the same owner already was.
    Durable {
        /// Whether a cancel was requested.
        cancel_requested: bool,
        /// Time of the write in the row, by the database's clock: for a begin the time of acceptance, for an end the
        /// time of the end.
        at: DateTime<Utc>,
    },
    /// Begin only: this other saga holds the idempotency key.
    KeyHeld(SagaId),
    /// Begin only: this node's lease is not live, or the begin limit of the saga has passed.
    NotAdmitted,
    /// Another owner has the row: this one must stop.
    Lost,
    /// The row does not exist, although this saga was in the log.
    RowGone,
    /// A cancel in the row forbids COMPLETED.
    CancelRequested,
    /// The row has another end: an operator resolved the saga.
    EndedOtherwise,
    /// Nothing was written: the log refuses a value, and would refuse it every time.
    Rejected(ValueRefused),
    /// Nothing was written, for this reason; the same write may be repeated.
    NotWritten(String),
    /// It may have been written; the reason. The same write must be repeated.
    InDoubt(String),
}

/// The row as read after a write that changed nothing.
#[derive(Clone, Debug)]
pub struct RowState {
    /// The owner's process.
    pub owner_incarnation: Uuid,
    /// The owner's epoch.
    pub epoch: i32,
    /// The status.
    pub status: Status,
    /// The direction.
    pub direction: Direction,
    /// Time of acceptance.
    pub created_at: DateTime<Utc>,
    /// Time of the end, if it has ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether a cancel was requested.
    pub cancel_requested: bool,
    /// The nonce of the begin that wrote it.
    pub begin_nonce: Uuid,
}

/// Returns the report of a write that changed nothing, from the row as read afterwards (`None`: it does not exist).
pub fn judge(write: &LogWrite, incarnation: Uuid, row: Option<&RowState>) -> WriteReport {
    let Some(row) = row else {
        // Without a row and without a holder of the key, the lease was not live or the begin came too late.
        return match write.change {
            Change::Begin { .. } => WriteReport::NotAdmitted,
            Change::Outputs | Change::TurnBack { .. } | Change::MarkFailed { .. } | Change::End { .. } => {
                WriteReport::RowGone
            }
        };
    };
    if row.owner_incarnation != incarnation || row.epoch != write.epoch {
        return WriteReport::Lost;
    }
    let durable = |at| WriteReport::Durable { cancel_requested: row.cancel_requested, at };
    match (&write.change, row.ended_at) {
        (Change::Begin { saga, ended: Some(_) }, Some(at)) if row.begin_nonce == saga.nonce => durable(at),
        (Change::Begin { saga, .. }, _) if row.begin_nonce == saga.nonce => durable(row.created_at),
        (Change::Begin { .. }, _) => WriteReport::Lost,
        (Change::End { status, .. }, Some(at)) if row.status == *status => durable(at),
        (_, Some(_)) => WriteReport::EndedOtherwise,
        (Change::End { status: Status::Completed, .. }, None) if row.cancel_requested => WriteReport::CancelRequested,
        // The row is ours, has not ended and carries no flag against the change: the update should have changed it.
        (Change::Outputs | Change::TurnBack { .. } | Change::MarkFailed { .. } | Change::End { .. }, None) => {
            WriteReport::NotWritten("the row did not change".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Uuid = Uuid::from_u128(1);
    const NONCE: Uuid = Uuid::from_u128(2);

    fn write(change: Change) -> LogWrite {
        LogWrite {
            saga_id: SagaId(Uuid::nil()),
            epoch: 3,
            change,
            outputs: Outputs::default(),
            started: Vec::new(),
            timeline: Vec::new(),
            attention: None,
            at: DateTime::UNIX_EPOCH,
            changes: Vec::new(),
            begin_told: BeginTold::No,
            batching: Batching::Any,
            was_in_doubt: false,
        }
    }

    fn row() -> RowState {
        RowState {
            owner_incarnation: MINE,
            epoch: 3,
            status: Status::Pending,
            direction: Direction::Forward,
            created_at: at(1),
            ended_at: None,
            cancel_requested: false,
            begin_nonce: NONCE,
        }
    }

    fn begin(nonce: Uuid) -> Change {
        let saga = NewSaga {
            definition: "checkout".into(),
            definition_version: 1,
            input: Input::default(),
            key: None,
            secret: None,
            nonce,
            deadline: Duration::from_secs(1),
            age: Duration::ZERO,
            decided_by: DateTime::UNIX_EPOCH,
        };
        Change::Begin { saga: Box::new(saga), ended: None }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn begin_and_end() -> Change {
        match begin(NONCE) {
            Change::Begin { saga, .. } => Change::Begin { saga, ended: Some("404: no".to_owned()) },
            other => other,
        }
    }

    fn end(status: Status) -> Change {
        Change::End { status, error: None }
    }

    #[test]
    fn a_write_that_changed_nothing_is_judged_by_the_row() {
        let durable = |seconds| WriteReport::Durable { cancel_requested: false, at: at(seconds) };
        let ended = |status| Some(RowState { status, ended_at: Some(at(2)), ..row() });
        let cases = [
            ("begin, no row: the lease, or its time is over", begin(NONCE), None, WriteReport::NotAdmitted),
            ("begin, mine already", begin(NONCE), Some(row()), durable(1)),
            ("begin and end, mine already", begin_and_end(), ended(Status::Compensated), durable(2)),
            ("begin, somebody else's row", begin(MINE), Some(row()), WriteReport::Lost),
            ("end, another epoch", end(Status::Completed), Some(RowState { epoch: 4, ..row() }), WriteReport::Lost),
            (
                "end, another process",
                end(Status::Completed),
                Some(RowState { owner_incarnation: NONCE, ..row() }),
                WriteReport::Lost,
            ),
            ("end, no row", end(Status::Completed), None, WriteReport::RowGone),
            ("end, written before", end(Status::Completed), ended(Status::Completed), durable(2)),
            ("end, resolved meanwhile", end(Status::Compensated), ended(Status::Failed), WriteReport::EndedOtherwise),
            (
                "completed against a cancel",
                end(Status::Completed),
                Some(RowState { cancel_requested: true, ..row() }),
                WriteReport::CancelRequested,
            ),
        ];
        for (name, change, row, expected) in cases {
            assert_eq!(judge(&write(change), MINE, row.as_ref()), expected, "{name}");
        }
    }
}
