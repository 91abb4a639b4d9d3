//! What must hold between the saga log and the books of the participants: one pure function an invariant.
//!
//! ```text
//! five live databases ──► ecommerce::books ──┐
//! a chaos test's databases ──────────────────┼──► Books ──► judge ──► Report
//! a simulator's memory ──────────────────────┘
//! ```
//! They see plain facts ([`Books`]) and know neither database, clock nor network, so that everybody who proves something
//! proves the same.
//!
//! What they do not judge is listed instead: calls that no orchestrator made, what a person has settled, and stock that
//! was taken by a call that came late. A transaction that somebody touched by hand is left out of all that is judged by
//! its effects: what the hand did cannot be told from what a saga did.

mod effects;
mod facts;
mod history;
mod listed;
mod sagas;
mod sums;

use serde::Serialize;

pub use self::facts::{
    Books, Decision, Deed, Entry, Movement, MovementKind, Participant, Payment, PaymentStatus, Purchase,
    PurchaseStatus, Saga, Shelf, Transaction,
};
pub use self::history::disagreement;
pub use self::sums::MoneySums;

/// Whether sagas may still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// They may: only those that had ended are judged.
    Live,
    /// It is over: a saga that has not ended never will.
    Over,
}

/// Something that breaks an invariant, or that is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The transaction, or the product.
    pub id: String,
    /// What is wrong with it, or special about it.
    pub why: String,
}

/// What one invariant came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The invariant, as a sentence.
    pub name: &'static str,
    /// How many things it looked at.
    pub looked_at: u64,
    /// How many of them break it.
    pub offending: u64,
    /// Those, or the first of them.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Looks at things, each with its id, and notes what there is to say about each.
    fn over<'a, T: 'a>(
        name: &'static str,
        things: impl Iterator<Item = (&'a str, T)>,
        complaint: impl Fn(&T) -> Option<String>,
    ) -> Self {
        let mut verdict = Self { name, looked_at: 0, offending: 0, findings: Vec::new() };
        for (id, thing) in things {
            verdict.looked_at += 1;
            if let Some(why) = complaint(&thing) {
                verdict.offending += 1;
                verdict.findings.push(Finding { id: id.to_owned(), why });
            }
        }
        verdict
    }

    /// Takes in what the same invariant says of other books; of all findings the first `keep` are kept.
    fn absorb(&mut self, other: Verdict, keep: usize) {
        self.looked_at += other.looked_at;
        self.offending += other.offending;
        self.findings.extend(other.findings);
        self.findings.truncate(keep);
    }
}

/// What all invariants came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the run was over.
    pub run: Run,
    /// One verdict an invariant, in their order.
    #[serde(rename = "invariants")]
    pub verdicts: Vec<Verdict>,
    /// What is told and not judged.
    pub listed: Vec<Verdict>,
    /// The money of all that was judged.
    pub money: MoneySums,
}

impl Report {
    /// Tells whether nothing breaks an invariant.
    pub fn is_clean(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.offending == 0)
    }

    /// Takes in the report on other books of the same run, so that large books can be judged a part at a time. Of each
    /// verdict's findings the first `keep` are kept; all are counted.
    pub fn absorb(&mut self, other: Report, keep: usize) {
        for (mine, theirs) in self.verdicts.iter_mut().zip(other.verdicts) {
            mine.absorb(theirs, keep);
        }
        for (mine, theirs) in self.listed.iter_mut().zip(other.listed) {
            mine.absorb(theirs, keep);
        }
        self.money += other.money;
    }
}

/// Judges books by every invariant.
pub fn judge(books: &Books, run: Run) -> Report {
    Report {
        run,
        verdicts: vec![
            sagas::every_accepted_saga_ends(books, run),
            sagas::completed_has_one_of_each(books),
            sagas::compensated_has_nothing_live(books),
            effects::no_effect_without_a_saga(books),
            sums::money_agrees(books),
            sums::stock_adds_up(books),
            effects::nothing_ran_twice(books),
            effects::compensations_in_reverse(books),
            history::shown_history_agrees(books),
        ],
        listed: vec![
            listed::unfinished(books, run),
            listed::settled_by_a_person(books),
            listed::calls_from_outside(books),
            listed::late_decrements(books),
        ],
        money: sums::money(books),
    }
}

#[cfg(test)]
mod tests;
