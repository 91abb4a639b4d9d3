//! The journals of participants that users name: compared journals, and journals that could not be read.
//!
//! A journal is read over HTTP, saga by saga, so it may be missing: its participant is down, offers none, or the saga is
//! older than those whose journals are read. A missing journal is counted, never taken for agreement.

use std::collections::BTreeMap;

use serde::Serialize;
use smol_str::SmolStr;

use super::{Decision, Facts, OperationKind, Participant};

/// A named participant's journal of one saga.
#[derive(Clone, Debug)]
pub enum NamedJournal {
    /// Its entries.
    Read(Vec<NamedEntry>),
    /// It could not be read, for this reason.
    Failed(String),
    /// It was not asked for: the audit has a limit.
    Skipped,
}

/// A row of a named participant's journal.
#[derive(Clone, Debug)]
pub struct NamedEntry {
    /// The step; `None` if the participant has only one in the saga.
    pub step: Option<String>,
    /// Action or compensation.
    pub kind: OperationKind,
    /// The decision.
    pub decision: Decision,
    /// Whether it blocks an action that never ran and never will.
    pub tombstone: bool,
    /// Whether the orchestrator made the call.
    pub from_saga: bool,
}

/// How far the sagas of one named participant were compared with its journal. Only ended sagas count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalCoverage {
    /// Sagas whose journal was read.
    pub sagas: u64,
    /// Steps of these sagas.
    pub steps: u64,
    /// Sagas whose journal could not be read.
    pub failed: u64,
    /// Why the first of these could not.
    pub reason: Option<String>,
    /// Sagas beyond the limit of the audit.
    pub skipped: u64,
    /// Sagas with steps at it, if it offers no journal.
    pub without_journal: u64,
}

impl JournalCoverage {
    pub(super) fn absorb(&mut self, other: JournalCoverage) {
        self.sagas += other.sagas;
        self.steps += other.steps;
        self.failed += other.failed;
        self.reason = self.reason.take().or(other.reason);
        self.skipped += other.skipped;
        self.without_journal += other.without_journal;
    }
}

/// Returns the coverage by participant.
pub(super) fn coverage(facts: &Facts) -> BTreeMap<SmolStr, JournalCoverage> {
    let mut coverage = BTreeMap::<SmolStr, JournalCoverage>::new();
    for (_, transaction) in facts.all() {
        let Some(saga) = transaction.saga.as_ref().filter(|saga| saga.ended_at.is_some()) else { continue };
        let mut steps = BTreeMap::<&SmolStr, u64>::new();
        for step in saga.steps.iter().filter(|step| !is_ours(&step.participant)) {
            *steps.entry(&step.participant).or_default() += 1;
        }
        for (participant, steps) in steps {
            let covered = coverage.entry(participant.clone()).or_default();
            match transaction.named.get(participant) {
                Some(NamedJournal::Read(_)) => {
                    covered.sagas += 1;
                    covered.steps += steps;
                }
                Some(NamedJournal::Failed(reason)) => {
                    covered.failed += 1;
                    covered.reason.get_or_insert_with(|| reason.clone());
                }
                Some(NamedJournal::Skipped) => covered.skipped += 1,
                None => covered.without_journal += 1,
            }
        }
    }
    coverage
}

/// Tells whether a participant is one of ours, whose journals are read from their databases. The catalog has none.
fn is_ours(participant: &str) -> bool {
    participant == "catalog" || Participant::ALL.iter().any(|ours| ours.as_str() == participant)
}
