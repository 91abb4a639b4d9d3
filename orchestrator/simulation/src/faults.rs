//! How often what goes wrong in a run: read from a TOML file, or the mix that finds most.
//!
//! One table: a fault is one line of it. The rate 0 switches a fault off, and then it draws nothing, so that the other
//! faults of a seed stay as they were.

use serde::Deserialize;
use thiserror::Error;

/// The longest time in a mix, in milliseconds.
const MAX_MS: u64 = 600_000;
/// The largest number of events of one kind in a run.
const MAX_EVENTS: u32 = 100;

macro_rules! faults {
    (
        rates { $($(#[doc = $rate_doc:literal])+ $rate:ident = $rate_default:literal;)+ }
        counts { $($(#[doc = $count_doc:literal])+ $count:ident = $count_default:literal;)+ }
        times { $($(#[doc = $time_doc:literal])+ $time:ident = $time_default:literal;)+ }
    ) => {
        /// The mix. Rates are probabilities from 0 to 1, of each call, write or look, or of a run; every seed scales them by
        /// an intensity of its own, so that there are quiet runs and wild ones. Counts are the most events in a run.
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
            /// Nothing goes wrong.
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
        /// A participant decides against an action.
        refusal_rate = 0.12;
        /// A request is lost on its way.
        lost_request_rate = 0.03;
        /// The work is done and its reply lost.
        lost_reply_rate = 0.05;
        /// A request arrives twice.
        duplicate_rate = 0.05;
        /// A request or a reply is late, by up to `late_ms`, and overtaken by others.
        late_rate = 0.05;
        /// Nobody listens: the call fails before anything is sent.
        unreachable_rate = 0.03;
        /// 503 before the work.
        unavailable_rate = 0.04;
        /// Of these, how many name a time to come back, from sensible ones to years.
        retry_after_rate = 0.3;
        /// Something between the two answers in the participant's place, before or after the work.
        stranger_rate = 0.03;
        /// The same, with JSON and 200.
        json_stranger_rate = 0.02;
        /// The answer is a participant's own, to another transaction.
        other_reply_rate = 0.02;
        /// What a participant says of a refusal has characters that the log does not take.
        hostile_text_rate = 0.2;
        /// The participant dies before or after its commit.
        participant_crash_rate = 0.02;
        /// The saga log's connection goes before a commit: nothing is written.
        failed_write_rate = 0.02;
        /// It goes during a commit: it is not known whether that took place.
        write_in_doubt_rate = 0.04;
        /// Of these, how many commit seconds later.
        late_commit_rate = 0.2;
        /// The log refuses a value of the write.
        rejected_write_rate = 0.005;
        /// The orchestrator is killed right before or right after a commit.
        crash_at_write_rate = 0.04;
        /// The orchestrator is stopped right before a commit, for up to `pause_ms`, and goes on.
        pause_at_write_rate = 0.04;
        /// A look at the log fails between two of its statements: claims that were made stay.
        look_cut_rate = 0.03;
        /// The row of a saga cannot be read.
        bad_row_rate = 0.005;
        /// A single actor dies, as it writes, calls or looks.
        actor_death_rate = 0.002;
        /// Of the orchestrators that are stopped, how many are replaced meanwhile by a process with the same name.
        twin_rate = 0.3;
        /// Clients that cancel.
        cancel_rate = 0.15;
        /// Clients that send an `Idempotency-Key` and repeat what was not answered.
        key_rate = 0.3;
        /// Clients that do not wait.
        async_rate = 0.2;
        /// Clients that ask for the status meanwhile, at any replica.
        status_rate = 0.2;
        /// Runs in which batches, claims, queues and admission are as small as they may be.
        small_knobs_rate = 0.15;
        /// Runs that keep a key only for seconds after its saga's end, with clients that repeat it before and after.
        short_retention_rate = 0.2;
        /// Runs with hundreds of sagas.
        crowd_rate = 0.003;
        /// Runs in which some nodes know a definition that others do not, until all are replaced.
        mixed_versions_rate = 0.15;
        /// Runs in which an operator has everything tried again that stands in the attention list.
        operator_rate = 0.5;
    }
    counts {
        /// Orchestrators that are killed at any time, at most.
        crashes = 2;
        /// Orchestrators that are stopped for up to `pause_ms` and go on, at most.
        pauses = 2;
        /// Outages of the saga log's database, at most, each up to `outage_ms`.
        database_outages = 1;
        /// Outages of one participant, at most, each up to `outage_ms`.
        participant_outages = 1;
        /// Outages of one operation of a participant, at most, each up to `outage_ms`.
        operation_outages = 1;
        /// Times when one orchestrator cannot reach the database or one participant, each up to `outage_ms`.
        partitions = 1;
        /// Coordinators that die, at most, and with them the actors of their sagas.
        coordinator_deaths = 1;
        /// Jumps of the clock of a node or of the database, at most, each up to `clock_jump_ms`, either way.
        clock_jumps = 1;
    }
    times {
        /// How late a request or a reply is at most, in milliseconds.
        late_ms = 15_000;
        /// How long an orchestrator is stopped at most, in milliseconds.
        pause_ms = 15_000;
        /// How long an outage lasts at most, in milliseconds.
        outage_ms = 8_000;
        /// How far each node's clock and the database's are off at most, in milliseconds, either way.
        clock_skew_ms = 600_000;
        /// How far a clock jumps at most, in milliseconds.
        clock_jump_ms = 30_000;
        /// When all of it stops, in milliseconds of the run.
        calm_after_ms = 25_000;
    }
}

/// Why a mix cannot be used.
#[derive(Debug, Error)]
pub enum FaultsError {
    /// It is no TOML, or has keys that do not exist.
    #[error("{0}")]
    Unreadable(#[from] toml::de::Error),
    /// A rate is no probability.
    #[error("{0} must be from 0 to 1")]
    NoProbability(&'static str),
    /// A time is too long for a run.
    #[error("{0} must be at most {MAX_MS} ms")]
    TooLong(&'static str),
    /// Too many of something for a run.
    #[error("{0} must be at most {MAX_EVENTS}")]
    TooMany(&'static str),
}

impl Faults {
    /// Reads a mix; what it does not name is as in [`Faults::default`].
    ///
    /// # Errors
    /// [`FaultsError`] says what is wrong with it.
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
