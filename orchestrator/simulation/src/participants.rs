//! The participants in memory: decisions, journals and replies, with the bodies of the real ones. They behave like
//! those of `domain-services` on PostgreSQL, and a test compares the two.

mod generic;
mod inventory;
mod journal;
mod other;
mod payments;
mod purchases;
mod unjournaled;

use std::collections::BTreeMap;

use common::ids::TransactionId;
use serde::Serialize;
use serde_json::json;

pub use self::generic::GenericParticipant;
pub use self::inventory::Inventory;
pub use self::journal::{Ask, FailureDraw, Origin, Reply};
use self::other::Other;
pub(crate) use self::other::{KnownOutputs, StepDecision, StepEffect};
pub use self::payments::Payments;
pub use self::purchases::Purchases;
use orchestrator::invariants::Facts;
use saga_engine::definition::{Context, Step};
use smol_str::SmolStr;

/// Number of products in the catalog, with the ids from 1.
const PRODUCTS: u64 = 5;

/// All participants of a run.
#[derive(Clone, Debug)]
pub struct Participants {
    payments: Payments,
    inventory: Inventory,
    purchases: Purchases,
    others: BTreeMap<SmolStr, Other>,
    chosen: u64,
    /// Number of requests to the others.
    asked: u64,
}

/// Kind of a call to a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// The action of a step.
    Action,
    /// The compensation of a step.
    Compensation,
}

/// Counts of all journals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JournalCounts {
    pub(super) tombstones_left: u64,
    pub(super) tombstones_hit: u64,
    pub(super) replays: u64,
}

impl Participants {
    /// Makes participants with empty journals and `initial_stock` pieces of each product.
    pub fn new(initial_stock: i32) -> Participants {
        Participants {
            payments: Payments::default(),
            inventory: Inventory::new(initial_stock),
            purchases: Purchases::default(),
            others: BTreeMap::new(),
            chosen: 0,
            asked: 0,
        }
    }

    /// Replies to one request for a step of a saga with this context.
    pub fn answer(&mut self, step: &Step, kind: OperationKind, context: &Context, ask: &Ask<'_>) -> Reply {
        match &*step.participant {
            "catalog" => self.choose(ask),
            "payments" => self.payments.answer(ask),
            "inventory" => self.inventory.answer(ask),
            "purchases" => self.purchases.answer(ask),
            _ => {
                self.asked += 1;
                let other = self.others.entry(step.participant.clone()).or_default();
                other.answer(step, kind, context, ask, self.asked)
            }
        }
    }

    /// Returns the decisions of the participants of a single step, in order.
    pub(super) fn decisions(&self) -> Vec<&StepDecision> {
        let mut decisions: Vec<&StepDecision> = self.others.values().flat_map(|other| &other.decisions).collect();
        decisions.sort_by_key(|decision| decision.place);
        decisions
    }

    /// Adds the rows of payments, inventory and purchases to the facts that the invariants are checked against.
    pub fn add_to(&self, facts: &mut Facts) {
        self.payments.add_to(facts);
        self.inventory.add_to(facts);
        self.purchases.add_to(facts);
    }

    /// Replaces a participant by its standby.
    pub(super) fn fail_over(&mut self, participant: &str, standby: Participants) {
        let Participants { payments, inventory, purchases, mut others, .. } = standby;
        match participant {
            "payments" => self.payments = payments,
            "inventory" => self.inventory = inventory,
            "purchases" => self.purchases = purchases,
            name => drop(self.others.insert(name.into(), others.remove(name).unwrap_or_default())),
        }
    }

    pub(super) fn counts(&self) -> JournalCounts {
        let known = [&self.payments.journal, &self.inventory.journal, &self.purchases.journal];
        let all = known.into_iter().chain(self.others.values().map(|other| &other.with_journal.journal));
        all.fold(JournalCounts::default(), |counts, journal| JournalCounts {
            tombstones_left: counts.tombstones_left + journal.tombstones_left,
            tombstones_hit: counts.tombstones_hit + journal.tombstones_hit,
            replays: counts.replays + journal.replays,
        })
    }

    /// Replies as the catalog. It has no journal, since its reads have no effect.
    fn choose(&mut self, ask: &Ask<'_>) -> Reply {
        let wanted = ask.request.path.strip_prefix("/products/").and_then(|rest| rest.strip_suffix('/'));
        let product = match wanted {
            Some("random") => {
                self.chosen += 1;
                Some(self.chosen % PRODUCTS + 1)
            }
            wanted => wanted.and_then(|id| id.parse().ok()).filter(|id| (1..=PRODUCTS).contains(id)),
        };
        match product {
            Some(id) if ask.draw == FailureDraw::Accept => Reply::plain(200, json!({ "product_id": id }).to_string()),
            _ => {
                let detail = format!("Product {} not found", wanted.unwrap_or_default());
                Reply::plain(404, json!({ "type": "product-not-found", "status": 404, "detail": detail }).to_string())
            }
        }
    }
}

/// Parses the transaction id between two parts of a path.
fn transaction_in(path: &str, before: &str, after: &str) -> Option<TransactionId> {
    TransactionId::parse(path.strip_prefix(before)?.strip_suffix(after)?).ok()
}

fn show<T: Serialize>(body: &T) -> String {
    serde_json::to_string(body).expect("plain records of strings and numbers serialise")
}

/// Replies to a request that no saga sends.
fn malformed() -> Reply {
    Reply::plain(400, r#"{"type":"about:blank","title":"bad request","status":400}"#)
}
