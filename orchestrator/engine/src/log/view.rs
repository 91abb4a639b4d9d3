//! A step as people see it, in the status endpoint. With these names it stood in the rows of an earlier version, too.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::known::Undoing;
use super::step::StepRecord;

/// One step as the status endpoint shows it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
#[schema(as = Step)]
pub struct StepView {
    /// The step.
    #[schema(value_type = String)]
    pub step: Cow<'static, str>,
    /// Who does it.
    #[schema(value_type = String)]
    pub participant: Cow<'static, str>,
    /// `pending` (it did not happen), `running`, `backing_off`, `done`, `refused`, `unknown` (it may have happened),
    /// `compensating` (it was done, or may have been, and is being undone) or `compensated` (it was done and is undone).
    #[schema(
        value_type = String,
        pattern = "^(pending|running|backing_off|done|refused|unknown|compensating|compensated)$",
        example = "done"
    )]
    pub state: Cow<'static, str>,
    /// The state of its action alone: `state` without what became of its undoing. With a `compensation` and an action that
    /// is `pending` or `refused` the undoing is a precaution: there was nothing to undo.
    #[schema(
        value_type = String,
        pattern = "^(pending|running|backing_off|done|refused|unknown)$",
        example = "done"
    )]
    #[serde(default)]
    pub action: Cow<'static, str>,
    /// How often its action was asked for, as far as it is known.
    pub attempts: u32,
    /// When it was first asked for.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// When its action was settled.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    #[schema(required)]
    pub error: Option<String>,
    /// Its undoing, once that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub compensation: Option<CompensationView>,
}

/// The undoing of a step as people see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
#[schema(as = Compensation)]
pub struct CompensationView {
    /// How often it was asked for.
    pub attempts: u32,
    /// When it was first asked for.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it was confirmed.
    #[serde(with = "foundation::time::rfc3339::option")]
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    #[schema(required)]
    pub error: Option<String>,
}

impl StepView {
    pub(super) fn of(step: &StepRecord) -> StepView {
        let compensation = (step.undoing != Undoing::None).then(|| CompensationView {
            attempts: step.undo_attempts.count,
            started_at: step.undo_attempts.started_at,
            finished_at: step.undo_attempts.finished_at,
            error: step.undo_attempts.error.clone(),
        });
        StepView {
            step: step.name.into(),
            participant: step.participant.into(),
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

/// Says why undoing is not confirmed, as far as the steps tell: what went wrong with the last one that is to be undone.
pub fn stuck_because(steps: &[StepView]) -> Option<String> {
    steps.iter().rev().find_map(|step| {
        let error = step.compensation.as_ref()?.error.as_ref()?;
        Some(format!("{} is not undone: {error}", step.step))
    })
}
