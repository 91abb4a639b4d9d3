//! What runs went through, so that nobody takes an idle simulator for a proof.

use std::ops::AddAssign;

use serde::Serialize;

macro_rules! tally {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal)+) => {
        /// How often what happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Tally {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Tally) {
                $(self.$name += other.$name;)+
            }
        }

        impl Tally {
            /// Returns every count with what it counts, for people.
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$name),)+]
            }
        }
    };
}

tally! {
    /// Sagas that are in the log.
    sagas "sagas accepted"
    /// Of these COMPLETED.
    completed "completed"
    /// Of these COMPENSATED.
    compensated "compensated"
    /// Calls to participants.
    calls "calls to participants"
    /// Decisions of participants against an action.
    refusals "refusals"
    /// Requests that never arrived.
    lost_requests "requests lost"
    /// Work done whose reply was lost.
    lost_replies "replies lost"
    /// Requests that arrived twice.
    duplicates "requests duplicated"
    /// Replies that came when nobody waited for them any more.
    late_replies "replies too late"
    /// Answers of something in a participant's place.
    strangers "answers of strangers"
    /// Participants killed before they committed.
    participant_crashes "participants killed"
    /// Calls that were not sent, since the circuit breaker was open.
    parked "calls parked by a breaker"
    /// Actions forbidden before they ran.
    tombstones_left "tombstones left"
    /// Actions that found a tombstone or their own undoing.
    tombstones_hit "tombstones hit"
    /// Decisions given again from a journal.
    replays "decisions replayed"
    /// Orchestrators killed.
    crashes "orchestrators killed"
    /// Orchestrators stopped for a while.
    pauses "orchestrators paused"
    /// Orchestrators whose name another process took.
    superseded "orchestrators superseded"
    /// Sagas claimed by another process than the one that had them.
    takeovers "sagas taken over"
    /// Sagas that woke at their own node.
    wakes "sagas woken"
    /// Writes to the log.
    writes "writes to the log"
    /// Writes of which nobody knew whether they were there.
    in_doubt "writes in doubt"
    /// Writes that were refused because another owner has the saga.
    refused_writes "writes refused to a former owner"
    /// Sagas marked FAILED.
    failed_marks "sagas marked FAILED"
    /// Cancels that were accepted.
    cancels "cancels accepted"
    /// Clients that found their key held by a saga.
    keys_joined "keys that met their saga"
}
