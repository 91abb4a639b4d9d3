//! A saga of any definition as clients see it, from memory or from its row.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::answer::failed_step;
use super::definitions::DefinedStep;
use super::outputs::{ByStep, by_step};
use saga_engine::definition::{Definition, Input};
use saga_engine::log::{StepView, stuck_because};
use saga_engine::running::RunningSaga;
use saga_engine::stored::{Resolution, StoredSaga};
use saga_engine::takeover::Takeover;
use saga_engine::{SagaId, Status};

/// A saga of any definition.
#[derive(Serialize, ToSchema)]
#[schema(as = AnySaga)]
pub(in crate::api) struct SagaView {
    saga_id: SagaId,
    /// Number of the cell that has it.
    #[schema(maximum = 63)]
    cell: u8,
    /// Name of its definition.
    #[schema(value_type = String)]
    definition: SmolStr,
    /// Version of its definition.
    version: i32,
    status: Status,
    /// Its input.
    #[schema(value_type = Value)]
    #[serde(serialize_with = "serialize_input")]
    input: Input,
    /// The outputs of its steps so far, by step and name.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Value>>)]
    outputs: ByStep,
    /// Why it turned back; null if it has not.
    #[schema(required)]
    error: Option<String>,
    /// The step that turned it back; null if no step did.
    #[schema(required, value_type = Option<String>)]
    failed_step: Option<SmolStr>,
    /// Why it is not undone yet, for a saga that is COMPENSATING or FAILED and cannot proceed.
    #[schema(required)]
    stuck_because: Option<String>,
    /// How a person settled it; null if none did.
    #[schema(required)]
    resolution: Option<Resolution>,
    /// When it was accepted.
    #[serde(with = "common::wire::rfc3339")]
    created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    /// Takeovers, oldest first.
    takeovers: Vec<Takeover>,
    /// All steps, pending ones included, in the order of the definition.
    steps: Vec<StepView>,
    /// The steps as they are defined, each with those before it; null if this node does not know the definition. Lists
    /// leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<DefinedStep>>)]
    graph: Option<Option<Vec<DefinedStep>>>,
}

impl SagaView {
    pub(in crate::api) fn of_row(row: StoredSaga, cell: u8) -> Self {
        let stuck = stuck_because(&row.timeline)
            .or(row.attention.filter(|_| row.status == Status::Failed || row.deaths > 0))
            .filter(|_| matches!(row.status, Status::Compensating | Status::Failed));
        Self {
            saga_id: row.id,
            cell,
            definition: row.definition,
            version: row.definition_version,
            status: row.status,
            input: row.input,
            outputs: by_step(&row.outputs),
            failed_step: failed_step(&row.timeline, row.error.as_deref()).filter(|_| row.error.is_some()),
            error: row.error,
            stuck_because: stuck,
            resolution: row.resolution,
            created_at: row.created_at,
            ended_at: row.ended_at,
            takeovers: row.takeovers,
            steps: row.timeline,
            graph: None,
        }
    }

    pub(in crate::api) fn of_running(saga: &RunningSaga, cell: u8) -> Self {
        let progress = saga.progress();
        let log = &progress.log;
        let (status, steps) = (log.status(), log.timeline());
        // A cause is shown only once it is durable.
        let error = log.cause().filter(|_| status != Status::Pending).map(ToString::to_string);
        Self {
            saga_id: saga.id,
            cell,
            definition: saga.definition.name.clone(),
            version: saga.definition.version,
            status,
            input: saga.input.clone(),
            outputs: by_step(log.outputs()),
            failed_step: failed_step(&steps, error.as_deref()).filter(|_| error.is_some()),
            error,
            resolution: None,
            stuck_because: stuck_because(&steps).filter(|_| matches!(status, Status::Compensating | Status::Failed)),
            created_at: saga.accepted_at(),
            ended_at: None,
            takeovers: saga.takeovers.clone(),
            steps,
            graph: None,
        }
    }

    pub(in crate::api) fn with_graph(self, definition: Option<&Definition>) -> Self {
        Self { graph: Some(definition.map(DefinedStep::all_of)), ..self }
    }
}

fn serialize_input<S: Serializer>(input: &Input, serializer: S) -> Result<S::Ok, S::Error> {
    input.as_ref().serialize(serializer)
}
