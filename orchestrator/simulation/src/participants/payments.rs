//! Payments in memory.

use common::ids::{ProductId, TransactionId, UserId};
use common::money::Money;
use common::wire::payments::{ChargeRefused, ChargeReply, RefundReply};
use domain_services::journal::ActionSeen;
use serde::Deserialize;

use super::journal::{Ask, Decided, FailureDraw, Journal, Reply};
use super::{malformed, show, transaction_in};
use orchestrator::invariants::{Facts, Participant, Payment, PaymentStatus};

/// Payments, captured, refused and refunded.
#[derive(Clone, Debug, Default)]
pub struct Payments {
    pub(super) journal: Journal,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    transaction: String,
    user_id: UserId,
    amount: Money,
    status: PaymentStatus,
}

#[derive(Deserialize)]
struct Charge {
    transaction_id: TransactionId,
    user_id: UserId,
    amount: String,
    product_id: Option<ProductId>,
}

impl Payments {
    /// Answers `POST /payments/` and `POST /payments/by-transaction/{transaction_id}/refund/`.
    pub fn answer(&mut self, ask: &Ask<'_>) -> Reply {
        match transaction_in(&ask.request.path, "/payments/by-transaction/", "/refund/") {
            Some(transaction) => self.refund(ask, &transaction),
            None => self.charge(ask),
        }
    }

    fn charge(&mut self, ask: &Ask<'_>) -> Reply {
        let body = ask.request.body.as_deref().unwrap_or_default();
        let Ok(charge) = serde_json::from_str::<Charge>(body) else { return malformed() };
        let Ok(amount) = Money::parse(&charge.amount) else { return malformed() };
        let Charge { transaction_id, user_id, product_id, .. } = charge;
        let transaction = transaction_id.to_string();
        let contents = vec![
            Some(user_id.to_string()),
            Some(amount.cents().to_string()),
            product_id.as_ref().map(ProductId::to_string),
        ];
        let refusal = |payment_id, message: &str| {
            show(&ChargeRefused {
                payment_id,
                status: "error".to_owned(),
                message: message.to_owned(),
                transaction_id: transaction_id.clone(),
                user_id: Some(user_id.clone()),
                product_id: product_id.clone(),
            })
        };
        let too_late = |compensation: Option<&str>| {
            let given_back = compensation
                .and_then(|body| serde_json::from_str::<RefundReply>(body).ok())
                .and_then(|refund| refund.payment_id);
            let message = match given_back {
                Some(_) => "Payment was already refunded",
                None => "Payment was refunded before it was taken",
            };
            refusal(given_back, message)
        };
        let rows = &mut self.rows;
        self.journal.act(ask, &transaction, contents, too_late, |draw| {
            let payment_id = i64::try_from(rows.len() + 1).unwrap_or(i64::MAX);
            let status = match draw {
                FailureDraw::Accept => PaymentStatus::Captured,
                FailureDraw::Refuse => PaymentStatus::Refused,
            };
            rows.push(Row { transaction: transaction.clone(), user_id: user_id.clone(), amount, status });
            if draw == FailureDraw::Refuse {
                return Decided { status: 409, body: refusal(Some(payment_id), "Error processing payment") };
            }
            let body = show(&ChargeReply {
                payment_id,
                status: "success".to_owned(),
                message: "Payment processed successfully".to_owned(),
                transaction_id: transaction_id.clone(),
                user_id: user_id.clone(),
                product_id: product_id.clone(),
                amount,
            });
            Decided { status: 200, body }
        })
    }

    fn refund(&mut self, ask: &Ask<'_>, transaction_id: &TransactionId) -> Reply {
        let transaction = transaction_id.to_string();
        let tombstone = || {
            show(&ChargeRefused {
                payment_id: None,
                status: "error".to_owned(),
                message: "Payment was refunded before it was taken".to_owned(),
                transaction_id: transaction_id.clone(),
                user_id: None,
                product_id: None,
            })
        };
        let rows = &mut self.rows;
        self.journal.compensate(ask, &transaction, tombstone, |seen| {
            let mut found = rows
                .iter_mut()
                .zip(1..)
                .filter(|(row, _)| row.transaction == transaction && row.status == PaymentStatus::Captured);
            let given_back = match seen {
                ActionSeen::Done => found.next(),
                ActionSeen::Refused | ActionSeen::Never => None,
            };
            let message = match given_back {
                Some(_) => "Payment refunded successfully",
                None => "Nothing to refund",
            };
            let mut reply = RefundReply {
                status: "compensated".to_owned(),
                message: message.to_owned(),
                payment_id: None,
                transaction_id: transaction_id.clone(),
                user_id: None,
                amount: None,
            };
            if let Some((row, payment_id)) = given_back {
                row.status = PaymentStatus::Refunded;
                reply.payment_id = Some(payment_id);
                reply.user_id = Some(row.user_id.clone());
                reply.amount = Some(row.amount);
            }
            show(&reply)
        })
    }

    pub(super) fn add_to(&self, facts: &mut Facts) {
        self.journal.add_to(Participant::Payments, facts);
        for Row { transaction, amount, status, .. } in &self.rows {
            facts.transaction(transaction).payments.push(Payment { cents: amount.cents(), status: *status });
        }
    }
}
