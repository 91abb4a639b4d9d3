//! The shares of outcomes that follow from the failure settings in force.
//!
//! A refusal is drawn once for each purchase and recorded, so the refusal rates alone give the share of each outcome as
//! long as every call is answered in the end. A call without an answer is repeated. Whether the repeats run out depends on
//! the attempts, circuit breakers and deadline of the orchestrator, which are not computed here: once a purchase ended that
//! way while the settings leave calls without an answer, no share is expected. Under other settings such an end is a
//! finding: its expected share is 0.

use std::{collections::BTreeMap, time::Duration};

use common::faults::OperationFaults;

/// The participants that may refuse, in the order of the saga, each with its refusable operation.
pub(crate) const REFUSING: [(&str, &str); 3] =
    [("payments", "charge"), ("inventory", "decrease"), ("purchases", "create")];

/// The failure settings in force: participant → operation → faults.
pub(super) type Faults = BTreeMap<&'static str, BTreeMap<String, OperationFaults>>;

/// The configured refusal rate of a participant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RefusalRate {
    pub(super) participant: &'static str,
    pub(super) rate: f64,
}

/// The expectation for a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expectation {
    /// The shares that these rates give, in the order of the saga.
    Refusals {
        rates: Vec<RefusalRate>,
        /// The settings that leave calls without an answer, such as "payments charge loses replies".
        unanswered: Vec<String>,
    },
    /// No shares, for this reason.
    Nothing(String),
}

impl Expectation {
    /// Compares the settings read before the run with those read after it. A call that takes `call_limit` or longer counts
    /// as one without an answer.
    pub(super) fn of(before: Result<Faults, String>, after: Result<Faults, String>, call_limit: Duration) -> Self {
        let (before, after) = match (before, after) {
            (Ok(before), Ok(after)) => (before, after),
            (Err(reason), _) | (_, Err(reason)) => {
                return Self::Nothing(format!("the failure rates in force cannot be read: {reason}"));
            }
        };
        if before != after {
            return Self::Nothing("the failure settings were changed during the run".to_owned());
        }
        let mut rates = Vec::new();
        for (participant, operation) in REFUSING {
            let Some(faults) = before.get(participant).and_then(|operations| operations.get(operation)) else {
                return Self::Nothing(format!("{participant} has no failure rate of {operation}"));
            };
            rates.push(RefusalRate { participant, rate: faults.failure_rate });
        }
        Self::Refusals { rates, unanswered: unanswered(&before, call_limit) }
    }

    /// Drops the expectation if purchases ended without an answer, and the settings explain it.
    pub(super) fn after(self, ended_unanswered: u64) -> Self {
        match self {
            Self::Refusals { unanswered, .. } if ended_unanswered > 0 && !unanswered.is_empty() => {
                let ended = match ended_unanswered {
                    1 => "1 purchase was neither completed nor refused".to_owned(),
                    count => format!("{count} purchases were neither completed nor refused"),
                };
                Self::Nothing(format!(
                    "{ended}, and {}. How many end so depends on the attempts, circuit breakers and deadline of the \
                     orchestrator",
                    unanswered.join(", ")
                ))
            }
            other => other,
        }
    }

    pub(super) fn rates(&self) -> &[RefusalRate] {
        match self {
            Self::Refusals { rates, .. } => rates,
            Self::Nothing(_) => &[],
        }
    }
}

