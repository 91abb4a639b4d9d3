//! The results of a test.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{
    Plan,
    rule::{Broken, Rule},
    service::Record,
};

/// The results of all rules.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The address of the participant.
    pub url: String,
    /// Method and path of the action.
    pub action: String,
    /// Method and path of the compensation.
    pub compensation: String,
    /// Whether no rule is violated.
    pub conforms: bool,
    /// By rule, in the order in which they were tested.
    pub rules: Vec<RuleReport>,
}

/// The result of a rule.
#[derive(Debug, Serialize)]
pub struct RuleReport {
    /// Name of the rule.
    pub name: &'static str,
    /// The result.
    pub outcome: Outcome,
    /// Why it is violated or skipped.
    pub reason: Option<String>,
    /// Requests sent and answers received, as far as the rule was tested.
    pub exchanges: Vec<Exchange>,
    /// The saga of the last exchange: its id is in the participant's data.
    pub saga_id: Option<Uuid>,
    /// Duration in milliseconds.
    pub took_ms: u64,
}

/// The result of a rule in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The rule holds.
    Holds,
    /// The rule does not hold.
    Violated,
    /// The rule was not tested.
    Skipped,
}

/// A request and its answer in words.
#[derive(Debug, Serialize)]
pub struct Exchange {
    /// The request.
    pub sent: String,
    /// The answer.
    pub received: String,
    /// Number of times, one after the other.
    pub times: u32,
}

impl Report {
    pub(super) fn new(plan: &Plan, rules: Vec<RuleReport>) -> Self {
        let conforms = rules.iter().all(|rule| rule.outcome != Outcome::Violated);
        let [action, compensation] = plan.calls();
        Self { url: plan.address().to_owned(), action, compensation, conforms, rules }
    }

    /// Counts the rules with an outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rules.iter().filter(|rule| rule.outcome == outcome).count()
    }
}

impl RuleReport {
    pub(super) fn new(rule: Rule, judged: Result<(), Broken>, record: Record, took: Duration) -> Self {
        let (outcome, reason) = match judged {
            Ok(()) => (Outcome::Holds, None),
            Err(Broken::Violated(reason)) => (Outcome::Violated, Some(reason)),
            Err(Broken::Skipped(reason)) => (Outcome::Skipped, Some(reason)),
        };
        let recorded = record.into_recorded();
        Self {
            name: rule.name(),
            outcome,
            reason,
            exchanges: recorded.exchanges,
            saga_id: recorded.saga_id,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Requests sent and answers received, in one line.
    pub fn line(&self) -> String {
        let mut pieces: Vec<String> = Vec::new();
        for (at, Exchange { sent, received, times }) in self.exchanges.iter().enumerate() {
            let call = |exchange: &Exchange| exchange.sent.split(' ').next().map(str::to_owned);
            let is_known = self.exchanges[..at].iter().any(|earlier| {
                earlier.received == *received && call(earlier) == call(&self.exchanges[at]) && received.contains(' ')
            });
            let times = if *times > 1 { format!(" {times}×") } else { String::new() };
            let received = if is_known { "the same" } else { received };
            pieces.push(format!("{sent}{times} → {received}"));
        }
        pieces.join("; ")
    }
}

impl Outcome {
    /// The outcome in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Skipped => "skipped",
        }
    }
}
