//! Inventory in memory.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use common::ids::{ProductId, TransactionId};
use common::wire::inventory::{DecreaseReply, RestoreReply, StockRefused};
use domain_services::journal::ActionSeen;
use serde::Deserialize;

use super::journal::{Ask, Decided, FailureDraw, Journal, Reply};
use super::{malformed, show, transaction_in};
use orchestrator::invariants::{Facts, Movement, MovementKind, Participant, StockLevel};

/// Inventory: stock and its movements.
#[derive(Clone, Debug)]
pub struct Inventory {
    pub(super) journal: Journal,
    initial_stock: i32,
    stock: BTreeMap<ProductId, i32>,
    movements: Vec<Moved>,
}

#[derive(Clone, Debug)]
struct Moved {
    transaction: String,
    product_id: ProductId,
    quantity: i32,
    kind: MovementKind,
    at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Decrease {
    transaction_id: TransactionId,
    product_id: ProductId,
    quantity: i32,
}

impl Inventory {
    /// Makes an inventory in which every product starts with `initial_stock` pieces.
    pub fn new(initial_stock: i32) -> Inventory {
        let (stock, movements) = (BTreeMap::new(), Vec::new());
        Inventory { journal: Journal::default(), initial_stock, stock, movements }
    }

    /// Answers `POST /inventory/decrease/` and `POST /inventory/restore/by-transaction/{transaction_id}/`.
    pub fn answer(&mut self, ask: &Ask<'_>) -> Reply {
        match transaction_in(&ask.request.path, "/inventory/restore/by-transaction/", "/") {
            Some(transaction) => self.restore(ask, &transaction),
            None => self.decrease(ask),
        }
    }

    fn decrease(&mut self, ask: &Ask<'_>) -> Reply {
        let body = ask.request.body.as_deref().unwrap_or_default();
        let Ok(Decrease { transaction_id, product_id, quantity }) = serde_json::from_str(body) else {
            return malformed();
        };
        let transaction = transaction_id.to_string();
        let contents = vec![Some(product_id.to_string()), Some(quantity.to_string())];
        let (stock, movements) = (&mut self.stock, &mut self.movements);
        let (initial_stock, at) = (self.initial_stock, ask.at);
        let too_late = |_: Option<&str>| tombstone(&transaction_id);
        self.journal.act(ask, &transaction, contents, too_late, |draw| {
            let available = stock.entry(product_id.clone()).or_insert(initial_stock);
            let message = match draw {
                FailureDraw::Refuse => format!("Insufficient stock for product {product_id} (random failure)"),
                FailureDraw::Accept if *available < quantity => {
                    format!(
                        "Insufficient stock for product {product_id}. Available: {available}, requested: {quantity}"
                    )
                }
                FailureDraw::Accept => {
                    *available -= quantity;
                    let moved = (transaction.clone(), product_id.clone(), MovementKind::Decrement);
                    let (transaction, product_id, kind) = moved;
                    let remaining_quantity = *available;
                    let message = "Inventory decreased successfully".to_owned();
                    let reply = DecreaseReply {
                        status: "success".to_owned(),
                        message,
                        product_id: product_id.clone(),
                        remaining_quantity,
                    };
                    movements.push(Moved { transaction, product_id, quantity, kind, at });
                    return Decided { status: 200, body: show(&reply) };
                }
            };
            Decided { status: 409, body: refusal(message) }
        })
    }

    fn restore(&mut self, ask: &Ask<'_>, transaction_id: &TransactionId) -> Reply {
        let transaction = transaction_id.to_string();
        let (stock, movements, at) = (&mut self.stock, &mut self.movements, ask.at);
        self.journal.compensate(
            ask,
            &transaction,
            || tombstone(transaction_id),
            |seen| {
                let taken = movements.iter().find(|moved| moved.transaction == transaction).cloned();
                let mut reply = RestoreReply {
                    status: "success".to_owned(),
                    message: "Nothing to restore".to_owned(),
                    transaction_id: transaction_id.clone(),
                    product_id: None,
                    quantity: None,
                };
                if let (ActionSeen::Done, Some(Moved { product_id, quantity, .. })) = (seen, taken) {
                    *stock.entry(product_id.clone()).or_default() += quantity;
                    let kind = MovementKind::Restore;
                    movements.push(Moved {
                        transaction: transaction.clone(),
                        product_id: product_id.clone(),
                        quantity,
                        kind,
                        at,
                    });
                    reply.message = "Inventory restored successfully".to_owned();
                    reply.product_id = Some(product_id);
                    reply.quantity = Some(quantity);
                }
                show(&reply)
            },
        )
    }

    pub(super) fn add_to(&self, facts: &mut Facts) {
        self.journal.add_to(Participant::Inventory, facts);
        for Moved { transaction, kind, at, .. } in &self.movements {
            facts.transaction(transaction).movements.push(Movement { kind: *kind, at: *at });
        }
        for (product_id, quantity) in &self.stock {
            let sum = |wanted: MovementKind| -> i64 {
                let of_this = self.movements.iter().filter(|moved| moved.product_id == *product_id);
                of_this.filter(|moved| moved.kind == wanted).map(|moved| i64::from(moved.quantity)).sum()
            };
            facts.stock.push(StockLevel {
                product_id: product_id.to_string(),
                initial: i64::from(self.initial_stock),
                restocked: 0,
                decremented: sum(MovementKind::Decrement),
                restored: sum(MovementKind::Restore),
                quantity: i64::from(*quantity),
            });
        }
    }
}

fn refusal(message: String) -> String {
    show(&StockRefused { status: "error".to_owned(), message })
}

fn tombstone(transaction_id: &TransactionId) -> String {
    refusal(format!("Stock of transaction {transaction_id} was already given back"))
}
