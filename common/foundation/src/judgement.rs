//! How the answers of a participant are judged.

use serde::Deserialize;

/// How a participant's answers are judged.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// It records its decisions: a refusal is a 409 with `Saga-Decision: refused`, and a compensation that comes first
    /// leaves a tombstone.
    Recorded,
    /// It is judged by its statuses alone: a 409 is a refusal, a 425 means that it is still at work, and only steps that
    /// started are undone.
    Status,
}

impl Judgement {
    /// Returns the statuses that confirm a compensation, unless the configuration names others.
    pub fn absent(self) -> Vec<u16> {
        match self {
            Self::Recorded => Vec::new(),
            Self::Status => vec![404, 410],
        }
    }
}
