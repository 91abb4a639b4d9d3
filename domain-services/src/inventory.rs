//! Inventory: the stock of each product.
//!
//! | route | operation |
//! |---|---|
//! | `POST /inventory/decrease/` | `decrease`, the action |
//! | `POST /inventory/restore/by-transaction/{transaction_id}/` | `restore`, its compensation; used only if configured |
//! | `POST /inventory/restock/` | `restock`, by an operator; journaled too, so that a repeat counts once |
//! | `GET /inventory/{product_id}/` | the quantity |

mod describe;
mod routes;
mod stock;
mod stock_cache;
mod stock_watch;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use common::{
    config::Settings,
    db::{BatchStatement, Connection},
    faults::FailureDraw,
    group_commit::Try,
    ids::{ProductId, TransactionId},
    supervision::ActorEntry,
    wire::inventory::{DecreaseReply, RestockReply, RestoreReply, StockRefused},
};
use tokio_postgres::Row;

use self::{stock::Stock, stock_cache::StockCache, table::Taken};
use crate::participant::{
    Action, Decisions, NewAction, NewCompensation, Outcome, Participant, Recording, Work,
    api::{ParticipantApi, journal_route},
    body, columns,
    journal::ActionSeen,
    ledger::JournaledWriter,
    service::{Assembly, Parts, Service},
};

mod migrations {
    refinery::embed_migrations!("../sql/inventory");
}

const DECREASE: &str = "decrease";
const RESTORE: &str = "restore";
const RESTOCK: &str = "restock";

pub(crate) struct Inventory {
    /// Initial stock of a product on first use.
    initial_stock: i32,
    /// Quantities at the last look; only a hint.
    seen: StockCache,
}

/// The business fields of a requested movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    kind: ChangeKind,
    product_id: ProductId,
    quantity: i32,
}

/// The direction of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Decrease,
    Restock,
}

impl Action for Change {
    fn operation(&self) -> &'static str {
        match self.kind {
            ChangeKind::Decrease => DECREASE,
            ChangeKind::Restock => RESTOCK,
        }
    }

    fn canonical_fields(&self) -> Vec<Option<String>> {
        vec![Some(self.product_id.to_string()), Some(self.quantity.to_string())]
    }
}

impl Participant for Inventory {
    const NAME: &'static str = "inventory";
    const ACTION: &'static str = DECREASE;
    const COMPENSATION: &'static str = RESTORE;
    type Action = Change;
    const LOOK_UP: &'static str = table::LOOK_UP;

    fn tombstones() -> &'static BatchStatement {
        &table::TOMBSTONES
    }

    async fn perform<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, Change>,
    ) -> Result<Decisions<'a>, tokio_postgres::Error> {
        match self.without_looking(work) {
            Some(decisions) => Ok(decisions),
            None => self.after_a_look(connection, work).await,
        }
    }

    fn answer(_: &TransactionId, change: &Change, outcome: &Outcome, remaining: i64) -> String {
        match outcome {
            Outcome::Done => {
                let remaining = i32::try_from(remaining).expect("the column of quantities has 32 bits");
                done_body(change.kind, &change.product_id, remaining)
            }
            Outcome::Refused(message) => refused(message),
        }
    }

    fn answer_of(row: &Row) -> String {
        // Only of an action that was done: a refusal is stored as text.
        let kind = match row.get("operation") {
            DECREASE => ChangeKind::Decrease,
            _ => ChangeKind::Restock,
        };
        let product_id = columns::parsed(row.get("product_id"), ProductId::parse);
        // Unknown of a movement that another program wrote.
        let remaining: Option<i32> = row.get("remaining");
        done_body(kind, &product_id, remaining.unwrap_or_default())
    }

    fn too_late(transaction_id: &TransactionId, _action: &Change, _compensation: &str) -> String {
        Self::tombstone(transaction_id)
    }

    fn tombstone(transaction_id: &TransactionId) -> String {
        body(&refusal(format!("Stock of transaction {transaction_id} was already given back")))
    }
}

impl Inventory {
    /// Decides a batch of decreases only, if the hint says that the stock suffices: one statement takes everything or
    /// fails. After a failure the batch is tried again, with locks.
    fn without_looking<'a>(&self, work: &'a Work<'a, Change>) -> Option<Decisions<'a>> {
        if work.attempt == Try::Again || !work.compensations.is_empty() {
            return None;
        }
        let mut wanted: BTreeMap<&str, i32> = BTreeMap::new();
        let mut actions = Vec::with_capacity(work.actions.len());
        for NewAction { action: change, draw } in &work.actions {
            actions.push(match (change.kind, draw) {
                (ChangeKind::Restock, _) => return None,
                (ChangeKind::Decrease, FailureDraw::Refuse) => refused_by_coin(&change.product_id),
                (ChangeKind::Decrease, FailureDraw::Accept) => {
                    let total = wanted.entry(change.product_id.as_str()).or_default();
                    *total = total.checked_add(change.quantity)?;
                    Outcome::Done
                }
            });
        }
        if !self.seen.take(&wanted) {
            return None;
        }
        let parameters = table::takes(&wanted, &work.actions, &actions);
        let recording = Recording { statement: &table::TAKE, parameters };
        Some(Decisions { actions, compensations: Vec::new(), before: Vec::new(), recording })
    }

