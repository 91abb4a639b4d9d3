//! A saga as clients see it, from memory or from its row.

use chrono::{DateTime, Utc};
use common::ids::UserId;
use common::money::Money;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Amount;
use crate::checkout::output;
use crate::saga::definition::Outputs;
use crate::saga::log::StepView;
use crate::saga::running::RunningSaga;
use crate::saga::{SagaId, Status};
use crate::store::reader::StoredSaga;

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
    /// Whether the stock was decreased.
    inventory_updated: bool,
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
    /// All steps, those still to come included.
    steps: Vec<StepView>,
}

impl SagaView {
    pub(crate) fn of_row(row: StoredSaga) -> Self {
        let StoredSaga { id, status, order, outputs, timeline, created_at, ended_at, error, .. } = row;
        Self::new(id, status, (order.user_id, order.amount), &outputs, timeline, created_at, ended_at, error)
    }

    pub(crate) fn of_running(saga: &RunningSaga) -> Self {
        let progress = saga.progress();
        let log = &progress.log;
        let whose = (saga.order.user_id.clone(), saga.order.amount);
        // A cause that is not durable yet is nobody's business.
        let error = log.cause().filter(|_| log.status() != Status::Pending).map(ToString::to_string);
        Self::new(saga.id, log.status(), whose, log.outputs(), log.timeline(), saga.created_at, None, error)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the columns of one saga, from two sources")]
    fn new(
        transaction_id: SagaId,
        status: Status,
        (user_id, amount): (UserId, Money),
        outputs: &Outputs,
        steps: Vec<StepView>,
        created_at: DateTime<Utc>,
        completed_at: Option<DateTime<Utc>>,
        error_message: Option<String>,
    ) -> Self {
        let output = |name| outputs.get(name).map(str::to_owned);
        let (inventory_updated, purchase_registered) = match steps.is_empty() {
            false => {
                let stands = |step: &str| steps.iter().any(|view| view.step == step && view.state == "done");
                (stands("decrease"), stands("create"))
            }
            // In brief, its details having been cleared: what is left says the same.
            true => (outputs.get(output::REMAINING_QUANTITY).is_some(), status == Status::Completed),
        };
        Self {
            transaction_id,
            status,
            user_id,
            product_id: output(output::PRODUCT_ID),
            payment_id: output(output::PAYMENT_ID),
            inventory_updated,
            purchase_registered,
            amount,
            created_at,
            completed_at,
            error_message,
            purchase_id: output(output::PURCHASE_ID),
            steps,
        }
    }
}
