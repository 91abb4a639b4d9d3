//! A saga as clients see it, from memory or from its row.

use chrono::{DateTime, Utc};
use common::ids::UserId;
use common::money::Money;
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::answer::Amount;
use crate::checkout::Order;
use crate::checkout::output;
use saga_engine::definition::Outputs;
use saga_engine::log::{StepView, stuck_because};
use saga_engine::running::RunningSaga;
use saga_engine::stored::{Resolution, StoredSaga};
use saga_engine::takeover::Takeover;
use saga_engine::{SagaId, Status};

/// A saga.
#[derive(Serialize, ToSchema)]
#[schema(as = Saga)]
pub(crate) struct SagaView {
    transaction_id: SagaId,
    /// Number of the cell that has it.
    #[schema(maximum = 63)]
    cell: u8,
    status: Status,
    /// The buyer; null for a saga that is not a purchase, as all fields of purchases are.
    #[schema(required)]
    user_id: Option<UserId>,
    /// The product; null until it is chosen.
    #[schema(required)]
    product_id: Option<String>,
    /// The payment that was taken, refunded or not; null if there is none.
    #[schema(required)]
    payment_id: Option<String>,
    /// Whether the stock is decreased; null if that is not known.
    #[schema(required)]
    inventory_updated: Option<bool>,
    /// Whether the purchase is recorded and not cancelled.
    purchase_registered: bool,
    #[serde(serialize_with = "common::money::as_number::serialize_option")]
    #[schema(required, value_type = Option<Amount>)]
    amount: Option<Money>,
    /// When it was accepted.
    #[serde(with = "common::wire::rfc3339")]
    created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    completed_at: Option<DateTime<Utc>>,
    /// Why it turned back.
    #[schema(required)]
    error_message: Option<String>,
    /// The purchase that was recorded, cancelled or not.
    #[schema(required)]
    purchase_id: Option<String>,
    /// Why it turned back; null if it has not.
    #[schema(required)]
    turned_back_because: Option<String>,
    /// Why it is not undone yet, for a saga that is COMPENSATING or FAILED and cannot proceed.
    #[schema(required)]
    stuck_because: Option<String>,
    /// How a person settled it; null if none did.
    #[schema(required)]
    resolution: Option<Resolution>,
    /// Takeovers, oldest first. A process that rebuilds the dead actor of its own saga counts as another owner; one
    /// that wakes its own sleeping saga does not.
    takeovers: Vec<Takeover>,
    /// All steps, pending ones included.
    steps: Vec<StepView>,
}

impl SagaView {
    pub(crate) fn of_row(row: StoredSaga, cell: u8) -> Self {
        let StoredSaga { id, definition, status, input, outputs, timeline, created_at, ended_at, error, .. } = row;
        let facts = Facts {
            id,
            cell,
            status,
            order: Order::of_saga(&definition, &input),
            outputs: &outputs,
            steps: timeline,
            created_at,
            error,
        };
        // While a saga compensates, an earlier mark is outdated, unless its actor keeps dying.
        let attention = row.attention.filter(|_| status == Status::Failed || row.deaths > 0);
        Self { resolution: row.resolution, ..Self::new(facts, ended_at, attention, row.takeovers) }
    }

    pub(crate) fn of_running(saga: &RunningSaga, cell: u8) -> Self {
        let progress = saga.progress();
        let log = &progress.log;
        let facts = Facts {
            id: saga.id,
            cell,
            status: log.status(),
            order: Order::of_saga(&saga.definition.name, &saga.input),
            outputs: log.outputs(),
            steps: log.timeline(),
            created_at: saga.accepted_at(),
            // A cause is shown only once it is durable.
            error: log.cause().filter(|_| log.status() != Status::Pending).map(ToString::to_string),
        };
        Self::new(facts, None, None, saga.takeovers.clone())
    }

    fn new(
        facts: Facts<'_>,
        completed_at: Option<DateTime<Utc>>,
        attention: Option<String>,
        takeovers: Vec<Takeover>,
    ) -> Self {
        let Facts { id, cell, status, order, outputs, steps, created_at, error } = facts;
        let output = |name| outputs.text(name).map(str::to_owned);
        let step = |name: &str| steps.iter().find(|view| view.step == name);
        let (inventory_updated, purchase_registered) = match steps.is_empty() {
            _ if order.is_none() => (None, false),
            false => (
                step("decrease").map_or(Some(false), stands),
                step("create").is_some_and(|view| stands(view) == Some(true)),
            ),
            // The details were cleared; the outputs that are left give the same answer.
            true => (in_brief(outputs), status == Status::Completed),
        };
        let stuck_because = match status {
            Status::Compensating | Status::Failed => stuck_because(&steps).or(attention),
            Status::Pending | Status::Completed | Status::Compensated => None,
        };
        Self {
            transaction_id: id,
            cell,
            status,
            user_id: order.as_ref().map(|order| order.user_id.clone()),
            product_id: output(output::PRODUCT_ID),
            payment_id: output(output::PAYMENT_ID),
            inventory_updated,
            purchase_registered,
            amount: order.map(|order| order.amount),
            created_at,
            completed_at,
            turned_back_because: error.clone(),
            error_message: error,
            purchase_id: output(output::PURCHASE_ID),
            stuck_because,
            resolution: None,
            takeovers,
            steps,
        }
    }
}

/// A saga with its definition.
#[derive(Serialize, ToSchema)]
#[schema(as = SagaWithDefinition)]
pub(super) struct WithDefinition {
    #[serde(flatten)]
    saga: SagaView,
    /// Name of its definition.
    #[schema(value_type = String)]
    definition: SmolStr,
    /// Version of its definition.
    version: i32,
}

impl WithDefinition {
    pub(super) fn of_row(row: StoredSaga, cell: u8) -> Self {
        let (definition, version) = (row.definition.clone(), row.definition_version);
        Self { saga: SagaView::of_row(row, cell), definition, version }
    }

    pub(super) fn of_running(saga: &RunningSaga, cell: u8) -> Self {
        let (definition, version) = (saga.definition.name.clone(), saga.definition.version);
        Self { saga: SagaView::of_running(saga, cell), definition, version }
    }
}

/// The facts that both sources have.
struct Facts<'a> {
    id: SagaId,
    cell: u8,
    status: Status,
    /// `None` for a saga that is not a purchase.
    order: Option<Order>,
    outputs: &'a Outputs,
    steps: Vec<StepView>,
    created_at: DateTime<Utc>,
    error: Option<String>,
}

/// Tells whether the step has a live effect, if that is known.
fn stands(step: &StepView) -> Option<bool> {
    match &*step.state {
        "done" => Some(true),
        "pending" | "refused" | "compensated" => Some(false),
        _ => None,
    }
}

fn in_brief(outputs: &Outputs) -> Option<bool> {
    match outputs.get(output::STOCK_IS_UNKNOWN) {
        Some(_) => None,
        None => Some(outputs.get(output::REMAINING_QUANTITY).is_some()),
    }
}
