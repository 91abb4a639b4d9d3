//! A range of transaction ids: the extent of one part of the facts.

use common::names::MAX_NAME;
use uuid::Uuid;

/// From one id, exclusive, to another, inclusive. Without an upper bound it extends to the last id.
#[derive(Clone, Debug)]
pub(super) struct Range {
    /// The last saga before the range; the log compares saga ids as UUIDs, not as text.
    pub(super) after_saga: Uuid,
    pub(super) after: String,
    pub(super) up_to: Option<String>,
}

impl Range {
    /// Starts before all ids: no id is the empty text.
    pub(super) fn start() -> Self {
        Self { after_saga: Uuid::nil(), after: String::new(), up_to: None }
    }

    /// Ends the range at a saga, behind the keys of its steps, `<saga id>:<step>`.
    pub(super) fn up_to_saga(self, last: Uuid) -> Self {
        // In every collation behind the name of any step, which is shorter.
        let behind_steps = "z".repeat(MAX_NAME + 1);
        Self { after_saga: last, up_to: Some(format!("{last}:{behind_steps}")), ..self }
    }

    /// Ends the range at a transaction without a saga.
    pub(super) fn up_to(self, last: Option<String>) -> Self {
        Self { up_to: last, ..self }
    }

    /// Returns the following range.
    pub(super) fn next(self) -> Option<Self> {
        let after = self.up_to?;
        Some(Self { after, up_to: None, ..self })
    }
}
