//! Counts of the events of runs, to show that the simulator did exercise the faults.

use std::ops::AddAssign;

use serde::Serialize;

macro_rules! tally {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal)+) => {
        /// Counts of the events of one or more runs.
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
            /// Returns every count with its label, for display.
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$name),)+]
            }
        }
    };
}

tally! {
    /// Sagas that are in the log.
    sagas "sagas accepted"
    /// Sagas that are COMPLETED.
    completed "completed"
    /// Sagas that are COMPENSATED.
    compensated "compensated"
    /// Calls to participants.
    calls "calls to participants"
    /// Refusals of actions by participants.
    refusals "refusals"
    /// Calls that failed before anything was sent.
    unreachable "calls to a closed port"
    /// Requests that never arrived.
    lost_requests "requests lost"
    /// Replies that were lost after the work was done.
    lost_replies "replies lost"
    /// Requests that arrived twice.
    duplicates "requests duplicated"
    /// Replies that came after the call had an answer.
    late_replies "replies too late"
    /// Replies of an intermediary in a participant's place.
    intermediaries "answers of intermediaries"
    /// Replies of an intermediary with 200 and JSON.
    json_intermediaries "answers of intermediaries, in JSON"
    /// Replies of a participant to another transaction.
    other_replies "answers to another transaction"
    /// Replies with `Retry-After`.
    retry_afters "answers with Retry-After"
    /// Refusals with characters that the log refuses.
    hostile_texts "refusals with hostile text"
    /// Participants killed before they committed.
    participant_crashes "participants killed"
    /// Calls that were not sent, since the circuit breaker was open.
    parked "calls parked by a breaker"
    /// Calls that waited in their node's queue to the participant.
    waited_in_line "calls that waited in line"
    /// Outages of a participant.
    participant_outages "outages of a participant"
    /// Outages of one operation of a participant, which answered 503.
    operation_outages "outages of an operation"
    /// Tombstones that compensations left.
    tombstones_left "tombstones left"
    /// Actions that found a tombstone or their own compensation.
    tombstones_hit "tombstones hit"
    /// Replies repeated from a journal.
    replays "decisions replayed"
    /// Orchestrators killed.
    crashes "orchestrators killed"
    /// Orchestrators paused.
    pauses "orchestrators paused"
    /// Orchestrators whose node id another process took.
    superseded "orchestrators superseded"
    /// Single actors of sagas or recovery that were killed.
    actor_deaths "single actors killed"
    /// Coordinators that were killed.
    coordinator_deaths "coordinators killed"
    /// Partitions of one process from the database or a participant.
    partitions "partitions"
    /// Outages of the saga log's database.
    database_outages "outages of the saga log"
    /// Standbys that were cut off.
    standby_cuts "standbys cut off"
    /// Standbys that took over.
    failovers "failovers"
    /// Sagas that were in the log and that its standby did not have.
    rows_lost "sagas lost at failovers"
    /// Commits and barriers that no standby confirmed.
    unconfirmed "commits without a standby"
    /// Runs in which the clocks of the nodes and the database differ.
    skewed_clocks "runs with skewed clocks"
    /// Clocks of nodes or of the database that jumped.
    clock_jumps "jumps of clocks"
    /// Claims of sagas by a process that did not own them.
    takeovers "sagas taken over"
    /// Claims of sagas by the process that owned them.
    wakes "sagas woken"
    /// Writes to the log.
    writes "writes to the log"
    /// Writes that failed, and nothing was written.
    failed_writes "writes that failed"
    /// Writes that were reported as in doubt.
    in_doubt "writes in doubt"
    /// Writes in doubt that committed after their report.
    late_commits "writes committed late"
    /// Writes with a value that the log refused.
    rejected_writes "writes with a refused value"
    /// Writes that found the saga log's queue full.
    log_queue_full "writes at a full queue"
    /// Looks at the log whose answer was lost.
    lost_looks "looks whose answer was lost"
    /// Looks at the log that failed between two statements.
    cut_looks "looks cut short"
    /// Looks that must be followed by another at once.
    full_batches "looks with a full batch"
    /// Renewals of leases with a late answer.
    slow_renewals "renewals answered late"
    /// Holds on all sagas.
    holds "holds on all sagas"
    /// Rows that cannot be read.
    bad_rows "rows that cannot be read"
    /// Writes that were refused because the saga has another owner.
    refused_writes "writes refused to a former owner"
    /// Sagas marked FAILED.
    failed_marks "sagas marked FAILED"
    /// Cancels that were accepted.
    cancels "cancels accepted"
    /// Orders that found their key held by another saga.
    keys_joined "keys that met their saga"
    /// Orders refused because too many sagas ran.
    overloaded "orders turned away"
    /// Clients that were answered from the row.
    asked_the_row "clients answered by the row"
    /// Clients that got a 503 with an id.
    in_doubt_told "clients told of a doubt"
    /// Status requests.
    status_asked "status requests"
    /// Status requests answered with 404.
    not_found "status requests with 404"
    /// Runs with the smallest knobs.
    small_knobs "runs with small knobs"
    /// Runs with hundreds of sagas.
    crowds "runs with hundreds of sagas"
    /// Runs in which nodes may know different definitions.
    mixed_versions "runs with mixed versions"
    /// Runs with an operator.
    operators "runs with an operator"
    /// Runs that keep keys for seconds.
    short_retentions "runs with a short retention"
    /// Keys that were released.
    keys_released "keys released"
    /// Orders repeated with their key around the end of the retention.
    keys_repeated "keys repeated around their release"
    /// Sagas that began under a released key.
    keys_used_again "keys used again after their release"
}
