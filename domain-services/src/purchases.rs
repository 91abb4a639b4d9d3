//! Purchases: the record of completed purchases.
//!
//! | route | operation |
//! |---|---|
//! | `POST /purchases/` | `create`, the action; a refused one leaves no row |
//! | `DELETE /purchases/by-transaction/{transaction_id}/cancel/` | `cancel`, its compensation |
//! | `DELETE /purchases/{id}/cancel/` | the same, by purchase id; any text that is not a number is a transaction id |
//! | `GET /purchases/{id}/`, `GET /purchases/` | one purchase, or many, newest first |

mod describe;
mod routes;
mod table;

use common::{
    config::Settings,
    db::Connection,
    faults::FailureDraw,
    ids::TransactionId,
    wire::{
        purchases::{CancelReply, PurchaseRefused, PurchaseReply},
        requests::PurchaseRequest,
    },
};

use crate::participant::{
    Action, Decision, Decisions, Effect, NewAction, NewCompensation, Participant, Work, body,
    front::{ParticipantApi, journal_route},
    journal::ActionSeen,
    ledger::JournaledWriter,
    service::{Assembly, Parts, Service},
};

mod migrations {
    refinery::embed_migrations!("../sql/purchases");
}

const CREATE: &str = "create";
const CANCEL: &str = "cancel";

/// Placeholder in a reply for the purchase id that the database assigns; ids start at 1.
const NUMBER_TO_COME: i64 = 0;

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

    async fn perform<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, PurchaseRequest>,
    ) -> Result<Decisions<'a>, tokio_postgres::Error> {
        let accepted: Vec<&NewAction<'_, PurchaseRequest>> =
            work.actions.iter().filter(|new| new.draw == FailureDraw::Accept).collect();
        let effect = Effect { statement: &table::CREATE_AND_RECORD, parameters: table::purchases(&accepted) };
        let cancelled = table::cancel(connection, &work.compensations).await?;
        let actions = work.actions.iter().map(|new| match new.draw {
            FailureDraw::Accept => created(NUMBER_TO_COME, new),
            FailureDraw::Refuse => Decision::refused(&refusal()),
        });
        let compensations = work.compensations.iter().map(|new| {
            let is_explained = cancelled.contains(new.transaction_id.as_str()) || new.action != ActionSeen::Done;
            is_explained.then(|| cancel(new))
        });
        Ok(Decisions { actions: actions.collect(), compensations: compensations.collect(), effect })
    }

    fn too_late(_: &TransactionId, _: &PurchaseRequest, _: &str) -> String {
        body(&refusal())
    }

    fn tombstone(_: &TransactionId) -> String {
        body(&refusal())
    }
}

fn refusal() -> PurchaseRefused {
    PurchaseRefused { status: "error".to_owned(), message: "Purchase failed".to_owned(), error: "CONFLICT".to_owned() }
}

fn created(purchase_id: i64, new: &NewAction<'_, PurchaseRequest>) -> Decision {
    let PurchaseRequest { user_id, product_id, payment_id, amount, .. } = new.action;
    Decision::done(&PurchaseReply {
        purchase_id,
        status: "success".to_owned(),
        user_id: user_id.clone(),
        transaction_id: new.transaction_id.clone(),
        product_id: product_id.clone(),
        payment_id: payment_id.clone(),
        amount: *amount,
    })
}

fn cancel(new: &NewCompensation<'_>) -> Decision {
    Decision::done(&CancelReply {
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
