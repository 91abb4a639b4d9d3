//! The mix of faults of a run: read from a TOML file, or the default mix, which finds most.
//!
//! The mix is one table with a line for each fault. A fault with the rate 0 draws no random number, so the other faults
//! of the seed stay the same.

use serde::Deserialize;
use thiserror::Error;

/// Maximum of a time in a mix, in milliseconds.
const MAX_MS: u64 = 600_000;
/// Maximum number of events of one kind in a run.
const MAX_EVENTS: u32 = 100;

macro_rules! faults {
    (
        rates { $($(#[doc = $rate_doc:literal])+ $rate:ident = $rate_default:literal;)+ }
        counts { $($(#[doc = $count_doc:literal])+ $count:ident = $count_default:literal;)+ }
        times { $($(#[doc = $time_doc:literal])+ $time:ident = $time_default:literal;)+ }
    ) => {
        /// A mix of faults. Rates are probabilities from 0 to 1, for each call, write, look, client or run. A seed
        /// scales the rates of the network and the log, and the counts, by factors of its own from 0 to 4, so that some
        /// runs are quiet and some wild. Counts are maximum numbers of events in a run, before that scaling.
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Faults {
            $($(#[doc = $rate_doc])+ pub $rate: f64,)+
            $($(#[doc = $count_doc])+ pub $count: u32,)+
            $($(#[doc = $time_doc])+ pub $time: u64,)+
        }

        impl Default for Faults {
            fn default() -> Faults {
                Faults {
                    $($rate: $rate_default,)+
                    $($count: $count_default,)+
                    $($time: $time_default,)+
                }
            }
        }

        impl Faults {
            /// Returns a mix without faults.
            pub fn none() -> Faults {
                Faults { $($rate: 0.0,)+ $($count: 0,)+ clock_skew_ms: 0, calm_after_ms: 1_000, ..Faults::default() }
            }

            fn check(&self) -> Result<(), FaultsError> {
                $(if !(0.0..=1.0).contains(&self.$rate) {
                    return Err(FaultsError::NoProbability(stringify!($rate)));
                })+
                $(if self.$count > MAX_EVENTS {
                    return Err(FaultsError::TooMany(stringify!($count)));
                })+
                $(if self.$time > MAX_MS {
                    return Err(FaultsError::TooLong(stringify!($time)));
                })+
                Ok(())
            }
        }
    };
}

faults! {
    rates {
        /// A participant refuses an action.
        refusal_rate = 0.12;
        /// A request is lost.
        lost_request_rate = 0.03;
        /// The work is done and its reply is lost.
        lost_reply_rate = 0.05;
        /// A request arrives twice.
        duplicate_rate = 0.05;
        /// A request or a reply is delayed by up to `late_ms`, so that others overtake it.
        late_rate = 0.05;
        /// The connection is refused: the call fails before anything is sent.
        unreachable_rate = 0.03;
        /// The participant replies 503 before the work.
        unavailable_rate = 0.04;
        /// Share of these with `Retry-After`, from a second to centuries, or invalid.
        retry_after_rate = 0.3;
        /// An intermediary replies in the participant's place, before or after the work.
        intermediary_rate = 0.03;
        /// An intermediary replies with 200 and JSON.
        json_intermediary_rate = 0.02;
        /// The reply is the participant's, but to another transaction.
        other_reply_rate = 0.02;
        /// The text of a refusal has characters that the log refuses.
        hostile_text_rate = 0.2;
        /// The participant dies before or after its commit.
        participant_crash_rate = 0.02;
        /// The connection to the saga log is lost before a commit: nothing is written.
        failed_write_rate = 0.02;
        /// The connection is lost during a commit: the write is in doubt.
        write_in_doubt_rate = 0.04;
        /// Share of these that commit up to 20 seconds later.
        late_commit_rate = 0.2;
        /// The log refuses a value of the write.
        rejected_write_rate = 0.005;
        /// The orchestrator is killed right before or right after a commit.
        crash_at_write_rate = 0.04;
        /// The orchestrator is paused right before a commit, for up to `pause_ms`.
        pause_at_write_rate = 0.04;
        /// A look at the log fails between two of its statements: earlier claims stay.
        look_cut_rate = 0.03;
        /// The answer to a renewal of a lease takes up to `late_ms`.
        slow_renewal_rate = 0.03;
        /// The row of a saga cannot be read.
        bad_row_rate = 0.005;
        /// A single actor dies as it writes, calls or looks.
        actor_death_rate = 0.002;
        /// Share of the paused orchestrators that are replaced meanwhile by a process with the same node id.
        twin_rate = 0.3;
        /// Clients that cancel.
        cancel_rate = 0.15;
        /// Clients that send an `Idempotency-Key` and repeat an order without an answer.
        key_rate = 0.3;
        /// Clients that do not wait for the end.
        async_rate = 0.2;
        /// Clients that request the status meanwhile, from any replica.
        status_rate = 0.2;
        /// Runs with very small limits of batches, claims, queues and admission.
        small_knobs_rate = 0.15;
        /// Runs with a key retention of seconds, whose clients repeat their key before and after its release.
        short_retention_rate = 0.2;
        /// Runs with hundreds of sagas.
        crowd_rate = 0.003;
        /// Runs in which some nodes lack a definition that others know, until they are replaced.
        mixed_versions_rate = 0.15;
        /// Runs in which an operator requests retries of the sagas on the attention list.
        operator_rate = 0.5;
        /// Share of the cut-off standbys that take over.
        take_over_rate = 0.5;
        /// Runs in which an operator puts all sagas on hold for up to `pause_ms`.
        hold_rate = 0.15;
    }
    counts {
        /// Orchestrators killed at any time.
        crashes = 2;
        /// Orchestrators paused for up to `pause_ms`.
        pauses = 2;
        /// Outages of the saga log's database, each up to `outage_ms`.
        database_outages = 1;
        /// Outages of one participant, each up to `outage_ms`.
        participant_outages = 1;
        /// Outages of one operation of a participant, each up to `outage_ms`.
        operation_outages = 1;
        /// Partitions of one orchestrator from the database or one participant, each up to `outage_ms`.
        partitions = 1;
        /// Cuts of the saga log's database from its standby, each up to `outage_ms`.
        log_standby_cuts = 1;
        /// Cuts of a participant's database from its standby, each up to `outage_ms`.
        participant_standby_cuts = 1;
        /// Coordinators killed, and with them the actors of their sagas.
        coordinator_deaths = 1;
        /// Jumps of the clock of a node or of the database, each up to `clock_jump_ms`, either way.
        clock_jumps = 1;
    }
    times {
        /// Maximum delay of a request or a reply, in milliseconds.
        late_ms = 15_000;
        /// Maximum pause of an orchestrator, in milliseconds.
        pause_ms = 15_000;
        /// Maximum duration of an outage, in milliseconds.
        outage_ms = 8_000;
        /// Maximum skew of each node's clock and of the database's, in milliseconds, either way.
        clock_skew_ms = 600_000;
        /// Maximum jump of a clock, in milliseconds.
        clock_jump_ms = 30_000;
        /// Time of the run from which no more faults happen, in milliseconds.
        calm_after_ms = 25_000;
    }
}

/// Why a mix cannot be used.
#[derive(Debug, Error)]
pub enum FaultsError {
    /// The text is not TOML, or has unknown keys.
    #[error("{0}")]
    Unreadable(#[from] toml::de::Error),
    /// A rate is not a probability.
    #[error("{0} must be from 0 to 1")]
    NoProbability(&'static str),
    /// A time is longer than the maximum.
    #[error("{0} must be at most {MAX_MS} ms")]
    TooLong(&'static str),
    /// A count is larger than the maximum.
    #[error("{0} must be at most {MAX_EVENTS}")]
    TooMany(&'static str),
}

impl Faults {
    /// Reads a mix; faults that the text does not name are as in [`Faults::default`].
    ///
    /// # Errors
    /// [`FaultsError`], if the text cannot be read or a value is out of range.
    pub fn from_toml(text: &str) -> Result<Faults, FaultsError> {
        let faults: Faults = toml::from_str(text)?;
        faults.check()?;
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_what_it_changes() {
        let faults = Faults::from_toml("lost_reply_rate = 0.5\ncrashes = 0").unwrap();
        assert_eq!(faults, Faults { lost_reply_rate: 0.5, crashes: 0, ..Faults::default() });
    }

    #[test]
    fn a_typo_or_a_rate_above_one_is_refused_by_name() {
        for (text, expected) in [
            ("lost_replies = 0.5", "lost_replies"),
            ("late_rate = 1.5", "late_rate must be from 0 to 1"),
            ("late_rate = nan", "late_rate must be from 0 to 1"),
            ("pause_ms = 600001", "pause_ms must be at most 600000 ms"),
            ("crashes = 101", "crashes must be at most 100"),
        ] {
            let said = Faults::from_toml(text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
