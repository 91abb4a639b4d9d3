//! How often what goes wrong in a run: read from a TOML file, or the mix that finds most.

use serde::Deserialize;
use thiserror::Error;

/// The mix. Rates are probabilities from 0 to 1, of each call or write; every seed scales them by an intensity of its own,
/// so that there are quiet runs and wild ones.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// A participant decides against an action.
    pub refusal_rate: f64,
    /// A request is lost on its way.
    pub lost_request_rate: f64,
    /// The work is done and its reply lost.
    pub lost_reply_rate: f64,
    /// A request arrives twice.
    pub duplicate_rate: f64,
    /// A request or a reply is late, by up to `late_ms`, and overtaken by others.
    pub late_rate: f64,
    /// How late, in milliseconds.
    pub late_ms: u64,
    /// Nobody listens: the call fails before anything is sent.
    pub unreachable_rate: f64,
    /// 503 before the work.
    pub unavailable_rate: f64,
    /// Something between the two answers in the participant's place, before or after the work.
    pub stranger_rate: f64,
    /// The participant dies before or after its commit.
    pub participant_crash_rate: f64,
    /// The saga log's connection goes before a commit: nothing is written.
    pub failed_write_rate: f64,
    /// It goes during a commit: nobody knows.
    pub write_in_doubt_rate: f64,
    /// The orchestrator is killed right before or right after a commit.
    pub crash_at_write_rate: f64,
    /// The orchestrator is stopped right before a commit, for up to `pause_ms`, and goes on.
    pub pause_at_write_rate: f64,
    /// Orchestrators that are killed at any time, at most.
    pub crashes: u32,
    /// Orchestrators that are stopped for up to `pause_ms` and go on, at most.
    pub pauses: u32,
    /// How long, in milliseconds.
    pub pause_ms: u64,
    /// Of those that are stopped, how many are replaced meanwhile by a process with the same name.
    pub twin_rate: f64,
    /// Outages of the saga log's database, at most, each up to `outage_ms`.
    pub database_outages: u32,
    /// Outages of one participant, at most, each up to `outage_ms`.
    pub participant_outages: u32,
    /// How long, in milliseconds.
    pub outage_ms: u64,
    /// Clients that cancel.
    pub cancel_rate: f64,
    /// Clients that send an `Idempotency-Key` and repeat what was not answered.
    pub key_rate: f64,
    /// Clients that do not wait.
    pub async_rate: f64,
    /// When all of it stops, in milliseconds of the run.
    pub calm_after_ms: u64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            refusal_rate: 0.12,
            lost_request_rate: 0.03,
            lost_reply_rate: 0.05,
            duplicate_rate: 0.05,
            late_rate: 0.05,
            late_ms: 15_000,
            unreachable_rate: 0.03,
            unavailable_rate: 0.04,
            stranger_rate: 0.03,
            participant_crash_rate: 0.02,
            failed_write_rate: 0.02,
            write_in_doubt_rate: 0.04,
            crash_at_write_rate: 0.04,
            pause_at_write_rate: 0.04,
            crashes: 2,
            pauses: 2,
            pause_ms: 15_000,
            twin_rate: 0.3,
            database_outages: 1,
            participant_outages: 1,
            outage_ms: 8_000,
            cancel_rate: 0.15,
            key_rate: 0.3,
            async_rate: 0.2,
            calm_after_ms: 25_000,
        }
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

/// As long as anything in a run may last, in milliseconds.
const MAX_MS: u64 = 600_000;
/// As often as anything may happen in a run by itself.
const MAX_EVENTS: u32 = 100;

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Faults {
        Faults {
            refusal_rate: 0.0,
            lost_request_rate: 0.0,
            lost_reply_rate: 0.0,
            duplicate_rate: 0.0,
            late_rate: 0.0,
            unreachable_rate: 0.0,
            unavailable_rate: 0.0,
            stranger_rate: 0.0,
            participant_crash_rate: 0.0,
            failed_write_rate: 0.0,
            write_in_doubt_rate: 0.0,
            crash_at_write_rate: 0.0,
            pause_at_write_rate: 0.0,
            crashes: 0,
            pauses: 0,
            twin_rate: 0.0,
            database_outages: 0,
            participant_outages: 0,
            cancel_rate: 0.0,
            key_rate: 0.0,
            async_rate: 0.0,
            calm_after_ms: 1_000,
            ..Faults::default()
        }
    }

    /// Reads a mix; what it does not name is as in [`Faults::default`].
    ///
    /// # Errors
    /// [`FaultsError`] says what is wrong with it.
    pub fn from_toml(text: &str) -> Result<Faults, FaultsError> {
        let faults: Faults = toml::from_str(text)?;
        faults.check()?;
        Ok(faults)
    }

    fn check(&self) -> Result<(), FaultsError> {
        let rates = [
            ("refusal_rate", self.refusal_rate),
            ("lost_request_rate", self.lost_request_rate),
            ("lost_reply_rate", self.lost_reply_rate),
            ("duplicate_rate", self.duplicate_rate),
            ("late_rate", self.late_rate),
            ("unreachable_rate", self.unreachable_rate),
            ("unavailable_rate", self.unavailable_rate),
            ("stranger_rate", self.stranger_rate),
            ("participant_crash_rate", self.participant_crash_rate),
            ("failed_write_rate", self.failed_write_rate),
            ("write_in_doubt_rate", self.write_in_doubt_rate),
            ("crash_at_write_rate", self.crash_at_write_rate),
            ("pause_at_write_rate", self.pause_at_write_rate),
            ("twin_rate", self.twin_rate),
            ("cancel_rate", self.cancel_rate),
            ("key_rate", self.key_rate),
            ("async_rate", self.async_rate),
        ];
        if let Some((name, _)) = rates.into_iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            return Err(FaultsError::NoProbability(name));
        }
        let times = [
            ("late_ms", self.late_ms),
            ("pause_ms", self.pause_ms),
            ("outage_ms", self.outage_ms),
            ("calm_after_ms", self.calm_after_ms),
        ];
        if let Some((name, _)) = times.into_iter().find(|(_, time)| *time > MAX_MS) {
            return Err(FaultsError::TooLong(name));
        }
        let counts = [
            ("crashes", self.crashes),
            ("pauses", self.pauses),
            ("database_outages", self.database_outages),
            ("participant_outages", self.participant_outages),
        ];
        match counts.into_iter().find(|(_, count)| *count > MAX_EVENTS) {
            Some((name, _)) => Err(FaultsError::TooMany(name)),
            None => Ok(()),
        }
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