/// Lists the settings that leave calls without an answer.
fn unanswered(all: &Faults, call_limit: Duration) -> Vec<String> {
    let mut found = Vec::new();
    for (participant, operations) in all {
        for (operation, faults) in operations {
            let may_refuse = REFUSING.contains(&(*participant, operation.as_str()));
            let faults = [
                (!may_refuse && faults.failure_rate > 0.0, "fails"),
                (faults.unavailable_rate > 0.0, "is unavailable"),
                (faults.lost_reply_rate > 0.0, "loses replies"),
                (faults.cut_connection_rate > 0.0, "cuts connections"),
                (u128::from(faults.latency_ms.max) >= call_limit.as_millis(), "answers too late"),
            ];
            let set = faults.into_iter().filter(|(is_set, _)| *is_set);
            found.extend(set.map(|(_, what)| format!("{participant} {operation} {what}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use common::faults::LatencyRange;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn half() -> OperationFaults {
        OperationFaults { failure_rate: 0.5, ..OperationFaults::default() }
    }

    /// The settings of the profile `development` with another one for an operation.
    fn faults(participant: &'static str, operation: &str, changed: OperationFaults) -> Result<Faults, String> {
        let mut all = Faults::new();
        for (participant, operation) in REFUSING {
            all.entry(participant).or_default().insert(operation.to_owned(), half());
        }
        all.entry(participant).or_default().insert(operation.to_owned(), changed);
        Ok(all)
    }

    fn of(participant: &'static str, operation: &str, changed: OperationFaults) -> Expectation {
        let before = faults(participant, operation, changed);
        Expectation::of(before.clone(), before, LIMIT)
    }

    #[test]
    fn refusals_and_repeated_requests_change_no_expectation_and_calls_without_an_answer_are_named() {
        let none = OperationFaults::default();
        let cases = [
            ("payments", "charge", half(), None),
            ("payments", "charge", OperationFaults { duplicate_rate: 1.0, ..half() }, None),
            ("payments", "charge", OperationFaults { latency_ms: LatencyRange { min: 0, max: 4999 }, ..half() }, None),
            ("payments", "charge", OperationFaults { lost_reply_rate: 0.5, ..half() }, Some("charge loses replies")),
            ("payments", "refund", OperationFaults { failure_rate: 1.0, ..none }, Some("refund fails")),
            ("inventory", "decrease", OperationFaults { unavailable_rate: 0.1, ..half() }, Some("is unavailable")),
            ("purchases", "cancel", OperationFaults { cut_connection_rate: 0.1, ..none }, Some("cuts connections")),
            (
                "catalog",
                "product",
                OperationFaults { latency_ms: LatencyRange { min: 0, max: 5000 }, ..none },
                Some("catalog product answers too late"),
            ),
        ];
        for (participant, operation, changed, expected) in cases {
            let Expectation::Refusals { rates, unanswered } = of(participant, operation, changed) else {
                panic!("{participant} {operation} {changed:?}");
            };
            assert_eq!(rates.iter().map(|one| one.rate).collect::<Vec<_>>(), [0.5; 3]);
            match expected {
                Some(text) => assert!(unanswered.len() == 1 && unanswered[0].contains(text), "{unanswered:?}"),
                None => assert!(unanswered.is_empty(), "{unanswered:?}"),
            }
        }
    }

    #[test]
    fn nothing_is_expected_where_calls_without_an_answer_decided_purchases() {
        let lossy = of("payments", "charge", OperationFaults { lost_reply_rate: 0.5, ..half() });
        assert_eq!(lossy.clone().after(0), lossy, "every call was answered in the end");
        let Expectation::Nothing(why) = lossy.after(6) else { panic!("an expectation") };
        assert!(why.starts_with("6 purchases were neither completed nor refused, and payments charge loses replies"));
        let plain = of("payments", "charge", half());
        assert_eq!(plain.clone().after(6), plain, "without such settings such an end is a finding");
    }

    #[test]
    fn nothing_is_expected_of_settings_that_changed_or_cannot_be_read() {
        let before = faults("payments", "charge", half());
        let after = faults("payments", "charge", OperationFaults::default());
        let unreadable = Err("payments answered 403".to_owned());
        for (before, after, expected) in [
            (before.clone(), after, "were changed during the run"),
            (before.clone(), unreadable.clone(), "payments answered 403"),
            (unreadable, before.clone(), "payments answered 403"),
            (Ok(Faults::new()), Ok(Faults::new()), "payments has no failure rate of charge"),
        ] {
            match Expectation::of(before, after, LIMIT) {
                Expectation::Nothing(why) => assert!(why.contains(expected), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