    /// Decides any batch after locking the rows of its products.
    async fn after_a_look<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, Change>,
    ) -> Result<Decisions<'a>, tokio_postgres::Error> {
        let to_restore = work.compensations.iter().filter(|new| new.action == ActionSeen::Done);
        let to_restore: Vec<&str> = to_restore.map(|new| new.transaction_id.as_str()).collect();
        let mut taken = table::taken_by(connection, &to_restore).await?;
        let products: BTreeSet<&str> = work
            .actions
            .iter()
            .map(|new| new.action.product_id.as_str())
            .chain(taken.values().map(|taken| taken.product_id.as_str()))
            .collect();
        let mut batch =
            Batch { stock: table::lock(connection, &products, self.initial_stock).await?, restored: Vec::new() };
        // Restores first, so that a decrease in the same batch can use the returned stock.
        let compensations = work.compensations.iter();
        let compensations =
            compensations.map(|new| batch.restore(new, taken.remove(new.transaction_id.as_str()))).collect();
        let (actions, remaining): (Vec<Outcome>, Vec<Option<i32>>) =
            work.actions.iter().map(|new| batch.change(new)).unzip();
        self.seen.note(batch.stock.all());
        let parameters = table::changes(&work.actions, &actions, remaining);
        let before = table::store(&batch.stock, batch.restored);
        let recording = Recording { statement: &table::CHANGE, parameters };
        Ok(Decisions { actions, compensations, before, recording })
    }
}

/// The decisions of one batch: the changing stock and its restores.
struct Batch<'a> {
    stock: Stock,
    restored: Vec<(&'a TransactionId, Taken)>,
}

impl<'a> Batch<'a> {
    /// Returns the outcome of an action, and the stock after it.
    fn change(&mut self, new: &NewAction<'a, Change>) -> (Outcome, Option<i32>) {
        let Change { kind, product_id, quantity } = new.action;
        let changed = match (kind, new.draw) {
            (ChangeKind::Decrease, FailureDraw::Refuse) => return (refused_by_coin(product_id), None),
            (ChangeKind::Decrease, FailureDraw::Accept) => {
                self.stock.take(product_id.as_str(), *quantity).map_err(|stock::Insufficient { available }| {
                    format!(
                        "Insufficient stock for product {product_id}. Available: {available}, requested: {quantity}"
                    )
                })
            }
            (ChangeKind::Restock, _) => self.stock.add(product_id.as_str(), *quantity).map_err(|stock::TooMuch| {
                format!("Stock of product {product_id} would exceed {}", stock::MAX_QUANTITY)
            }),
        };
        match changed {
            Ok(remaining) => (Outcome::Done, Some(remaining)),
            Err(message) => (Outcome::Refused(message), None),
        }
    }

    fn restore(&mut self, new: &NewCompensation<'a>, taken: Option<Taken>) -> Option<String> {
        let mut reply = RestoreReply {
            status: "success".to_owned(),
            message: "Nothing to restore".to_owned(),
            transaction_id: new.transaction_id.clone(),
            product_id: None,
            quantity: None,
        };
        if new.action != ActionSeen::Done {
            return Some(body(&reply));
        }
        let taken = taken?;
        self.stock.put_back(&taken.product_id, taken.quantity).ok()?;
        reply.message = "Inventory restored successfully".to_owned();
        reply.product_id = ProductId::parse(&taken.product_id).ok();
        reply.quantity = Some(taken.quantity);
        self.restored.push((new.transaction_id, taken));
        Some(body(&reply))
    }
}

/// Returns the body of the answer to a decrease or a restock that was done.
fn done_body(kind: ChangeKind, product_id: &ProductId, quantity: i32) -> String {
    match kind {
        ChangeKind::Decrease => body(&DecreaseReply {
            status: "success".to_owned(),
            message: "Inventory decreased successfully".to_owned(),
            product_id: product_id.clone(),
            remaining_quantity: quantity,
        }),
        ChangeKind::Restock => body(&RestockReply {
            status: "success".to_owned(),
            message: "Inventory restocked successfully".to_owned(),
            product_id: product_id.clone(),
            quantity,
        }),
    }
}

fn refused_by_coin(product_id: &ProductId) -> Outcome {
    Outcome::Refused(format!("Insufficient stock for product {product_id} (random failure)"))
}

fn refused(message: &str) -> String {
    body(&refusal(message.to_owned()))
}

fn refusal(message: String) -> StockRefused {
    StockRefused { status: "error".to_owned(), message }
}

impl Service for Inventory {
    const NAME: &'static str = "inventory";
    type Writer = JournaledWriter<Inventory>;

    fn migrations() -> refinery::Runner {
        migrations::migrations::runner()
    }

    fn writer(settings: &Settings) -> JournaledWriter<Inventory> {
        JournaledWriter::new(Inventory { initial_stock: settings.inventory.initial_stock, seen: StockCache::default() })
    }

    fn assemble(parts: Parts<'_, JournaledWriter<Inventory>>) -> Assembly {
        let entry = ActorEntry::new(format!("{}/stock-watch", parts.prefix), "stock watch");
        let watch = stock_watch::watch(entry, parts.ledger.clone(), parts.settings.inventory.low_stock);
        let api = ParticipantApi { ledger: parts.ledger, sampler: parts.sampler };
        Assembly { routes: routes::routes(&api).merge(journal_route(&api)), children: vec![watch] }
    }
}
