//! Ids as clients give them: checked once, at the edge, and trusted from then on.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// As long as an id may be, in characters.
const MAX_CHARS: usize = 100;

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Nothing, or nothing but blanks.
    #[error("expected something that is not blank")]
    Blank,
    /// More than 100 characters.
    #[error("expected at most 100 characters")]
    TooLong,
    /// A NUL, which no database text can hold.
    #[error("expected no NUL character")]
    Nul,
}

fn check(text: &str) -> Result<(), IdError> {
    if text.trim().is_empty() {
        return Err(IdError::Blank);
    }
    if text.chars().count() > MAX_CHARS {
        return Err(IdError::TooLong);
    }
    if text.contains('\0') {
        return Err(IdError::Nul);
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks a text: 1 to 100 characters, not blank, no NUL.
            ///
            /// # Errors
            /// [`IdError`] says what is expected.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the text, owned.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Who buys.
    UserId
);
id!(
    /// Which purchase a request belongs to: the key of every idempotent operation.
    TransactionId
);
id!(
    /// What is bought.
    ProductId
);
id!(
    /// What was paid.
    PaymentId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_to_a_hundred_characters_that_a_database_can_hold() {
        let check = |text: &str| UserId::parse(text).map(UserId::into_string);
        assert_eq!(check("user-123").as_deref(), Ok("user-123"));
        assert!(check(&"ß".repeat(100)).is_ok());
        assert_eq!(check(&"ß".repeat(101)), Err(IdError::TooLong));
        assert_eq!(check(" \t"), Err(IdError::Blank));
        assert_eq!(check("a\0b"), Err(IdError::Nul));
    }
}
