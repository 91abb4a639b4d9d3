//! The side of the participants that users name: their journals, read over HTTP.
//!
//! They are asked after the log was read, so an ended saga has had its effects. Requests are bounded: the newest sagas
//! only, some at a time, each with a time limit, and none to a participant that keeps failing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use common::{config::Settings, wire::journal::JournalEntry};
use futures::{StreamExt, stream};
use orchestrator::{
    invariants::{Decision, Facts, NamedEntry, NamedJournal, OperationKind},
    journals::{Journal, Journals},
};
use saga_engine::SagaId;
use smol_str::SmolStr;
use uuid::Uuid;

use super::FactsError;

/// Maximum number of requests in flight.
const PARALLEL: usize = 16;
/// Failed requests in a row after which a participant is asked no more.
const FAILURES: u32 = 5;

pub(super) struct NamedJournals {
    by_participant: BTreeMap<SmolStr, ParticipantJournal>,
    /// Journals of this saga and of older ones are not read.
    not_up_to: Option<Uuid>,
}

struct ParticipantJournal {
    journal: Journal,
    /// Failed requests in a row.
    failures: AtomicU32,
}

impl NamedJournals {
    pub(super) fn open(settings: &Settings, not_up_to: Option<Uuid>) -> Result<Self, FactsError> {
        let journals = Journals::of_named(settings).map_err(FactsError::Client)?;
        let with_failures =
            |journal: &Journal| ParticipantJournal { journal: journal.clone(), failures: AtomicU32::new(0) };
        let by_participant = journals.iter().map(|(name, journal)| (name.clone(), with_failures(journal))).collect();
        Ok(Self { by_participant, not_up_to })
    }

    /// Reads the journals of the ended sagas in a part of the facts.
    pub(super) async fn read(&self, facts: &mut Facts) {
        let mut wanted = Vec::new();
        for (id, transaction) in &facts.transactions {
            let Some(saga) = transaction.saga.as_ref().filter(|saga| saga.ended_at.is_some()) else { continue };
            let participants: BTreeSet<&SmolStr> = saga.steps.iter().map(|step| &step.participant).collect();
            let asked = participants.into_iter().filter(|name| self.by_participant.contains_key(*name)).cloned();
            let saga = Uuid::parse_str(id).expect("a saga's facts are found by its id");
            wanted.extend(asked.map(|participant| (id.clone(), SagaId(saga), participant)));
        }
        let reading = stream::iter(wanted).map(async |(id, saga, participant)| {
            let journal = self.read_one(saga, &participant).await;
            (id, participant, journal)
        });
        let read: Vec<_> = reading.buffer_unordered(PARALLEL).collect().await;
        for (id, participant, journal) in read {
            facts.transaction(&id).named.insert(participant, journal);
        }
    }

    async fn read_one(&self, saga: SagaId, participant: &SmolStr) -> NamedJournal {
        if self.not_up_to.is_some_and(|last| saga.0 <= last) {
            return NamedJournal::Skipped;
        }
        let Some(ParticipantJournal { journal, failures }) = self.by_participant.get(participant) else {
            return NamedJournal::Skipped;
        };
        if failures.load(Ordering::Relaxed) >= FAILURES {
            return NamedJournal::Failed(format!("not asked after {FAILURES} failures"));
        }
        let read = journal.read(saga).await.and_then(|entries| entries.into_iter().map(entry).collect());
        match read {
            Ok(entries) => {
                failures.store(0, Ordering::Relaxed);
                NamedJournal::Read(entries)
            }
            Err(reason) => {
                failures.fetch_add(1, Ordering::Relaxed);
                NamedJournal::Failed(reason)
            }
        }
    }
}

fn entry(entry: JournalEntry) -> Result<NamedEntry, String> {
    let kind = match &*entry.operation {
        "action" => OperationKind::Action,
        "compensation" => OperationKind::Compensation,
        other => return Err(format!("the operation {other:?} is neither \"action\" nor \"compensation\"")),
    };
    let decision = match entry.status {
        200..=299 => Decision::Done,
        _ => Decision::Refused,
    };
    let JournalEntry { step, tombstone, from_saga, .. } = entry;
    Ok(NamedEntry { step, kind, decision, tombstone, from_saga })
}
