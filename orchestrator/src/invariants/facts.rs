//! Plain facts from the log and from each participant, by transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use smol_str::SmolStr;

use super::named::{NamedEntry, NamedJournal};
use crate::checkout::StockRule;
use saga_engine::Status;
use saga_engine::log::StepView;

/// All facts, or a part of them. A transaction is in one part only.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// By transaction id, in the participants' spelling.
    pub transactions: BTreeMap<String, Transaction>,
    /// The stock of every product.
    pub stock: Vec<StockLevel>,
    /// Maximum difference between the databases' clocks; zero if one server has all of them.
    pub clock_allowance: TimeDelta,
}

impl Facts {
    /// Returns the facts of a transaction, empty for a new one.
    pub fn transaction(&mut self, transaction_id: &str) -> &mut Transaction {
        // It usually exists: this lookup copies no id.
        if !self.transactions.contains_key(transaction_id) {
            self.transactions.insert(transaction_id.to_owned(), Transaction::default());
        }
        self.transactions.get_mut(transaction_id).expect("it was there, or has just been inserted")
    }

    /// Returns the saga of a transaction: that of its id, or of the id before the step where its id is the key of a step,
    /// `<saga id>:<step>`.
    pub(super) fn saga_of(&self, id: &str) -> Option<&Saga> {
        let saga = id.split_once(':').map_or(id, |(saga, _)| saga);
        self.transactions.get(saga)?.saga.as_ref()
    }

    /// Returns the transaction whose id is the key of a saga's step.
    pub(super) fn of_step(&self, saga: &str, step: &str) -> Option<&Transaction> {
        self.transactions.get(&format!("{saga}:{step}"))
    }

    /// Returns every transaction with its id.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.transactions.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    /// Returns the transactions that are sagas, with their ids.
    pub(super) fn sagas(&self) -> impl Iterator<Item = (&str, &Saga)> {
        self.all().filter_map(|(id, transaction)| Some((id, transaction.saga.as_ref()?)))
    }

    /// Returns the transactions without manual changes.
    pub(super) fn untouched(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.all().filter(|(_, transaction)| !transaction.is_touched())
    }

    /// Returns the untouched transactions whose saga is a purchase that ended with this status.
    pub(super) fn ended_as(&self, status: Status) -> impl Iterator<Item = (&str, (&Saga, &Transaction))> {
        self.untouched().filter_map(move |(id, transaction)| {
            let has_ended = |saga: &&Saga| saga.ended_at.is_some() && saga.status == status;
            let saga = transaction.saga.as_ref().filter(has_ended).filter(|saga| saga.is_purchase())?;
            Some((id, (saga, transaction)))
        })
    }
}

/// All facts under one transaction id.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Its row in the saga log.
    pub saga: Option<Saga>,
    /// Its payments.
    pub payments: Vec<Payment>,
    /// Its purchases.
    pub purchases: Vec<Purchase>,
    /// Its stock movements; restocking belongs to no transaction.
    pub movements: Vec<Movement>,
    /// Its entries in the journals of our participants.
    pub journal: Vec<Entry>,
    /// The journals of named participants, by participant; of those that offer one only.
    pub named: BTreeMap<SmolStr, NamedJournal>,
}

impl Transaction {
    /// Tells whether a client other than the orchestrator made a call under this id.
    pub(super) fn is_touched(&self) -> bool {
        self.journal.iter().any(|entry| !entry.from_saga) || self.named_entries().any(|(_, entry)| !entry.from_saga)
    }

    /// Returns the entries of all named participants' journals.
    pub(super) fn named_entries(&self) -> impl Iterator<Item = (&SmolStr, &NamedEntry)> {
        self.named.iter().flat_map(|(participant, journal)| match journal {
            NamedJournal::Read(entries) => entries.iter().map(|entry| (participant, entry)).collect(),
            NamedJournal::Failed(_) | NamedJournal::Skipped => Vec::new(),
        })
    }

    pub(super) fn payments_that_are(&self, status: PaymentStatus) -> usize {
        self.payments.iter().filter(|payment| payment.status == status).count()
    }

    pub(super) fn purchases_that_are(&self, status: PurchaseStatus) -> usize {
        self.purchases.iter().filter(|purchase| purchase.status == status).count()
    }

    pub(super) fn movements_of(&self, kind: MovementKind) -> usize {
        self.movements.iter().filter(|movement| movement.kind == kind).count()
    }

