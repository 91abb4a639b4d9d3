//! Purchases: the record of completed purchases.
//!
//! | route | operation |
//! |---|---|
//! | `POST /purchases/` | `create`, the action; a refused one leaves a row that no read shows |
//! | `DELETE /purchases/by-transaction/{transaction_id}/cancel/` | `cancel`, its compensation |
//! | `DELETE /purchases/{id}/cancel/` | the same, by purchase id; any text that is not a number is a transaction id |
//! | `GET /purchases/{id}/`, `GET /purchases/` | one purchase, or many, newest first |

mod describe;
mod routes;
mod table;

use common::{
    config::Settings,
    db::{BatchStatement, Connection},
    ids::TransactionId,
    wire::{
        purchases::{CancelReply, PurchaseRefused, PurchaseReply},
        requests::PurchaseRequest,
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
    refinery::embed_migrations!("../sql/purchases");
}

const CREATE: &str = "create";
const CANCEL: &str = "cancel";

/// The reason of every refusal.
const REFUSED: &str = "Purchase failed";

pub(crate) struct Purchases;

impl Action for PurchaseRequest {
    fn operation(&self) -> &'static str {
        CREATE
    }

    fn canonical_fields(&self) -> Vec<Option<String>> {
        vec![
            Some(self.user_id.to_string()),
            Some(self.product_id.to_string()),
            Some(self.payment_id.to_string()),
            Some(self.amount.cents().to_string()),
        ]
    }
}

impl Participant for Purchases {
    const NAME: &'static str = "purchases";
    const ACTION: &'static str = CREATE;
    const COMPENSATION: &'static str = CANCEL;
    type Action = PurchaseRequest;
    const LOOK_UP: &'static str = table::LOOK_UP;

    fn tombstones() -> &'static BatchStatement {
        &table::TOMBSTONES
    }

    async fn perform<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, PurchaseRequest>,
    ) -> Result<Decisions<'a>, tokio_postgres::Error> {
        let cancelled = table::cancel(connection, &work.compensations).await?;
        let actions: Vec<_> = work.actions.iter().map(|new| Outcome::drawn(new.draw, REFUSED)).collect();
        let compensations = work.compensations.iter().map(|new| {
            let is_explained = cancelled.contains(new.transaction_id.as_str()) || new.action != ActionSeen::Done;
            is_explained.then(|| cancel(new))
        });
        let compensations = compensations.collect();
        let recording = Recording { statement: &table::CREATE, parameters: table::purchases(&work.actions, &actions) };
        Ok(Decisions { actions, compensations, before: Vec::new(), recording })
    }

    fn answer(
        transaction_id: &TransactionId,
        purchase: &PurchaseRequest,
        outcome: &Outcome,
        purchase_id: i64,
    ) -> String {
        match outcome {
            Outcome::Done => body(&created(purchase_id, transaction_id, purchase)),
            Outcome::Refused(_) => body(&refusal()),
        }
    }

    fn answer_of(row: &Row) -> String {
        if !step_journal::is_done(row) {
            return body(&refusal());
        }
        let (purchase_id, purchase) = table::purchase_of(row);
        body(&created(purchase_id, &purchase.transaction_id, &purchase))
    }

    fn too_late(_: &TransactionId, _: &PurchaseRequest, _: &str) -> String {
        body(&refusal())
    }

    fn tombstone(_: &TransactionId) -> String {
        body(&refusal())
    }
}

fn refusal() -> PurchaseRefused {
    PurchaseRefused { status: "error".to_owned(), message: REFUSED.to_owned(), error: "CONFLICT".to_owned() }
}

fn created(purchase_id: i64, transaction_id: &TransactionId, purchase: &PurchaseRequest) -> PurchaseReply {
    PurchaseReply {
        purchase_id,
        status: "success".to_owned(),
        user_id: purchase.user_id.clone(),
        transaction_id: transaction_id.clone(),
        product_id: purchase.product_id.clone(),
        payment_id: purchase.payment_id.clone(),
        amount: purchase.amount,
    }
}

fn cancel(new: &NewCompensation<'_>) -> String {
    body(&CancelReply {
        status: "success".to_owned(),
        message: "Purchase cancelled successfully".to_owned(),
        transaction_id: new.transaction_id.clone(),
    })
}

impl Service for Purchases {
    const NAME: &'static str = "purchases";
    type Writer = JournaledWriter<Purchases>;

    fn migrations() -> refinery::Runner {
        migrations::migrations::runner()
    }

    fn writer(_: &Settings) -> JournaledWriter<Purchases> {
        JournaledWriter::new(Purchases)
    }

    fn assemble(parts: Parts<'_, JournaledWriter<Purchases>>) -> Assembly {
        let api = ParticipantApi { ledger: parts.ledger, sampler: parts.sampler };
        Assembly { routes: routes::routes(&api).merge(journal_route(&api)), children: Vec::new() }
    }
}
