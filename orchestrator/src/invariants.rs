//! Invariants between the saga log and the data of the participants: one pure function per invariant.
//!
//! ```text
//! five live databases, journals over HTTP ──► ecommerce::facts ──┐
//! a chaos test's databases ──────────────────────────────────────┼──► Facts ──► judge ──► Report
//! a simulator's memory ──────────────────────────────────────────┘
//! ```
//! They take plain facts ([`Facts`]) and no database, clock or network, so the audit, the chaos tests and the simulator
//! check the same rules.
//!
//! Some cases are listed, not judged: calls that no orchestrator made, sagas that a person settled, and stock taken by
//! a late call. A transaction that was changed by hand is excluded from the invariants on effects: manual changes
//! cannot be distinguished from a saga's.

mod effects;
mod facts;
mod history;
mod listed;
mod named;
mod sagas;
mod sums;

use std::collections::BTreeMap;

use serde::Serialize;
use smol_str::SmolStr;

pub use self::facts::{
    Decision, Entry, Facts, Movement, MovementKind, OperationKind, Participant, Payment, PaymentStatus, Purchase,
    PurchaseStatus, Saga, StockLevel, Transaction,
};
pub use self::named::{JournalCoverage, NamedEntry, NamedJournal};
pub use self::sums::MoneySums;

/// Whether sagas may still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// They may: only ended sagas are judged.
    Live,
    /// They may not: a saga that has not ended never will.
    Over,
}

/// A violation of an invariant, or a listed case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The transaction, or the product.
    pub id: String,
    /// The violation, or the reason for the listing.
    pub why: String,
}

/// The result of one invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The invariant as a sentence.
    pub name: &'static str,
    /// Number of items checked.
    pub looked_at: u64,
    /// The kind of the items, such as "ended sagas".
    pub items: &'static str,
    /// Number of violations.
    pub offending: u64,
    /// The violations, or the first of them.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Checks items, each with its id, and records the complaints.
    fn over<'a, T: 'a>(
        name: &'static str,
        items: &'static str,
        things: impl Iterator<Item = (&'a str, T)>,
        complaint: impl Fn(&T) -> Option<String>,
    ) -> Self {
        let mut verdict = Self { name, items, looked_at: 0, offending: 0, findings: Vec::new() };
        for (id, thing) in things {
            verdict.looked_at += 1;
            if let Some(why) = complaint(&thing) {
                verdict.offending += 1;
                verdict.findings.push(Finding { id: id.to_owned(), why });
            }
        }
        verdict
    }

    /// Merges the result for other facts; the first `keep` findings are kept.
    fn absorb(&mut self, other: Verdict, keep: usize) {
        self.looked_at += other.looked_at;
        self.offending += other.offending;
        self.findings.extend(other.findings);
        self.findings.truncate(keep);
    }
}

/// The results of all invariants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether sagas could still run.
    pub run: Run,
    /// One verdict per invariant, in order.
    #[serde(rename = "invariants")]
    pub verdicts: Vec<Verdict>,
    /// Cases that are listed, not judged.
    pub listed: Vec<Verdict>,
    /// How far the journals of named participants were compared, by participant.
    pub journals: BTreeMap<SmolStr, JournalCoverage>,
    /// The money of the judged sagas.
    pub money: MoneySums,
}

impl Report {
    /// Tells whether there are no violations.
    pub fn is_clean(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.offending == 0)
    }

    /// Tells whether every journal that the audit asked for could be read.
    pub fn is_complete(&self) -> bool {
        self.journals.values().all(|covered| covered.failed == 0)
    }

    /// Merges the report on other facts of the same run, so that many facts can be judged in parts. The first `keep`
    /// findings of each verdict are kept; all are counted.
    pub fn absorb(&mut self, other: Report, keep: usize) {
        for (mine, theirs) in self.verdicts.iter_mut().zip(other.verdicts) {
            mine.absorb(theirs, keep);
        }
        for (mine, theirs) in self.listed.iter_mut().zip(other.listed) {
            mine.absorb(theirs, keep);
        }
        for (participant, theirs) in other.journals {
            self.journals.entry(participant).or_default().absorb(theirs);
        }
        self.money += other.money;
    }
}

/// Checks every invariant.
pub fn judge(facts: &Facts, run: Run) -> Report {
    Report {
        run,
        verdicts: vec![
            sagas::every_accepted_saga_ends(facts, run),
            sagas::completed_has_one_of_each(facts),
            sagas::compensated_has_nothing_live(facts),
            effects::no_effect_without_a_saga(facts),
            sums::money_agrees(facts),
            sums::stock_adds_up(facts),
            effects::nothing_ran_twice(facts),
            effects::compensations_in_reverse(facts),
            history::shown_history_agrees(facts),
            history::compensated_has_no_action_left(facts),
            sagas::the_end_agrees_with_the_steps(facts),
        ],
        listed: vec![
            listed::unfinished(facts, run),
            listed::settled_by_a_person(facts),
            listed::calls_from_outside(facts),
            listed::late_decrements(facts),
        ],
        journals: named::coverage(facts),
        money: sums::money(facts),
    }
}

#[cfg(test)]
mod tests;
