//! One row in full, for `inspect`.

use chrono::{DateTime, Utc};
use common::db::Connection;
use serde::Serialize;
use smol_str::SmolStr;
use tokio_postgres::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::store::reader::{columns, from_row};
use saga_engine::SagaId;
use saga_engine::definition::{Input, Outputs};
use saga_engine::log::StepView;
use saga_engine::stored::UnreadableRow;
use saga_engine::takeover::Takeover;

const FULL_ROW: &str = concat!(
    "select ",
    columns!(),
    ", s.owner_node, s.owner_incarnation, s.cancel_requested_at, s.retry_requested_at, s.attention_at,
       s.wake_at, s.deadline_at, s.turned_at, s.idempotency_key
     from saga s where s.id = $1"
);

/// A row of the saga log as `inspect` shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SagaRow)]
pub struct FullRow {
    status: &'static str,
    direction: String,
    definition: String,
    /// Name of the definition.
    #[serde(skip)]
    pub(crate) name: SmolStr,
    /// Version of the definition.
    #[serde(skip)]
    pub(crate) version: i32,
    /// Input of the saga.
    #[serde(skip)]
    pub(crate) input: Input,
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    outputs: Outputs,
    #[schema(required)]
    error: Option<String>,
    owner_node: String,
    owner_incarnation: Uuid,
    epoch: i32,
    /// Deaths of its own actor since its last awaited write.
    deaths: i32,
    #[schema(required)]
    idempotency_key: Option<String>,
    #[serde(with = "common::wire::rfc3339")]
    created_at: DateTime<Utc>,
    #[serde(with = "common::wire::rfc3339")]
    deadline_at: DateTime<Utc>,
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    turned_at: Option<DateTime<Utc>>,
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    cancel_requested_at: Option<DateTime<Utc>>,
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    retry_requested_at: Option<DateTime<Utc>>,
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    wake_at: Option<DateTime<Utc>>,
    #[schema(required)]
    attention: Option<String>,
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    attention_at: Option<DateTime<Utc>>,
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    resolved_at: Option<DateTime<Utc>>,
    #[schema(required)]
    resolved_note: Option<String>,
    #[schema(required)]
    resolved_by: Option<String>,
    /// Takeovers, the newest last.
    takeovers: Vec<Takeover>,
    steps: Vec<StepView>,
}

impl FullRow {
    /// Tells whether the saga has a step at this participant.
    pub fn calls(&self, participant: &str) -> bool {
        self.steps.iter().any(|step| step.participant == participant)
    }

    /// Returns the outputs so far.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Returns the steps.
    pub fn steps(&self) -> &[StepView] {
        &self.steps
    }
}

/// Reads a row in full.
///
/// # Errors
/// The error of the database.
pub async fn read(connection: &mut Connection, id: SagaId) -> Result<Option<Result<FullRow, UnreadableRow>>, Error> {
    let Some(row) = connection.query_opt(FULL_ROW, &[&id.0]).await? else { return Ok(None) };
    Ok(Some(from_row(&row).map(|saga| FullRow {
        status: saga.status.as_str(),
        direction: format!("{:?}", saga.direction).to_lowercase(),
        definition: format!("{}/{}", saga.definition, saga.definition_version),
        name: saga.definition,
        version: saga.definition_version,
        input: saga.input,
        outputs: saga.outputs,
        error: saga.error,
        owner_node: row.get("owner_node"),
        owner_incarnation: row.get("owner_incarnation"),
        epoch: saga.epoch,
        deaths: saga.deaths,
        idempotency_key: row.get("idempotency_key"),
        created_at: saga.created_at,
        deadline_at: row.get("deadline_at"),
        turned_at: row.get("turned_at"),
        ended_at: saga.ended_at,
        cancel_requested_at: row.get("cancel_requested_at"),
        retry_requested_at: row.get("retry_requested_at"),
        wake_at: row.get("wake_at"),
        attention: saga.attention,
        attention_at: row.get("attention_at"),
        resolved_at: row.get("resolved_at"),
        resolved_note: row.get("resolved_note"),
        resolved_by: row.get("resolved_by"),
        takeovers: saga.takeovers,
        steps: saga.timeline,
    })))
}
