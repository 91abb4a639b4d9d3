//! Payments: takes money for a transaction and gives it back.
//!
//! | route | operation |
//! |---|---|
//! | `POST /payments/` | `charge`, the action; a refused one leaves a row with status `error` |
//! | `POST /payments/by-transaction/{transaction_id}/refund/` | `refund`, its compensation |
//! | `POST /payments/{payment_id}/refund/` | the same, for people: the transaction is looked up first |
//! | `GET /payments/{payment_id}/`, `GET /payments/by-transaction/{transaction_id}/` | the row |

mod routes;
mod routes;
mod table;

use common::{
    config::Settings,
    db::Connection,
    faults::Coin,
    ids::{ProductId, TransactionId, UserId},
    money::Money,
    wire::payments::{ChargeRefused, Charged, RefundReply},
};

use crate::participant::{
    Action, Decision, Decisions, NewCompensation, Participant, Work, body,
    front::Desk,
    journal::ActionSeen,
    ledger::JournaledWriter,
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
        let mut refunded = table::refund(connection, &work.compensations).await?;
        let actions = work.actions.iter().map(|new| {
            let payment_id = payment_ids[new.transaction_id.as_str()];
            match new.coin {
                Coin::Accept => captured(payment_id, new.transaction_id, new.action),
                Coin::Refuse => {
                    let message = "Error processing payment";
                    Decision::refused(&refusal(Some(payment_id), message, new.transaction_id, Some(new.action)))
                }
            }
        });
        let compensations = work
            .compensations
            .iter()
            .map(|new| given_back(new, refunded.remove(new.transaction_id.as_str())));
        Ok(Decisions { actions: actions.collect(), compensations: compensations.collect() })
    }

    fn too_late(transaction_id: &TransactionId, charge: &Charge, compensation: &str) -> String {
        let payment_id = payment_given_back(compensation);
        body(&refusal(payment_id, "Payment was refunded before", transaction_id, Some(charge)))
    }

    fn tombstone(transaction_id: &TransactionId) -> String {
        body(&refusal(None, "Payment was refunded before it arrived", transaction_id, None))
    }
}

fn captured(payment_id: i64, transaction_id: &TransactionId, charge: &Charge) -> Decision {
    Decision::done(&Charged {
        payment_id,
        status: "success".to_owned(),
        message: "Payment processed successfully".to_owned(),
        transaction_id: transaction_id.to_string(),
        user_id: charge.user_id.to_string(),
        product_id: charge.product_id.as_ref().map(ProductId::to_string),
        amount: charge.amount,
    })
}

fn refusal(
    payment_id: Option<i64>,
    message: &str,
    transaction_id: &TransactionId,
    charge: Option<&Charge>,
) -> ChargeRefused {
    ChargeRefused {
        payment_id,
        status: "error".to_owned(),
        message: message.to_owned(),
        transaction_id: transaction_id.to_string(),
        user_id: charge.map(|charge| charge.user_id.to_string()),
        product_id: charge.and_then(|charge| charge.product_id.as_ref()).map(ProductId::to_string),
    }
}

fn given_back(new: &NewCompensation<'_>, refunded: Option<table::Refunded>) -> Option<Decision> {
    let reply = match (refunded, new.action) {
        (Some(payment), _) => RefundReply {
            status: "compensated".to_owned(),
            message: "Payment refunded successfully".to_owned(),
            payment_id: Some(payment.payment_id),
            transaction_id: new.transaction_id.to_string(),
            user_id: Some(payment.user_id),
            amount: Some(payment.amount),
        },
        (None, ActionSeen::Refused | ActionSeen::Never) => RefundReply {
            status: "compensated".to_owned(),
            message: "Nothing to refund; no payment of this transaction will be taken".to_owned(),
            payment_id: None,
            transaction_id: new.transaction_id.to_string(),
            user_id: None,
            amount: None,
        },
        // Captured, says the journal, but there was nothing to give back.
        (None, ActionSeen::Done) => return None,
    };
    Some(Decision::done(&reply))
}

/// Reads which payment a refund gave back from its reply; a tombstone's reply has none either.
fn payment_given_back(reply: &str) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct GivenBack {
        payment_id: Option<i64>,
    }
    serde_json::from_str::<GivenBack>(reply).ok()?.payment_id
}

impl Service for Payments {
    const NAME: &'static str = <Self as Participant>::NAME;
    type Writer = JournaledWriter<Self>;

    fn migrations() -> refinery::Runner {
        embedded::migrations::runner()
    }

    fn writer(_: &Settings) -> JournaledWriter<Self> {
        JournaledWriter::new(Self)
    }

    fn assemble(parts: Parts<'_, JournaledWriter<Self>>) -> Assembly {
        Assembly::of(routes::routes(&Desk { ledger: parts.ledger, dice: parts.dice }))
    }
}
