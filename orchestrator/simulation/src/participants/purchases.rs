//! Purchases in memory.

use common::ids::{PaymentId, ProductId, TransactionId, UserId};
use common::money::Money;
use common::wire::purchases::{CancelReply, PurchaseRefused, PurchaseReply};
use serde::Deserialize;

use super::journal::{Ask, Decided, FailureDraw, Journal, Reply};
use super::{malformed, show, transaction_in};
use orchestrator::invariants::{Facts, Participant, Purchase, PurchaseStatus};

/// Purchases, live and cancelled.
#[derive(Clone, Debug, Default)]
pub struct Purchases {
    pub(super) journal: Journal,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    transaction: String,
    amount: Money,
    status: PurchaseStatus,
}

#[derive(Deserialize)]
struct Create {
    transaction_id: TransactionId,
    user_id: UserId,
    product_id: ProductId,
    payment_id: PaymentId,
    amount: String,
}

impl Purchases {
    /// Answers `POST /purchases/` and `DELETE /purchases/by-transaction/{transaction_id}/cancel/`.
    pub fn answer(&mut self, ask: &Ask<'_>) -> Reply {
        match transaction_in(&ask.request.path, "/purchases/by-transaction/", "/cancel/") {
            Some(transaction) => self.cancel(ask, &transaction),
            None => self.create(ask),
        }
    }

    fn create(&mut self, ask: &Ask<'_>) -> Reply {
        let body = ask.request.body.as_deref().unwrap_or_default();
        let Ok(create) = serde_json::from_str::<Create>(body) else { return malformed() };
        let Ok(amount) = Money::parse(&create.amount) else { return malformed() };
        let Create { transaction_id, user_id, product_id, payment_id, .. } = create;
        let transaction = transaction_id.to_string();
        let contents = vec![
            Some(user_id.to_string()),
            Some(product_id.to_string()),
            Some(payment_id.to_string()),
            Some(amount.cents().to_string()),
        ];
        let rows = &mut self.rows;
        self.journal.act(
            ask,
            &transaction,
            contents,
            |_| refusal(),
            |draw| {
                if draw == FailureDraw::Refuse {
                    return Decided { status: 409, body: refusal() };
                }
                rows.push(Row { transaction: transaction.clone(), amount, status: PurchaseStatus::Live });
                let body = show(&PurchaseReply {
                    purchase_id: i64::try_from(rows.len()).unwrap_or(i64::MAX),
                    status: "success".to_owned(),
                    user_id: user_id.clone(),
                    transaction_id: transaction_id.clone(),
                    product_id: product_id.clone(),
                    payment_id: payment_id.clone(),
                    amount,
                });
                Decided { status: 200, body }
            },
        )
    }

    fn cancel(&mut self, ask: &Ask<'_>, transaction_id: &TransactionId) -> Reply {
        let transaction = transaction_id.to_string();
        let rows = &mut self.rows;
        self.journal.compensate(ask, &transaction, refusal, |_| {
            let live = |row: &&mut Row| row.transaction == transaction && row.status == PurchaseStatus::Live;
            if let Some(row) = rows.iter_mut().find(live) {
                row.status = PurchaseStatus::Cancelled;
            }
            show(&CancelReply {
                status: "success".to_owned(),
                message: "Purchase cancelled successfully".to_owned(),
                transaction_id: transaction_id.clone(),
            })
        })
    }

    pub(super) fn add_to(&self, facts: &mut Facts) {
        self.journal.add_to(Participant::Purchases, facts);
        for Row { transaction, amount, status } in &self.rows {
            facts.transaction(transaction).purchases.push(Purchase { cents: amount.cents(), status: *status });
        }
    }
}

fn refusal() -> String {
    show(&PurchaseRefused {
        status: "error".to_owned(),
        message: "Purchase failed".to_owned(),
        error: "CONFLICT".to_owned(),
    })
}
