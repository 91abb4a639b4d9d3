//! A step as the status endpoint shows it. Rows of an earlier version hold the same field names.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::known::Undoing;
use super::step::StepRecord;
use crate::definition::Step;

/// One step as the status endpoint shows it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
#[schema(as = Step)]
pub struct StepView {
    /// Name of the step.
    #[schema(value_type = String)]
    pub step: SmolStr,
    /// Name of the participant.
    #[schema(value_type = String)]
    pub participant: SmolStr,
    /// `pending` (it did not happen), `running`, `backing_off`, `done`, `refused`, `unknown` (it may have happened),
    /// `compensating` (it was done, or may have been, and is being undone) or `compensated` (it was done and is undone).
    #[schema(
        value_type = String,
        pattern = "^(pending|running|backing_off|done|refused|unknown|compensating|compensated)$",
        example = "done"
    )]
    pub state: Cow<'static, str>,
    /// State of the action alone, without its compensation. A `compensation` beside an action that is `pending` or
    /// `refused` is a precaution: there was nothing to undo.
    #[schema(
        value_type = String,
        pattern = "^(pending|running|backing_off|done|refused|unknown)$",
        example = "done"
    )]
    #[serde(default)]
    pub action: Cow<'static, str>,
    /// Number of attempts at the action, as far as known.
    pub attempts: u32,
    /// Time of the first attempt at the action.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// Time at which the action was settled.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// The last error.
    #[schema(required)]
    pub error: Option<String>,
    /// The compensation, once requested.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub compensation: Option<CompensationView>,
}

/// The compensation of a step as the status endpoint shows it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
#[schema(as = Compensation)]
pub struct CompensationView {
    /// Number of attempts.
    pub attempts: u32,
    /// Time of the first attempt.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// Time of the confirmation.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// The last error.
    #[schema(required)]
    pub error: Option<String>,
}

impl StepView {
    pub(super) fn of(definition: &Step, step: &StepRecord) -> StepView {
        let compensation = (step.undoing != Undoing::None).then(|| CompensationView {
            attempts: step.undo_attempts.count,
            started_at: step.undo_attempts.started_at,
            finished_at: step.undo_attempts.finished_at,
            error: step.undo_attempts.error.clone(),
        });
        StepView {
            step: definition.name.clone(),
            participant: definition.participant.clone(),
            state: step.state().into(),
            action: step.action_state().into(),
            attempts: step.attempts.count,
            started_at: step.attempts.started_at,
            finished_at: step.attempts.finished_at,
            error: step.attempts.error.clone(),
            compensation,
        }
    }
}

/// Returns why undoing is not confirmed: the error of the last step whose compensation has one.
pub fn stuck_because(steps: &[StepView]) -> Option<String> {
    steps.iter().rev().find_map(|step| {
        let error = step.compensation.as_ref()?.error.as_ref()?;
        Some(format!("{} is not undone: {error}", step.step))
    })
}
