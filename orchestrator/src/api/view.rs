//! A saga as clients see it, from memory or from its row.

use chrono::{DateTime, Utc};
use common::ids::UserId;
use common::money::Money;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Amount;
use crate::checkout::Order;
use crate::checkout::output;
use saga_engine::definition::Outputs;
use saga_engine::log::{StepView, stuck_because};
use saga_engine::running::RunningSaga;
use saga_engine::stored::StoredSaga;
use saga_engine::takeover::Takeover;
use saga_engine::{SagaId, Status};

/// A saga.
#[derive(Serialize, ToSchema)]
#[schema(as = Saga)]
pub(crate) struct SagaView {
    transaction_id: SagaId,
    status: Status,
    user_id: UserId,
    /// What is bought; null until it is known.
    #[schema(required)]
    product_id: Option<String>,
    /// The payment that was taken, given back or not; null where there is none.
    #[schema(required)]
    payment_id: Option<String>,
    /// Whether the stock is decreased; null where that is not known.
    #[schema(required)]
    inventory_updated: Option<bool>,
    /// Whether the purchase stands.
    purchase_registered: bool,
    #[serde(serialize_with = "common::money::as_number::serialize")]
    #[schema(value_type = Amount)]
    amount: Money,
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
    /// Why it turned back; null where it has not.
    #[schema(required)]
    turned_back_because: Option<String>,
    /// Why what it did is not undone yet: of one that is COMPENSATING or FAILED, where something stands in its way.
    #[schema(required)]
    stuck_because: Option<String>,
    /// How it came to other owners, oldest first. A process that makes a saga's dead actor anew is another owner too; one
    /// that wakes its own saga from its sleep is not.
    takeovers: Vec<Takeover>,
    /// All steps, those still to come included.
    steps: Vec<StepView>,
}

impl SagaView {
    pub(crate) fn of_row(row: StoredSaga) -> Self {
        let StoredSaga { id, status, input, outputs, timeline, created_at, ended_at, error, .. } = row;
        let facts =
            Facts { id, status, order: Order::of_input(&input), outputs: &outputs, steps: timeline, created_at, error };
        // Of one that is undone right now, a mark from before says nothing; that its actor dies of it does.
        let attention = row.attention.filter(|_| status == Status::Failed || row.deaths > 0);
        Self::new(facts, ended_at, attention, row.takeovers)
    }

    pub(crate) fn of_running(saga: &RunningSaga) -> Self {
        let progress = saga.progress();
        let log = &progress.log;
        let facts = Facts {
            id: saga.id,
            status: log.status(),
            order: Order::of_input(&saga.input),
            outputs: log.outputs(),
            steps: log.timeline(),
            created_at: saga.accepted_at(),
            // A cause that is not durable yet is nobody's business.
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
        let Facts { id, status, order, outputs, steps, created_at, error } = facts;
        let output = |name| outputs.get(name).map(str::to_owned);
        let step = |name: &str| steps.iter().find(|view| view.step == name);
        let (inventory_updated, purchase_registered) = match steps.is_empty() {
            false => (
                step("decrease").map_or(Some(false), stands),
                step("create").is_some_and(|view| stands(view) == Some(true)),
            ),
            // In brief, its details having been cleared: what is left says the same.
            true => (in_brief(outputs), status == Status::Completed),
        };
        let stuck_because = match status {
            Status::Compensating | Status::Failed => stuck_because(&steps).or(attention),
            Status::Pending | Status::Completed | Status::Compensated => None,
        };
        Self {
            transaction_id: id,
            status,
            user_id: order.user_id.clone(),
            product_id: output(output::PRODUCT_ID),
            payment_id: output(output::PAYMENT_ID),
            inventory_updated,
            purchase_registered,
            amount: order.amount,
            created_at,
            completed_at,
            turned_back_because: error.clone(),
            error_message: error,
            purchase_id: output(output::PURCHASE_ID),
            stuck_because,
            takeovers,
            steps,
        }
    }
}

/// What memory and the row both tell of a saga.
struct Facts<'a> {
    id: SagaId,
    status: Status,
    order: Order,
    outputs: &'a Outputs,
    steps: Vec<StepView>,
    created_at: DateTime<Utc>,
    error: Option<String>,
}

/// Tells whether the effect of a step is there, where that is known.
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
