//! Plain facts: what the log and each participant hold, transaction by transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::checkout::StockRule;
use saga_engine::Status;
use saga_engine::log::StepView;

/// All facts, or a part of them. A transaction is in one part only.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// By transaction id, as the participants spell it.
    pub transactions: BTreeMap<String, Transaction>,
    /// The stock of every product.
    pub shelves: Vec<Shelf>,
    /// By how much the clocks of the databases may differ; zero where one server keeps all of them.
    pub clock_allowance: TimeDelta,
}

impl Books {
    /// Returns the page of a transaction; a new one is empty.
    pub fn page(&mut self, transaction_id: &str) -> &mut Transaction {
        // Nearly always it is there: the look-up costs no copy of the id.
        if !self.transactions.contains_key(transaction_id) {
            self.transactions.insert(transaction_id.to_owned(), Transaction::default());
        }
        self.transactions.get_mut(transaction_id).expect("it was there, or has just been inserted")
    }

    /// Returns every transaction with its id.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.transactions.iter().map(|(id, page)| (id.as_str(), page))
    }

    /// Returns the transactions that no hand has touched.
    pub(super) fn untouched(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.pages().filter(|(_, page)| !page.is_touched())
    }

    /// Returns the untouched transactions whose saga has ended one way.
    pub(super) fn ended_as(&self, status: Status) -> impl Iterator<Item = (&str, (&Saga, &Transaction))> {
        self.untouched().filter_map(move |(id, page)| {
            let saga = page.saga.as_ref().filter(|saga| saga.ended_at.is_some() && saga.status == status)?;
            Some((id, (saga, page)))
        })
    }
}

/// Everything that is known under one transaction id.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// What the saga log holds.
    pub saga: Option<Saga>,
    /// Its payments.
    pub payments: Vec<Payment>,
    /// Its purchases.
    pub purchases: Vec<Purchase>,
    /// What it moved of the stock; restocking is no business of a transaction.
    pub movements: Vec<Movement>,
    /// What the participants' journals hold.
    pub journal: Vec<Entry>,
}

impl Transaction {
    /// Tells whether somebody but the orchestrator has asked for something under this id.
    pub(super) fn is_touched(&self) -> bool {
        self.journal.iter().any(|entry| !entry.from_saga)
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

    /// Returns the journal's entries for what one participant did or undid.
    pub(super) fn entries(&self, participant: Participant, deed: Deed) -> impl Iterator<Item = &Entry> {
        self.journal.iter().filter(move |entry| entry.participant == participant && entry.deed == deed)
    }

    /// Tells whether a participant's journal holds that the action was done.
    pub(super) fn did(&self, participant: Participant) -> bool {
        self.entries(participant, Deed::Action).any(|entry| entry.decision == Decision::Done)
    }
}

/// A saga, as its row holds it.
#[derive(Clone, Debug)]
pub struct Saga {
    /// Its status.
    pub status: Status,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// What its definition says of stock; `None` where nobody here knows the definition.
    pub stock_rule: Option<StockRule>,
    /// What was ordered, in cents.
    pub cents: i64,
    /// Why a person should look, if one should.
    pub attention: Option<String>,
    /// What people are shown of its steps; nothing once that was cleared.
    pub steps: Vec<StepView>,
}

/// A payment.
#[derive(Clone, Debug)]
pub struct Payment {
    /// How much, in cents.
    pub cents: i64,
    /// How it stands.
    pub status: PaymentStatus,
}

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// The money is here.
    Captured,
    /// It was given back.
    Refunded,
    /// It was never taken.
    Refused,
}

/// A purchase.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// How much, in cents.
    pub cents: i64,
    /// How it stands.
    pub status: PurchaseStatus,
}

/// How a purchase stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseStatus {
    /// It is registered.
    Live,
    /// It was cancelled.
    Cancelled,
}

/// A change of the stock.
#[derive(Clone, Debug)]
pub struct Movement {
    /// Which way.
    pub kind: MovementKind,
    /// When, by the clock of the database.
    pub at: DateTime<Utc>,
}

/// Which way the stock went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementKind {
    /// Taken.
    Decrement,
    /// Given back.
    Restore,
}

/// The stock of a product and what has moved it, all read at one moment.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// The product.
    pub product_id: String,
    /// What it began with.
    pub initial: i64,
    /// What arrived.
    pub restocked: i64,
    /// What was taken.
    pub decremented: i64,
    /// What was given back.
    pub restored: i64,
    /// What there is.
    pub quantity: i64,
}

/// Who does things for a saga, in the order of its steps.
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
    /// Whose journal.
    pub participant: Participant,
    /// Whether it does or undoes.
    pub deed: Deed,
    /// What was decided.
    pub decision: Decision,
    /// Whether it is the row of an action that never ran, and never will.
    pub tombstone: bool,
    /// Whether the orchestrator asked.
    pub from_saga: bool,
    /// In which attempt it asked.
    pub attempt: Option<i32>,
    /// Which owner of the saga asked.
    pub epoch: Option<i32>,
    /// When it was decided, by the clock of the database.
    pub at: DateTime<Utc>,
}

/// Whether something does or undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A step's action.
    Action,
    /// Its compensation.
    Compensation,
}

/// What a participant decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It did it.
    Done,
    /// It did not.
    Refused,
}
