//! Configuration errors, with enough detail to fix them at once.

use std::fmt;

/// One problem: the key, where it was set, the fault and the expected value. Never the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Dotted key, such as `faults.payments.charge.failure_rate`; empty when a whole file is at fault.
    pub key: String,
    /// File path, `environment variable NAME`, or the flag.
    pub place: String,
    /// The fault and the expected value.
    pub message: String,
}

impl ConfigProblem {
    pub(super) fn new(key: impl Into<String>, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), place: place.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(formatter, "{}: {}", self.place, self.message),
            key => write!(formatter, "{key} ({}): {}", self.place, self.message),
        }
    }
}

/// Problems and warnings about the settings.
#[derive(Default)]
pub(super) struct Findings {
    /// Mistakes.
    pub(super) problems: Vec<ConfigProblem>,
    /// Settings that are accepted but weaken the system, such as a token that can be guessed, or that are ignored.
    pub(super) warnings: Vec<ConfigProblem>,
}

/// All problems of all layers, displayed one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigProblem>);

impl ConfigErrors {
    /// Returns `Err` with the problems, `Ok` if there are none.
    pub(super) fn unless_none(problems: Vec<ConfigProblem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// Returns every problem, in the order of the layers.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.0
    }
}

impl From<ConfigProblem> for ConfigErrors {
    fn from(problem: ConfigProblem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
