//! Payments: takes money for a transaction and gives it back.
//!
//! | route | operation |
//! |---|---|
//! | `POST /payments/` | `charge`, the action; a refused one leaves a row with status `error` |
//! | `POST /payments/by-transaction/{transaction_id}/refund/` | `refund`, its compensation |
//! | `POST /payments/{payment_id}/refund/` | the same, for people: the transaction is looked up first |
//! | `GET /payments/{payment_id}/`, `GET /payments/by-transaction/{transaction_id}/` | the row |

mod table;

use common::{
    db::Connection,
    faults::Coin,
    fields::read,
    http::{Access, ApiError, Request, Response, Routes, StatusCode, json},
    ids::{ProductId, TransactionId, UserId},
    money::Money,
    wire::payments::{ChargeRefused, Payment, RefundReply},
};

use crate::participant::{
    Action, Decision, Decisions, NewCompensation, Participant, Work, answer, body,
    front::{Desk, transaction_in_path},
    idempotency::{Scope, transaction_id},
    journal::ActionSeen,
    ledger::JournaledWriter,
    row_id,
    service::{Assembly, Parts, Service},
};

const CHARGE: &str = "charge";
const REFUND: &str = "refund";

/// The payments service.
pub(crate) struct Payments;

/// The business fields of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) user_id: UserId,
    pub(crate) product_id: Option<ProductId>,
    pub(crate) amount: Money,
}

impl Action for Charge {
    fn operation(&self) -> &'static str {
        CHARGE
    }

    fn canonical_fields(&self) -> Vec<Option<String>> {
        vec![
            Some(self.user_id.to_string()),
            Some(self.amount.cents().to_string()),
            self.product_id.as_ref().map(ProductId::to_string),
        ]
    }
}

impl Participant for Payments {
    const NAME: &'static str = "payments";
    const ACTION: &'static str = CHARGE;
    const COMPENSATION: &'static str = REFUND;
    type Action = Charge;

    async fn perform(
        &self,
        connection: &mut Connection,
        work: &Work<'_, Charge>,
    ) -> Result<Decisions, tokio_postgres::Error> {
        let payment_ids = table::insert(connection, &work.actions).await?;
        let refunded = table::refund(connection, &work.compensations).await?;
        let actions = work.actions.iter().zip(payment_ids).map(|(new, payment_id)| match new.coin {
            Coin::Accept => captured(payment_id, new.transaction_id, new.action),
            Coin::Refuse => {
                let message = "Error processing payment";
                let payment_id = Some(payment_id);
                Decision::refused(&refusal(payment_id, message, new.transaction_id, Some(new.action)))
            }
        });
        let compensations = work.compensations.iter().map(|new| match refunded.get(new.transaction_id.as_str()) {
            Some(payment) => Some(Decision::done(payment)),
            None => nothing_to_refund(new),
        });
        Ok(Decisions { actions: actions.collect(), compensations: compensations.collect() })
    }

    fn too_late(transaction_id: &TransactionId, charge: &Charge, compensation: &str) -> String {
        let payment_id = payment_given_back(compensation);
        body(&refusal(payment_id, "Payment was already refunded", transaction_id, Some(charge)))
    }

    fn tombstone(transaction_id: &TransactionId) -> String {
        body(&refusal(None, "Payment was refunded before it arrived", transaction_id, None))
    }
}

fn captured(payment_id: i64, transaction_id: &TransactionId, charge: &Charge) -> Decision {
    Decision::done(&Charged {
        payment_id,
        status: "success",
        message: "Payment processed successfully",
        transaction_id: transaction_id.as_str(),
        user_id: charge.user_id.as_str(),
        product_id: charge.product_id.as_ref().map(ProductId::as_str),
        amount: charge.amount,
    })
}
