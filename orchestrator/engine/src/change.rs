//! One change of the state of a saga or a step, as it is sent to listeners.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{SagaId, Status};

/// A change of state. Text fields are borrowed when made here and owned when read back. Rows of an earlier version hold
/// the same field names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StateChange {
    /// The saga's status changed.
    Saga {
        /// The new status.
        status: Status,
        /// Whether the saga has ended. FAILED is an end only if an operator resolved the saga.
        ended: bool,
        /// Why the saga turned back, if it did.
        error: Option<String>,
        /// Time of the change, by the clock of the node that wrote it.
        #[serde(with = "foundation::time::rfc3339")]
        at: DateTime<Utc>,
    },
    /// A step's state changed.
    Step {
        /// Name of the step.
        step: SmolStr,
        /// Name of the participant.
        participant: SmolStr,
        /// The new state, as in the status.
        state: Cow<'static, str>,
        /// Number of attempts at the action or compensation that the state names.
        attempts: u32,
        /// The last error.
        error: Option<String>,
        /// Time of the change, by the clock of the node that ran the step.
        #[serde(with = "foundation::time::rfc3339")]
        at: DateTime<Utc>,
    },
}

/// Whether a change of status ends the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The saga runs on.
    GoesOn,
    /// The saga has ended.
    Ended,
}

/// Whether PENDING has been written for the listeners of a saga. If not, the log writes it before the first change that
/// it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginTold {
    /// Nothing of the saga was given to the log.
    No,
    /// Changes were given to the log, and it is not known whether they were written.
    Maybe,
    /// It was written, by this owner or by the claim of the saga.
    Yes,
}

impl StateChange {
    /// Makes a change of a saga's status.
    pub fn of_saga(status: Status, ending: Ending, error: Option<String>, at: DateTime<Utc>) -> StateChange {
        StateChange::Saga { status, ended: ending == Ending::Ended, error, at }
    }

    /// Returns the name of the event to listeners.
    pub fn kind(&self) -> &'static str {
        match self {
            StateChange::Saga { .. } => "saga",
            StateChange::Step { .. } => "step",
        }
    }

    /// Returns the event's data: the change with `transaction_id` and the cell that has the saga, as JSON.
    pub fn shown(&self, saga_id: SagaId, cell: u8) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            transaction_id: SagaId,
            cell: u8,
            #[serde(flatten)]
            change: &'a StateChange,
        }
        let shown = Shown { transaction_id: saga_id, cell, change: self };
        serde_json::to_string(&shown).expect("plain records of strings and numbers serialise")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn listeners_get_the_contracts_fields() {
        let at = DateTime::from_timestamp_micros(1_767_225_600_000_001).unwrap();
        let changes = [
            StateChange::Step {
                step: "charge".into(),
                participant: "payments".into(),
                state: "refused".into(),
                attempts: 2,
                error: Some("a \u{0} and a \" in it".to_owned()),
                at,
            },
            StateChange::of_saga(Status::Compensated, Ending::Ended, Some("409: no".to_owned()), at),
        ];
        let id = SagaId(Uuid::nil());
        assert_eq!(
            changes[1].shown(id, 7),
            r#"{"transaction_id":"00000000-0000-0000-0000-000000000000","cell":7,"kind":"saga","status":"COMPENSATED","ended":true,"error":"409: no","at":"2026-01-01T00:00:00.000001Z"}"#
        );
        let step: serde_json::Value = serde_json::from_str(&changes[0].shown(id, 7)).unwrap();
        for field in ["transaction_id", "kind", "step", "participant", "state", "attempts", "error", "at"] {
            assert!(step.get(field).is_some(), "{field}: {step}");
        }
    }
}
