//! What cannot be reached: the database or a participant by everybody, one of a participant's operations by everybody, or
//! one of them by one process.

use std::time::Duration;

use super::process::ProcessId;
use super::sim::Sim;
use saga_engine::world::{Call, Purpose};

/// What is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    /// The saga log's database.
    Database,
    /// A participant.
    Participant(&'static str),
    /// A participant answers 503 to one of its operations: a step's action, or its undoing.
    Operation(Operation),
}

/// One operation of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Operation {
    pub(super) step: &'static str,
    pub(super) is_undo: bool,
}

impl Operation {
    pub(super) fn of(call: &Call) -> Operation {
        Operation { step: call.step, is_undo: call.purpose == Purpose::Compensation }
    }
}

struct Gap {
    /// `None`: for everybody.
    of: Option<ProcessId>,
    what: Unreached,
    until: Duration,
}

/// All that cannot be reached.
#[derive(Default)]
pub(super) struct Partitions(Vec<Gap>);

impl Partitions {
    /// Cuts something off, from one process or from all.
    pub(super) fn cut(&mut self, of: Option<ProcessId>, what: Unreached, until: Duration) {
        self.0.push(Gap { of, what, until });
    }

    fn has(&self, process: ProcessId, what: Unreached, now: Duration) -> bool {
        self.0.iter().any(|gap| gap.what == what && gap.until > now && gap.of.is_none_or(|of| of == process))
    }

    /// Tells whether it is away for everybody.
    fn is_away(&self, what: Unreached, now: Duration) -> bool {
        self.0.iter().any(|gap| gap.what == what && gap.until > now && gap.of.is_none())
    }
}

impl Sim {
    /// Tells whether this process reaches the saga log's database.
    pub(super) fn reaches_database(&self, process: ProcessId) -> bool {
        let now = self.elapsed();
        !self.lock().partitions.has(process, Unreached::Database, now)
    }

    /// Tells whether the saga log's database answers anybody.
    pub(super) fn database_answers(&self) -> bool {
        let now = self.elapsed();
        !self.lock().partitions.is_away(Unreached::Database, now)
    }

    /// Tells whether this participant is away.
    pub(super) fn is_away(&self, participant: &'static str) -> bool {
        let now = self.elapsed();
        self.lock().partitions.is_away(Unreached::Participant(participant), now)
    }

    /// Tells whether this process reaches a participant, away or not.
    pub(super) fn reaches(&self, process: ProcessId, participant: &'static str) -> bool {
        let now = self.elapsed();
        !self.lock().partitions.has(process, Unreached::Participant(participant), now)
    }

    /// Tells whether one operation of a participant is out.
    pub(super) fn is_out(&self, operation: Operation) -> bool {
        let now = self.elapsed();
        self.lock().partitions.is_away(Unreached::Operation(operation), now)
    }
}
