//! A range of transaction ids: what one part of the books holds.

use uuid::Uuid;

/// From one id, exclusive, to another, inclusive; without an upper bound it is the last one.
#[derive(Clone, Debug)]
pub(super) struct Range {
    /// The last saga before it; ids of sagas are compared as what they are in the log.
    pub(super) after_saga: Uuid,
    pub(super) after: String,
    pub(super) up_to: Option<String>,
}

impl Range {
    /// Begins before all ids: none is empty.
    pub(super) fn start() -> Self {
        Self { after_saga: Uuid::nil(), after: String::new(), up_to: None }
    }

    /// Ends with a saga.
    pub(super) fn up_to_saga(self, last: Uuid) -> Self {
        Self { after_saga: last, up_to: Some(last.to_string()), ..self }
    }

    /// Ends with a transaction that has no saga.
    pub(super) fn up_to(self, last: Option<String>) -> Self {
        Self { up_to: last, ..self }
    }

    /// Returns what follows it.
    pub(super) fn next(self) -> Option<Self> {
        let after = self.up_to?;
        Some(Self { after, up_to: None, ..self })
    }
}
