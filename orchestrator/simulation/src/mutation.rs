//! Mutations of the protocol that the simulator must catch. They exist in test builds only; in other
//! builds [`is_mutated`] is a constant, and the code behind it is compiled away.
//!
//! A mutation that no invariant catches is a hole in the simulator. If two guards protect the same property, the bug
//! switches off both; its doc names the second.

/// A mutation. `tests::mutation` lists the invariant that each one breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A compensation that finds no action leaves no tombstone.
    SkipTombstone,
    /// A refused action that is repeated is decided again.
    TossAgain,
    /// A participant repeats an action that it has done.
    ForgetJournal,
    /// A retry carries another transaction id.
    RetryWithoutKey,
    /// A payment is refunded only if its id is known.
    RefundOnlyIfKnown,
    /// The saga log accepts writes of any owner and epoch.
    WriteWithoutEpoch,
    /// A claim does not raise the epoch. Second guard, off: the log also checks the owner's incarnation.
    ClaimWithoutEpoch,
    /// The client is answered before `end` is durable.
    AnswerBeforeEnd,
    /// An undo that was not confirmed counts as done.
    CompensatedUnconfirmed,
    /// A recovered saga continues under a new id.
    NewIdAfterTakeover,
    /// A recovered saga assumes that its last compensable step was not done.
    ForgetOneCompensation,
    /// Compensations are sent before the turn is durable. Second guard, off: an undone action is refused when repeated.
    CompensateBeforeTurn,
    /// A recovered saga that had turned back runs forward. Second guards, off: an undone action is refused when repeated,
    /// and COMPLETED needs a row that runs forward.
    ForwardAfterTurn,
    /// Any 404 or 409 counts as a refusal.
    AnyConflictRefuses,
    /// A step counts as not done if its last attempt was not sent.
    LastAttemptCounts,
    /// Actions with an effect are sent before `begin` is durable.
    EffectBeforeBegin,
    /// Compensations run in the order of the steps. Second guard, off: the log forbids it.
    CompensateInOrder,
    /// COMPLETED is written despite an accepted cancel.
    IgnoreCancel,
    /// A confirmed undo shows its step as undone, even if it found no action.
    UndoneWhateverWasFound,
    /// A recovered saga shows its steps as if no earlier owner had called any of them.
    ForgetEarlierOwners,
    /// Any JSON with a `status` confirms an undo.
    AnyJsonConfirms,
    /// Rows without an actor are never searched for.
    NoSearchForOrphans,
    /// A claim counts as a death of the saga's actor, so a saga that was claimed too often is no longer claimed.
    ClaimsPoison,
    /// One row that cannot be read fails the whole claim.
    BadRowFailsAll,
    /// All operations of a participant share a circuit breaker.
    OneBreakerForAll,
    /// An id that the log does not hold is answered with 404 at once.
    NotFoundAtOnce,
    /// The end of a saga is dated by the clock of its node.
    EndedByNodeClock,
    /// A renewal whose answer is lost counts as granted.
    LostRenewalCounts,
    /// A lease counts from the answer to its renewal.
    LeaseFromAnswer,
    /// Actions are called without a lease.
    ActionWithoutLease,
    /// A hold on all sagas does not end the lease.
    IgnoreHold,
    /// A participant repeats a decision from a row that its standby does not have.
    ReplayWithoutBarrier,
    /// A write that changed nothing is judged by a row that the standby does not have.
    VerdictWithoutBarrier,
    /// The status of a row that the standby does not have is reported.
    StatusWithoutBarrier,
    /// A commit counts although its standby does not have it.
    CommitWithoutStandby,
    /// A step that comes after several is called without waiting for one of them.
    StepTooEarly,
    /// Calls in flight of a saga that turns back are taken for unknown at once, and their steps undone.
    CallsInFlightForgotten,
    /// The start of a step is not recorded although its participant has no tombstones.
    StartNotRecorded,
    /// The steps beside a refused one count as undone.
    SiblingsForgotten,
    /// A step that comes after several gets the outputs of all but one.
    BranchOutputsLost,
    /// Any number of calls is in flight at once.
    MaxParallelIgnored,
    /// A begin that is repeated after an unknown result looks like a new one.
    RepeatedBeginLooksNew,
    /// Control: leases are ignored. Correctness does not depend on them.
    IgnoreLease,
    /// Control: an undone action that is repeated gets its first reply. It has no effect, and its saga has turned back.
    UndoneActionReplays,
}

#[cfg(test)]
pub(crate) use switch::{is_mutated, with_mutation};

/// Tells whether this mutation is on: never, outside tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn is_mutated(_: Mutation) -> bool {
    false
}

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    pub(crate) fn is_mutated(bug: Mutation) -> bool {
        ACTIVE.get() == Some(bug)
    }

    /// Calls `run` with a mutation in everything that this thread runs.
    pub(crate) fn with_mutation<T>(bug: Mutation, run: impl FnOnce() -> T) -> T {
        struct Deactivate;
        impl Drop for Deactivate {
            fn drop(&mut self) {
                ACTIVE.set(None);
            }
        }
        ACTIVE.set(Some(bug));
        let _deactivate = Deactivate;
        run()
    }
}
