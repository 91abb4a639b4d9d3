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
mod seen;
mod stock;
mod stock_watch;
mod table;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use common::{
    config::Settings,
    db::Connection,
    faults::FailureDraw,
    group_commit::Try,
    ids::{ProductId, TransactionId},
    supervision::ActorEntry,
    wire::inventory::{DecreaseReply, RestockReply, RestoreReply, StockRefused},
};

use self::{
    seen::StockCache,
    stock::Stock,
    table::{Kind, Movement, Take, Taken},
};
use crate::participant::{
    Action, Decision, Decisions, Effect, NewAction, NewCompensation, Participant, Work, body,
    front::{ParticipantApi, journal_route},
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

/// Placeholder in a reply for the quantity left, which is known only when the statement runs.
const LEFT_TO_COME: i32 = 0;

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
        let mut takes = Vec::with_capacity(work.actions.len());
        let mut decisions = Vec::with_capacity(work.actions.len());
        for NewAction { transaction_id, action: change, draw } in &work.actions {
            decisions.push(match (change.kind, draw) {
                (ChangeKind::Restock, _) => return None,
                (ChangeKind::Decrease, FailureDraw::Refuse) => refused_by_coin(&change.product_id),
                (ChangeKind::Decrease, FailureDraw::Accept) => {
                    let (product_id, quantity) = (change.product_id.as_str(), change.quantity);
                    let total = wanted.entry(product_id).or_default();
                    *total = total.checked_add(quantity)?;
                    takes.push(Take { transaction_id, product_id, quantity, taken_up_to_it: *total });
                    decreased(&change.product_id, LEFT_TO_COME)
                }
            });
        }
        if !self.seen.take(&wanted) {
            return None;
        }
        let effect = Effect { statement: &table::TAKE_AND_RECORD, parameters: table::takes(&wanted, takes) };
        Some(Decisions { actions: decisions, compensations: Vec::new(), effect })
    }

    /// Decides any batch after locking the rows of its products.
    async fn after_a_look<'a>(
        &self,
        connection: &mut Connection,
        work: &'a Work<'a, Change>,
    ) -> Result<Decisions<'a>, tokio_postgres::Error> {
        let to_restore = work.compensations.iter().filter(|new| new.action == ActionSeen::Done);
        let to_restore: Vec<&str> = to_restore.map(|new| new.transaction_id.as_str()).collect();
        let taken = table::taken_by(connection, &to_restore).await?;
        let products: BTreeSet<&str> = work
            .actions
            .iter()
            .map(|new| new.action.product_id.as_str())
            .chain(taken.values().map(|taken| taken.product_id.as_str()))
            .collect();
        let mut batch =
            Batch { stock: table::lock(connection, &products, self.initial_stock).await?, movements: vec![] };
        // Restores first, so that a decrease in the same batch can use the returned stock.
        let compensations =
            work.compensations.iter().map(|new| batch.restore(new, taken.get(new.transaction_id.as_str()))).collect();
        let actions = work.actions.iter().map(|new| batch.change(new)).collect();
        self.seen.note(batch.stock.all());
        let parameters = table::changes(&batch.stock, batch.movements);
        Ok(Decisions { actions, compensations, effect: Effect { statement: &table::STORE_AND_RECORD, parameters } })
    }
}

/// The decisions of one batch: the changing stock and its movements.
struct Batch<'a> {
    stock: Stock,
    movements: Vec<Movement<'a>>,
}

impl<'a> Batch<'a> {
    fn change(&mut self, new: &NewAction<'a, Change>) -> Decision {
        match new.action.kind {
            ChangeKind::Decrease => self.decrease(new),
            ChangeKind::Restock => self.restock(new),
        }
    }

    fn decrease(&mut self, new: &NewAction<'a, Change>) -> Decision {
        let Change { product_id, quantity, .. } = new.action;
        if new.draw == FailureDraw::Refuse {
            return refused_by_coin(product_id);
        }
        match self.stock.take(product_id.as_str(), *quantity) {
            Ok(remaining_quantity) => {
                self.moved(new.transaction_id, Kind::Decrement, Cow::Borrowed(product_id.as_str()), *quantity);
                decreased(product_id, remaining_quantity)
            }
            Err(stock::Insufficient { available }) => Decision::refused(&refusal(format!(
                "Insufficient stock for product {product_id}. Available: {available}, requested: {quantity}"
            ))),
        }
    }

    fn restock(&mut self, new: &NewAction<'a, Change>) -> Decision {
        let Change { product_id, quantity, .. } = new.action;
        match self.stock.add(product_id.as_str(), *quantity) {
            Ok(quantity_now) => {
                self.moved(new.transaction_id, Kind::Restock, Cow::Borrowed(product_id.as_str()), *quantity);
                Decision::done(&RestockReply {
                    status: "success".to_owned(),
                    message: "Inventory restocked successfully".to_owned(),
                    product_id: product_id.clone(),
                    quantity: quantity_now,
                })
            }
            Err(stock::TooMuch) => Decision::refused(&refusal(format!(
                "Stock of product {product_id} would exceed {}",
                stock::MAX_QUANTITY
            ))),
        }
    }

    fn restore(&mut self, new: &NewCompensation<'a>, taken: Option<&Taken>) -> Option<Decision> {
        let mut reply = RestoreReply {
            status: "success".to_owned(),
            message: "Nothing to restore".to_owned(),
            transaction_id: new.transaction_id.clone(),
            product_id: None,
            quantity: None,
        };
        if new.action != ActionSeen::Done {
            return Some(Decision::done(&reply));
        }
        let Taken { product_id, quantity } = taken?;
        self.stock.put_back(product_id, *quantity).ok()?;
        self.moved(new.transaction_id, Kind::Restore, Cow::Owned(product_id.clone()), *quantity);
        reply.message = "Inventory restored successfully".to_owned();
        reply.product_id = ProductId::parse(product_id).ok();
        reply.quantity = Some(*quantity);
        Some(Decision::done(&reply))
    }

    fn moved(&mut self, transaction_id: &'a TransactionId, kind: Kind, product_id: Cow<'a, str>, quantity: i32) {
        self.movements.push(Movement { transaction_id, kind, product_id, quantity });
    }
}

fn decreased(product_id: &ProductId, remaining_quantity: i32) -> Decision {
    Decision::done(&DecreaseReply {
        status: "success".to_owned(),
        message: "Inventory decreased successfully".to_owned(),
        product_id: product_id.clone(),
        remaining_quantity,
    })
}

fn refused_by_coin(product_id: &ProductId) -> Decision {
    Decision::refused(&refusal(format!("Insufficient stock for product {product_id} (random failure)")))
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