    /// Returns one participant's journal entries for an action or a compensation.
    pub(super) fn entries(&self, participant: Participant, kind: OperationKind) -> impl Iterator<Item = &Entry> {
        self.journal.iter().filter(move |entry| entry.participant == participant && entry.kind == kind)
    }

    /// Tells whether a participant's journal records the action as done.
    pub(super) fn did(&self, participant: Participant) -> bool {
        self.entries(participant, OperationKind::Action).any(|entry| entry.decision == Decision::Done)
    }
}

/// A saga, as its row holds it.
#[derive(Clone, Debug)]
pub struct Saga {
    /// Its status.
    pub status: Status,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// The stock rule of its definition; `None` if the definition is unknown here.
    pub stock_rule: Option<StockRule>,
    /// The steps whose effect must be undone if it turns back; `None` if its definition is unknown here.
    pub compensable: Option<Arc<[SmolStr]>>,
    /// The ordered amount, in cents; `None` for a saga that is not a purchase.
    pub cents: Option<i64>,
    /// Whether a person has settled it.
    pub is_settled: bool,
    /// Why it is in the attention list, if it is.
    pub attention: Option<String>,
    /// Its steps as displayed; empty once the details were cleared.
    pub steps: Vec<StepView>,
}

impl Saga {
    /// Tells whether it is a purchase: its participants and their order are known.
    pub fn is_purchase(&self) -> bool {
        self.cents.is_some()
    }

    /// Tells whether a participant must have recorded a decision, by what the saga has shown at its end.
    pub fn was_answered_by(&self, participant: Participant) -> bool {
        let has_answered = |step: &StepView| {
            let is_undone = step.compensation.as_ref().is_some_and(|undo| undo.finished_at.is_some());
            step.participant == participant.as_str() && (is_undone || matches!(&*step.action, "done" | "refused"))
        };
        let is_bought = self.is_purchase() && self.status == Status::Completed;
        self.ended_at.is_some() && (is_bought || self.steps.iter().any(has_answered))
    }
}

/// A payment.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The amount, in cents.
    pub cents: i64,
    /// Its status.
    pub status: PaymentStatus,
}

/// Status of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// The money was taken.
    Captured,
    /// The money was given back.
    Refunded,
    /// The money was never taken.
    Refused,
}

/// A purchase.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The amount, in cents.
    pub cents: i64,
    /// Its status.
    pub status: PurchaseStatus,
}

/// Status of a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseStatus {
    /// Recorded.
    Live,
    /// Cancelled.
    Cancelled,
}

/// A change of the stock.
#[derive(Clone, Debug)]
pub struct Movement {
    /// The direction.
    pub kind: MovementKind,
    /// Time, by the clock of the database.
    pub at: DateTime<Utc>,
}

/// Direction of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementKind {
    /// Taken.
    Decrement,
    /// Given back.
    Restore,
}

/// The stock of a product and the sums of its movements, read at one moment.
#[derive(Clone, Debug)]
pub struct StockLevel {
    /// The product.
    pub product_id: String,
    /// Initial quantity.
    pub initial: i64,
    /// Quantity restocked.
    pub restocked: i64,
    /// Quantity taken.
    pub decremented: i64,
    /// Quantity given back.
    pub restored: i64,
    /// Current quantity.
    pub quantity: i64,
}

/// Participants with effects, in the order of the saga's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Participant {
    /// Takes the money.
    Payments,
    /// Takes the stock.
    Inventory,
    /// Registers the purchase.
    Purchases,
}

impl Participant {
    /// All of them, in the order of the saga's steps.
    pub const ALL: [Participant; 3] = [Participant::Payments, Participant::Inventory, Participant::Purchases];

    /// Returns the service's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Participant::Payments => "payments",
            Participant::Inventory => "inventory",
            Participant::Purchases => "purchases",
        }
    }
}

/// A row of a participant's journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The participant.
    pub participant: Participant,
    /// Action or compensation.
    pub kind: OperationKind,
    /// The decision.
    pub decision: Decision,
    /// Whether it blocks an action that never ran and never will.
    pub tombstone: bool,
    /// Whether the orchestrator made the call.
    pub from_saga: bool,
    /// The attempt of the call.
    pub attempt: Option<i32>,
    /// The epoch of the saga's owner that made the call.
    pub epoch: Option<i32>,
    /// Time of the decision, by the clock of the database.
    pub at: DateTime<Utc>,
}

/// Action or compensation of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// A step's action.
    Action,
    /// Its compensation.
    Compensation,
}

/// A participant's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Done.
    Done,
    /// Refused.
    Refused,
}
