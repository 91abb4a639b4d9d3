//! The saga's row in the log, and the effect of writes on it.

use crate::rules::Rules;

/// A process: a node and its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) node: usize,
    pub(crate) incarnation: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    Forward,
    Compensating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    Completed,
    Compensated,
}

/// The row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) owner: Process,
    pub(crate) epoch: u8,
    pub(crate) direction: Direction,
    pub(crate) ended: Option<End>,
}

/// A write in transit to the log, with the owner and the epoch that its writer knows. It may arrive much later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) owner: Process,
    pub(crate) epoch: u8,
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Change {
    TurnBack,
    End(End),
}

/// The log's answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Durable, by this write or by an equal one of the same owner.
    Durable,
    /// The row has another owner or another end: the writer stops silently.
    Lost,
    /// The row does not allow it: the owner decides again.
    NotWritten,
}

impl Row {
    pub(crate) fn write(&mut self, write: Write, rules: &Rules) -> Report {
        let is_owner = self.owner == write.owner || !rules.writes_check_the_owner;
        let is_of_epoch = self.epoch == write.epoch || !rules.writes_check_the_epoch;
        if !(is_owner && is_of_epoch) {
            return Report::Lost;
        }
        if let Some(end) = self.ended {
            return if write.change == Change::End(end) { Report::Durable } else { Report::Lost };
        }
        match write.change {
            // A saga that turned back is never completed.
            Change::End(End::Completed) if self.direction == Direction::Compensating => return Report::NotWritten,
            Change::End(end) => self.ended = Some(end),
            Change::TurnBack => self.direction = Direction::Compensating,
        }
        Report::Durable
    }

    /// Makes this process the owner.
    pub(crate) fn claim(&mut self, process: Process, rules: &Rules) {
        self.owner = process;
        self.epoch += u8::from(rules.claims_raise_the_epoch);
    }
}
