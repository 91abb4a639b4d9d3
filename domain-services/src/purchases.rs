//! Purchases: the record of what was bought.
//!
//! | route | operation |
//! |---|---|
//! | `POST /purchases/` | `create`, the action; a refused one leaves no row |
//! | `DELETE /purchases/by-transaction/{transaction_id}/cancel/` | `cancel`, its compensation |
//! | `DELETE /purchases/{id}/cancel/` | the same, by purchase id, or by transaction id where it is not a number |
//! | `GET /purchases/{id}/`, `GET /purchases/` | one, or many, newest first |

mod routes;
mod table;

use common::{
    config::Settings,
    db::Connection,
    faults::Coin,
    ids::{PaymentId, ProductId, TransactionId, UserId},
    money::Money,
    wire::purchases::{CancelReply, PurchaseReply},
};
use serde::Serialize;

use crate::participant::{
    Action, Decision, Decisions, Participant, Work, body,
    front::Desk,
    journal::ActionSeen,
    ledger::JournaledWriter,
    service::{Assembly, Parts, Service},
};

const CREATE: &str = "create";
const CANCEL: &str = "cancel";

/// The purchases service.
pub(crate) struct Purchases;

/// The business fields of a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purchase {
    user_id: UserId,
    product_id: ProductId,
    payment_id: PaymentId,
    amount: Money,
}

/// The 409 of a purchase.
#[derive(Serialize)]
struct Refusal {
    status: &'static str,
    message: &'static str,
    error: &'static str,
}

impl Action for Purchase {
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
