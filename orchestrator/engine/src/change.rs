//! One change of a saga's or a step's state: as listeners get it, and as the program knows it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{SagaId, Status};

/// A change. The text fields are borrowed where this program makes them and owned where it reads them back. With these names
/// it stood in the rows of an earlier version, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StateChange {
    /// Of the saga itself.
    Saga {
        /// What it is now.
        status: Status,
        /// Whether that is its end. FAILED is one only where a person has resolved it.
        ended: bool,
        /// Why it turned back, if it did.
        error: Option<String>,
        /// When, by the clock of the node that wrote it.
        #[serde(with = "foundation::time::rfc3339")]
        at: DateTime<Utc>,
    },
    /// Of one of its steps.
    Step {
        /// The step.
        step: Cow<'static, str>,
        /// Who does it.
        participant: Cow<'static, str>,
        /// As in the status.
        state: Cow<'static, str>,
        /// How often it was asked for, in the direction that the state names.
        attempts: u32,
        /// What went wrong last.
        error: Option<String>,
        /// When, by the clock of the node that saw it.
        #[serde(with = "foundation::time::rfc3339")]
        at: DateTime<Utc>,
    },
}

/// Whether a saga goes on after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It does.
    GoesOn,
    /// It has ended.
    Ended,
}

impl StateChange {
    /// Makes the change of a saga's status.
    pub fn of_saga(status: Status, ending: Ending, error: Option<String>, at: DateTime<Utc>) -> StateChange {
        StateChange::Saga { status, ended: ending == Ending::Ended, error, at }
    }

    /// Returns the name of the event that listeners get.
    pub fn kind(&self) -> &'static str {
        match self {
            StateChange::Saga { .. } => "saga",
            StateChange::Step { .. } => "step",
        }
    }

    /// Returns what listeners get: the change with the id of its saga, as JSON.
    pub fn shown(&self, saga_id: SagaId) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            transaction_id: SagaId,
            #[serde(flatten)]
            change: &'a StateChange,
        }
        json(&Shown { transaction_id: saga_id, change: self })
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("plain records of strings and numbers serialise")
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
            changes[1].shown(id),
            r#"{"transaction_id":"00000000-0000-0000-0000-000000000000","kind":"saga","status":"COMPENSATED","ended":true,"error":"409: no","at":"2026-01-01T00:00:00.000001Z"}"#
        );
        let step: serde_json::Value = serde_json::from_str(&changes[0].shown(id)).unwrap();
        for field in ["transaction_id", "kind", "step", "participant", "state", "attempts", "error", "at"] {
            assert!(step.get(field).is_some(), "{field}: {step}");
        }
    }
}
