//! Outages and partitions: the database, a participant, or one of its operations is unreachable for all processes, or
//! the database or a participant for one process.

use std::time::Duration;

use smol_str::SmolStr;

use super::process::ProcessId;
use super::sim::Sim;
use saga_engine::world::{Call, Purpose};

/// The unreachable thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    /// The saga log's database.
    Database,
    /// A participant.
    Participant(SmolStr),
    /// One operation of a participant, which answers 503 to it.
    Operation(Operation),
}

/// One operation of a participant: a step's action or compensation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Operation {
    pub(super) step: SmolStr,
    pub(super) is_undo: bool,
}

impl Operation {
    pub(super) fn of(call: &Call) -> Operation {
        Operation { step: call.step.clone(), is_undo: call.purpose == Purpose::Compensation }
    }
}

struct Gap {
    /// `None`: for all processes.
    of: Option<ProcessId>,
    what: Unreached,
    until: Duration,
}

/// All outages and partitions of a run.
#[derive(Default)]
pub(super) struct Partitions(Vec<Gap>);

impl Partitions {
    /// Makes something unreachable for one process, or for all (`None`).
    pub(super) fn cut(&mut self, of: Option<ProcessId>, what: Unreached, until: Duration) {
        self.0.push(Gap { of, what, until });
    }

    fn has(&self, process: ProcessId, what: &Unreached, now: Duration) -> bool {
        self.0.iter().any(|gap| gap.what == *what && gap.until > now && gap.of.is_none_or(|of| of == process))
    }

    /// Tells whether it is unreachable for all processes.
    fn is_away(&self, what: &Unreached, now: Duration) -> bool {
        self.0.iter().any(|gap| gap.what == *what && gap.until > now && gap.of.is_none())
    }
}

impl Sim {
    pub(super) fn reaches_database(&self, process: ProcessId) -> bool {
        let now = self.elapsed();
        !self.lock().partitions.has(process, &Unreached::Database, now)
    }

    /// Tells whether the saga log's database is up.
    pub(super) fn database_answers(&self) -> bool {
        let now = self.elapsed();
        !self.lock().partitions.is_away(&Unreached::Database, now)
    }

    /// Tells whether this participant is down.
    pub(super) fn is_away(&self, participant: &str) -> bool {
        let now = self.elapsed();
        self.lock().partitions.is_away(&Unreached::Participant(participant.into()), now)
    }

    /// Tells whether the network between this process and a participant works, whether the participant is down or not.
    pub(super) fn reaches(&self, process: ProcessId, participant: &str) -> bool {
        let now = self.elapsed();
        !self.lock().partitions.has(process, &Unreached::Participant(participant.into()), now)
    }

    /// Tells whether one operation of a participant is down.
    pub(super) fn is_out(&self, operation: Operation) -> bool {
        let now = self.elapsed();
        self.lock().partitions.is_away(&Unreached::Operation(operation), now)
    }
}
