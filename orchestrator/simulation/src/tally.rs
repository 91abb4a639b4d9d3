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
    /// Calls that failed before anything was sent.
    unreachable "calls to a closed port"
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
    /// Of these with 200 and JSON.
    json_strangers "answers of strangers, in JSON"
    /// Answers of a participant to another transaction.
    other_replies "answers to another transaction"
    /// Answers that named a time to come back.
    retry_afters "answers with Retry-After"
    /// Refusals with characters that the log does not take.
    hostile_texts "refusals with hostile text"
    /// Participants killed before they committed.
    participant_crashes "participants killed"
    /// Calls that were not sent, since the circuit breaker was open.
    parked "calls parked by a breaker"
    /// Calls that waited for another call of their node to end.
    waited_in_line "calls that waited in line"
    /// Times when nothing of a participant could be reached.
    participant_outages "outages of a participant"
    /// Times when one operation of a participant answered 503.
    operation_outages "outages of an operation"
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
    /// Single actors of sagas or of recovery that were killed.
    actor_deaths "single actors killed"
    /// Coordinators that were killed.
    coordinator_deaths "coordinators killed"
    /// Times when one node could not reach the database or a participant.
    partitions "partitions"
    /// Times when no node could reach the database.
    database_outages "outages of the saga log"
    /// Runs in which each node and the database have clocks of their own.
    skewed_clocks "runs with skewed clocks"
    /// Clocks of nodes or of the database that jumped.
    clock_jumps "jumps of clocks"
    /// Sagas claimed by another process than the one that had them.
    takeovers "sagas taken over"
    /// Sagas that woke at their own node.
    wakes "sagas woken"
    /// Writes to the log.
    writes "writes to the log"
    /// Writes that failed, and nothing was written.
    failed_writes "writes that failed"
    /// Writes of which nobody knew whether they were there.
    in_doubt "writes in doubt"
    /// Writes in doubt that committed later.
    late_commits "writes committed late"
    /// Writes of which the log refused a value.
    rejected_writes "writes with a refused value"
    /// Writes for which the queue of the saga log was full.
    log_queue_full "writes at a full queue"
    /// Looks at the log whose answer was lost.
    lost_looks "looks whose answer was lost"
    /// Looks at the log that failed between two statements.
    cut_looks "looks cut short"
    /// Looks that filled a batch.
    full_batches "looks with a full batch"
    /// Rows that cannot be read.
    bad_rows "rows that cannot be read"
    /// Writes that were refused because another owner has the saga.
    refused_writes "writes refused to a former owner"
    /// Sagas marked FAILED.
    failed_marks "sagas marked FAILED"
    /// Cancels that were accepted.
    cancels "cancels accepted"
    /// Clients that found their key held by a saga.
    keys_joined "keys that met their saga"
    /// Orders that were turned away since too many sagas ran.
    overloaded "orders turned away"
    /// Clients whose answer only the row could give.
    asked_the_row "clients answered by the row"
    /// Clients that were told 503 with an id.
    in_doubt_told "clients told of a doubt"
    /// Status requests.
    status_asked "status requests"
    /// Of these answered with 404.
    not_found "status requests with 404"
    /// Runs with the smallest knobs.
    small_knobs "runs with small knobs"
    /// Runs with hundreds of sagas.
    crowds "runs with hundreds of sagas"
    /// Runs in which nodes knew different definitions.
    mixed_versions "runs with mixed versions"
    /// Runs with an operator.
    operators "runs with an operator"
    /// Runs that keep keys for seconds.
    short_retentions "runs with a short retention"
    /// Keys that were released.
    keys_released "keys released"
    /// Keys that their clients repeated around the end of the retention.
    keys_repeated "keys repeated around their release"
    /// Sagas that began under a released key.
    keys_used_again "keys used again after their release"
}
