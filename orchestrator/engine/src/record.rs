//! What is written to the saga log and what the log answers. Plain data and one pure judgement.

use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;
use uuid::Uuid;

use crate::change::StateChange;
use crate::definition::{Input, Outputs};
use crate::log::{Direction, StepView};
use crate::{SagaId, Status};

/// An `Idempotency-Key` and what it was sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The owner of the key: keys of different scopes are different keys. For purchases it is the user.
    pub scope: String,
    /// The key, as the client sent it.
    pub key: String,
    /// A hash of the canonical values of the request.
    pub fingerprint: Fingerprint,
}

/// A hash of what a request means, and the version of the list of fields that it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The version.
    pub version: i16,
    /// The hash.
    pub hash: Vec<u8>,
}

/// Why a person should look at a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The reason.
    pub reason: String,
    /// What clears it.
    pub until: Until,
}

/// What clears a [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Any end of its saga.
    End,
    /// A person alone: no end settles what it tells of. It stands where a saga has one of each kind.
    Resolved,
}

impl Mark {
    /// Makes a mark that any end clears.
    pub fn until_end(reason: String) -> Mark {
        Mark { reason, until: Until::End }
    }

    /// Makes a mark that stays until a person resolves it.
    pub fn until_resolved(reason: String) -> Mark {
        Mark { reason, until: Until::Resolved }
    }
}

/// A saga that begins.
#[derive(Clone, Debug)]
pub struct NewSaga {
    /// The definition's name.
    pub definition: &'static str,
    /// The definition's version.
    pub definition_version: i32,
    /// Its input.
    pub input: Input,
    /// The client's key, if it sent one.
    pub key: Option<IdempotencyKey>,
    /// Tells this attempt to begin from any other.
    pub nonce: Uuid,
    /// How long it may run forward, from when the row is written, by the database's clock.
    pub deadline: Duration,
    /// How long ago it was accepted. The row holds that moment by the database's clock.
    pub age: Duration,
    /// When the row is there at the latest, by the database's clock: from then on it is not written any more.
    pub decided_by: DateTime<Utc>,
}

/// One awaited write.
#[derive(Clone, Debug)]
pub struct LogWrite {
    /// The saga.
    pub saga_id: SagaId,
    /// The epoch under which its owner writes.
    pub epoch: i32,
    /// What changes.
    pub change: Change,
    /// What the steps gave so far.
    pub outputs: Outputs,
    /// The steps as people see them.
    pub timeline: Vec<StepView>,
    /// A reason for a person to look, if there is one.
    pub attention: Option<Mark>,
    /// When it was written, by the node's clock: for listeners.
    pub at: DateTime<Utc>,
    /// What listeners are told if it takes place: its own change of the status, and the steps' changes before it.
    pub changes: Vec<StateChange>,
    /// Which writes may share its transaction.
    pub company: Company,
}

/// Which other writes may share the transaction of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Those of any saga.
    Any,
    /// None: the database has refused a value of this write, and might refuse another.
    None,
}

/// Changes of a saga's steps that nobody awaits: they are for listeners only.
#[derive(Clone, Debug)]
pub struct StepChanges {
    /// The saga.
    pub saga_id: SagaId,
    /// The epoch under which its owner saw them.
    pub epoch: i32,
    /// What listeners are told.
    pub changes: Vec<StateChange>,
}

/// What a write changes.
#[derive(Clone, Debug)]
pub enum Change {
    /// The saga begins; with an end, it ends in the same row, having had no effect.
    Begin {
        /// What begins.
        saga: Box<NewSaga>,
        /// The error with which it ended at once (COMPENSATED), if it did.
        ended: Option<String>,
    },
    /// The reads have answered.
    Outputs,
    /// It turns back.
    TurnBack {
        /// Why.
        cause: String,
    },
    /// Undoing takes too long: FAILED, not an end. The saga sleeps and tries again.
    MarkFailed {
        /// How long it sleeps.
        wake_in: Duration,
        /// How often it was marked, this time included.
        marks: u32,
        /// The operation whose confirmation for another saga wakes it earlier.
        waits_for: Option<String>,
    },
    /// It ends.
    End {
        /// How.
        status: Status,
        /// Why it did not complete.
        error: Option<String>,
    },
}

impl Change {
    /// Names the kind of write, for logs.
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

/// The log does not accept a value, and never will.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct ValueRefused {
    /// The log's code of the error: an SQLSTATE, for a log in SQL.
    pub code: String,
    /// The reason.
    pub reason: String,
}

/// What the log says to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteReport {
    /// It is durable, or an equal write of the same owner was already.
    Durable {
        /// Whether somebody has asked for a cancel.
        cancel_requested: bool,
        /// The time that the row holds of it, by the database's clock: of a begin when the saga was accepted, of an end
        /// when it ended.
        at: DateTime<Utc>,
    },
    /// A begin: another saga holds the key.
    KeyHeld(SagaId),
    /// A begin: this node's lease is not live, or the time in which the saga may begin is over.
    NotAdmitted,
    /// The row is another owner's now: this one must stop without a sound.
    Lost,
    /// There is no row, although this saga was in the log.
    RowGone,
    /// The row allows no such change: a flag stands against it.
    CancelRequested,
    /// The row has ended another way (a person resolved it).
    EndedOtherwise,
    /// Nothing was written: the database does not accept a value, and never will.
    Rejected(ValueRefused),
    /// Nothing was written.
    NotWritten(String),
    /// It may have been written: ask again, with the same write.
    InDoubt(String),
}

/// A row as the statement after a write sees it.
#[derive(Clone, Debug)]
pub struct RowState {
    /// Which process owns it.
    pub owner_incarnation: Uuid,
    /// Under which epoch.
    pub epoch: i32,
    /// Its status.
    pub status: Status,
    /// Its direction.
    pub direction: Direction,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether a cancel was asked for.
    pub cancel_requested: bool,
    /// The nonce of the begin that made it.
    pub begin_nonce: Uuid,
}

/// Judges a write that changed nothing by the row that it found, or did not find.
pub fn judge(write: &LogWrite, incarnation: Uuid, row: Option<&RowState>) -> WriteReport {
    let Some(row) = row else {
        // A begin that found no row of its id and no holder of its key was kept out by the lease, or came too late.
        return match write.change {
            Change::Begin { .. } => WriteReport::NotAdmitted,
            _ => WriteReport::RowGone,
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
        // Unended, ours, and no flag against it: the update would have changed it.
        _ => WriteReport::NotWritten("the row did not change".to_owned()),
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
            timeline: Vec::new(),
            attention: None,
            at: DateTime::UNIX_EPOCH,
            changes: Vec::new(),
            company: Company::Any,
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
            definition: "checkout",
            definition_version: 1,
            input: Input::default(),
            key: None,
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
