//! A participant: its journal for one step of the saga.

use crate::rules::Rules;

/// The record of an action and its compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Journal {
    /// Nothing.
    Empty,
    /// Done, and the effect is live.
    Done,
    /// Refused.
    Refused,
    /// Done and undone.
    Undone,
    /// Undone before the action arrived: a tombstone.
    Forbidden,
}

/// Decision about an action that arrives for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Decision {
    Accept,
    Refuse,
}

impl Journal {
    pub(crate) fn has_live_effect(&self) -> bool {
        *self == Self::Done
    }

    /// Handles an action and returns whether it is done. A decision is made once and repeated afterwards.
    pub(crate) fn act(&mut self, decision: Decision, rules: &Rules) -> bool {
        match (*self, decision) {
            (Self::Empty, Decision::Accept) => *self = Self::Done,
            (Self::Empty, Decision::Refuse) => *self = Self::Refused,
            (Self::Undone, _) if !rules.what_was_undone_is_refused => *self = Self::Done,
            (Self::Done | Self::Refused | Self::Undone | Self::Forbidden, _) => {}
        }
        *self == Self::Done
    }

    /// Handles a compensation. It always succeeds.
    pub(crate) fn undo(&mut self, rules: &Rules) {
        match *self {
            Self::Empty if rules.undos_leave_tombstones => *self = Self::Forbidden,
            Self::Done => *self = Self::Undone,
            Self::Empty | Self::Refused | Self::Undone | Self::Forbidden => {}
        }
    }
}
