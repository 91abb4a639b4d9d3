//! Planted bugs: mutations of the protocol that the simulator must catch. They exist in test builds only; everywhere else
//! [`is_planted`] is a constant, and the code that asks is compiled away.
//!
//! A bug that nobody catches is a hole in the simulator. Where two guards protect the same thing, a bug switches off both:
//! its text names the second.

/// A mutation. What each breaks, and in how many seeds it is found: `simulation::tests::planted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A compensation that finds no action leaves no tombstone.
    SkipTombstone,
    /// A refused action that is repeated tosses its coin again.
    TossAgain,
    /// A participant does again what it has done.
    ForgetJournal,
    /// A retry carries another transaction id.
    RetryWithoutKey,
    /// A payment is refunded only if its id is known.
    RefundOnlyIfKnown,
    /// The saga log takes writes of any owner and epoch.
    WriteWithoutEpoch,
    /// A claim leaves the epoch as it is. Second guard, off: the log knows an owner by its incarnation too.
    ClaimWithoutEpoch,
    /// The client is answered before `end` is durable.
    AnswerBeforeEnd,
    /// An undo that was not confirmed counts as done.
    CompensatedUnconfirmed,
    /// A recovered saga goes on under a new id.
    NewIdAfterTakeover,
    /// A recovered saga takes its last compensable step for not done.
    ForgetOneCompensation,
    /// Compensations leave before the turn is durable. Second guard, off: an undone action is refused when repeated.
    CompensateBeforeTurn,
    /// A recovered saga that had turned back runs forward. Second guards, off: an undone action is refused when repeated,
    /// and COMPLETED needs a row that runs forward.
    ForwardAfterTurn,
    /// Any 404 or 409 is taken for a refusal.
    AnyConflictRefuses,
    /// A step counts as not done if its last attempt was not sent.
    LastAttemptCounts,
    /// Effects before `begin` is durable.
    EffectBeforeBegin,
    /// Compensations run in the order of the steps. Second guard, off: the log forbids it.
    CompensateInOrder,
    /// COMPLETED is written against a cancel that was accepted.
    IgnoreCancel,
    /// An undo that is confirmed shows its step as undone, whatever it found.
    UndoneWhateverWasFound,
    /// A recovered saga shows its steps as if no earlier owner had asked for any of them.
    ForgetEarlierOwners,
    /// Any JSON with a `status` confirms an undo.
    AnyJsonConfirms,
    /// Rows without an actor are never searched for.
    NoSearchForOrphans,
    /// A claim counts against its saga, and one that was claimed too often is left to a person.
    ClaimsPoison,
    /// One row that cannot be read fails the whole claim.
    BadRowFailsAll,
    /// All operations of a participant share a circuit breaker.
    OneBreakerForAll,
    /// An id that the log does not hold is answered with 404 at once.
    NotFoundAtOnce,
    /// The end of a saga is dated by the clock of its node.
    EndedByNodeClock,
    /// Control: nobody looks at leases. Correctness does not rest on them.
    IgnoreLease,
    /// Control: an undone action that is repeated gives its first answer. It has no effect, and whoever asks turned back.
    UndoneActionReplays,
}

#[cfg(test)]
pub(crate) use switch::{is_planted, with_planted};

/// Tells whether this bug is planted: never, outside of tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn is_planted(_: Planted) -> bool {
    false
}

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    pub(crate) fn is_planted(bug: Planted) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Runs with a bug planted in whatever this thread runs.
    pub(crate) fn with_planted<T>(bug: Planted, run: impl FnOnce() -> T) -> T {
        struct Unplant;
        impl Drop for Unplant {
            fn drop(&mut self) {
                PLANTED.set(None);
            }
        }
        PLANTED.set(Some(bug));
        let _unplant = Unplant;
        run()
    }
}
