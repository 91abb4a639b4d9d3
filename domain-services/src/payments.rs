//! Payments: charges and refunds.
//!
//! | route | operation |
//! |---|---|
//! | `POST /payments/` | `charge`, the action; a refused one leaves a row with status `error` |
//! | `POST /payments/by-transaction/{transaction_id}/refund/` | `refund`, its compensation |
//! | `POST /payments/{payment_id}/refund/` | the same, for people: looks the transaction up first |
//! | `GET /payments/{payment_id}/`, `GET /payments/by-transaction/{transaction_id}/` | the row |

mod describe;
mod routes;
mod table;

use common::{
    config::Settings,
    db::{BatchStatement, Connection},
    ids::{ProductId, TransactionId, UserId},
    wire::{
        payments::{ChargeRefused, ChargeReply, RefundReply},
        requests::ChargeRequest,
    },
};
use tokio_postgres::Row;

use crate::participant::{
    Action, Decisions, NewCompensation, Outcome, Participant, Recording, Work,
    api::{ParticipantApi, journal_route},
    body,
    journal::ActionSeen,
    ledger::JournaledWriter,
    service::{Assembly, Parts, Service},
    step_journal,
};

mod migrations {
    refinery::embed_migrations!("../sql/payments");
}

const CHARGE: &str = "charge";
const REFUND: &str = "refund";

/// The reason of every refusal.
const REFUSED: &str = "Error processing payment";

pub(crate) struct Payments;

impl Action for ChargeRequest {
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
    type Action = ChargeRequest;
    const LOOK_UP: &'static str = table::LOOK_UP;

    fn tombstones() -> &'static BatchStatement {
        &table::TOMBSTONES
    }

    async fn perform<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, ChargeRequest>,
    ) -> Result<Decisions<'a>, tokio_postgres::Error> {
        let refunded = table::refund(connection, &work.compensations).await?;
        let actions: Vec<_> = work.actions.iter().map(|new| Outcome::drawn(new.draw, REFUSED)).collect();
        let compensations = work.compensations.iter().map(|new| match refunded.get(new.transaction_id.as_str()) {
            Some(given_back) => Some(refund(new.transaction_id, Some(given_back))),
            None => nothing_to_refund(new),
        });
        let recording = Recording { statement: &table::CHARGE, parameters: table::charges(&work.actions, &actions) };
        let compensations = compensations.collect();
        Ok(Decisions { actions, compensations, before: Vec::new(), recording })
    }

    fn answer(transaction_id: &TransactionId, charge: &ChargeRequest, outcome: &Outcome, payment_id: i64) -> String {
        match outcome {
            Outcome::Done => body(&captured(payment_id, transaction_id, charge)),
            Outcome::Refused(message) => body(&refusal(Some(payment_id), message, transaction_id, Some(charge))),
        }
    }

    fn answer_of(row: &Row) -> String {
        let transaction_id = step_journal::transaction_id(row);
        let (payment_id, charge) = table::charge_of(row);
        let outcome = if step_journal::is_done(row) { Outcome::Done } else { Outcome::Refused(REFUSED.to_owned()) };
        Self::answer(&transaction_id, &charge, &outcome, payment_id)
    }

    fn too_late(transaction_id: &TransactionId, charge: &ChargeRequest, compensation: &str) -> String {
        let payment_id = payment_given_back(compensation);
        let message = match payment_id {
            Some(_) => "Payment was already refunded",
            None => "Payment was refunded before it was taken",
        };
        body(&refusal(payment_id, message, transaction_id, Some(charge)))
    }

    fn tombstone(transaction_id: &TransactionId) -> String {
        body(&refusal(None, "Payment was refunded before it was taken", transaction_id, None))
    }
}

fn captured(payment_id: i64, transaction_id: &TransactionId, charge: &ChargeRequest) -> ChargeReply {
    ChargeReply {
        payment_id,
        status: "success".to_owned(),
        message: "Payment processed successfully".to_owned(),
        transaction_id: transaction_id.clone(),
        user_id: charge.user_id.clone(),
        product_id: charge.product_id.clone(),
        amount: charge.amount,
    }
}

fn refusal(
    payment_id: Option<i64>,
    message: &str,
    transaction_id: &TransactionId,
    charge: Option<&ChargeRequest>,
) -> ChargeRefused {
    ChargeRefused {
        payment_id,
        status: "error".to_owned(),
        message: message.to_owned(),
        transaction_id: transaction_id.clone(),
        user_id: charge.map(|charge| charge.user_id.clone()),
        product_id: charge.and_then(|charge| charge.product_id.clone()),
    }
}

fn refund(transaction_id: &TransactionId, given_back: Option<&table::Refunded>) -> String {
    let message = match given_back {
        Some(_) => "Payment refunded successfully",
        None => "Nothing to refund",
    };
    body(&RefundReply {
        status: "compensated".to_owned(),
        message: message.to_owned(),
        payment_id: given_back.map(|payment| payment.payment_id),
        transaction_id: transaction_id.clone(),
        user_id: given_back.and_then(|payment| UserId::parse(&payment.user_id).ok()),
        amount: given_back.map(|payment| payment.amount),
    })
}

/// A payment that was refused, or never arrived, needs no refund. A captured payment that is missing has no known
/// explanation.
fn nothing_to_refund(new: &NewCompensation<'_>) -> Option<String> {
    match new.action {
        ActionSeen::Refused | ActionSeen::Never => Some(refund(new.transaction_id, None)),
        ActionSeen::Done => None,
    }
}

/// Reads the refunded payment's id from the recorded reply of its compensation.
fn payment_given_back(compensation: &str) -> Option<i64> {
    serde_json::from_str::<RefundReply>(compensation).ok().and_then(|reply| reply.payment_id)
}

impl Service for Payments {
    const NAME: &'static str = "payments";
    type Writer = JournaledWriter<Payments>;

    fn migrations() -> refinery::Runner {
        migrations::migrations::runner()
    }

    fn writer(_: &Settings) -> JournaledWriter<Payments> {
        JournaledWriter::new(Payments)
    }

    fn assemble(parts: Parts<'_, JournaledWriter<Payments>>) -> Assembly {
        let api = ParticipantApi { ledger: parts.ledger, sampler: parts.sampler };
        Assembly { routes: routes::routes(&api).merge(journal_route(&api)), children: Vec::new() }
    }
}
