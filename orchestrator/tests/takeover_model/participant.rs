//! A participant: what its journal says of one step of the saga.

use crate::rules::Rules;

/// What is recorded of an operation and its compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Journal {
    /// Nothing.
    Empty,
    /// It happened, and its effect is live.
    Done,
    /// It was refused.
    Refused,
    /// It happened and was undone.
    Undone,
    /// It was undone before it came: a tombstone.
    Forbidden,
}

/// What a participant decides about an action that it sees for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Decision {
    Accept,
    Refuse,
}

impl Journal {
    pub(crate) fn has_live_effect(&self) -> bool {
        *self == Self::Done
    }

    /// Takes an action in and says whether it is done. A decision is taken once and repeated from then on.
    pub(crate) fn act(&mut self, decision: Decision, rules: &Rules) -> bool {
        match (*self, decision) {
            (Self::Empty, Decision::Accept) => *self = Self::Done,
            (Self::Empty, Decision::Refuse) => *self = Self::Refused,
            (Self::Undone, _) if !rules.what_was_undone_is_refused => *self = Self::Done,
            (Self::Done | Self::Refused | Self::Undone | Self::Forbidden, _) => {}
        }
        *self == Self::Done
    }

    /// Takes a compensation in. It always succeeds.
    pub(crate) fn undo(&mut self, rules: &Rules) {
        match *self {
            Self::Empty if rules.undos_leave_tombstones => *self = Self::Forbidden,
            Self::Done => *self = Self::Undone,
            Self::Empty | Self::Refused | Self::Undone | Self::Forbidden => {}
        }
    }
}
