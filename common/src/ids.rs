//! Identifiers: 1 to 100 characters, not blank, without NUL. Each kind is its own type, parsed once at the edge. Clones
//! are cheap.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

pub use foundation::ids::{CELLS, cell_of, uuid_v7, uuid_v7_of_cell};

/// Maximum length of an id in characters, as in the database columns.
pub const MAX_CHARS: usize = 100;

/// Why a text is not a valid id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Empty or blank.
    #[error("must not be blank")]
    Blank,
    /// Longer than 100 characters.
    #[error("must be at most 100 characters")]
    TooLong,
    /// Contains a NUL, which the database cannot store.
    #[error("must not contain a NUL character")]
    Nul,
    /// `.` or `..`: clients treat them as relative steps in a path.
    #[error("must not be . or ..")]
    Dots,
}

fn check(text: &str) -> Result<(), IdError> {
    // Only a text with more bytes can have more characters.
    if text.len() > MAX_CHARS && text.chars().nth(MAX_CHARS).is_some() {
        return Err(IdError::TooLong);
    }
    if text.contains('\0') {
        return Err(IdError::Nul);
    }
    if text.trim().is_empty() {
        return Err(IdError::Blank);
    }
    Ok(())
}

macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident, $example:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts a text that follows the rules of ids, unchanged.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the text breaks.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// Accepts an id from a client. In addition to the rules of ids it must be usable in a path.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the text breaks.
            pub fn from_client(text: &str) -> Result<Self, IdError> {
                if matches!(text, "." | "..") {
                    return Err(IdError::Dots);
                }
                Self::parse(text)
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the text as an owned string.
            pub fn into_string(self) -> String {
                self.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let schema = ObjectBuilder::new().schema_type(Type::String).description(Some(concat!($($doc),*).trim()));
                schema.min_length(Some(1)).max_length(Some(MAX_CHARS)).examples([$example]).into()
            }
        }

        impl ToSchema for $name {}

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// The buyer.
    UserId, "user-123"
}
id! {
    /// One purchase across all services; every retry carries the same id.
    TransactionId, "txn-456"
}
id! {
    /// A product. The catalog uses numbers.
    ProductId, "1"
}
id! {
    /// A payment. The payments service uses numbers.
    PaymentId, "42"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_100_characters_not_blank_and_without_nul() {
        let longest = "é".repeat(100);
        for good in ["1", " a ", "user-123", "ид", "\u{1F600}", &longest] {
            assert_eq!(UserId::parse(good).unwrap().as_str(), good);
        }
        let too_long = "é".repeat(101);
        let bad = [
            ("", IdError::Blank),
            (" \t\u{a0}", IdError::Blank),
            ("a\0b", IdError::Nul),
            ("\0", IdError::Nul),
            (too_long.as_str(), IdError::TooLong),
        ];
        for (text, error) in bad {
            assert_eq!(TransactionId::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_id_that_is_a_step_in_a_path_is_known_and_no_longer_taken() {
        for dots in [".", ".."] {
            assert!(TransactionId::parse(dots).is_ok());
            assert_eq!(TransactionId::from_client(dots), Err(IdError::Dots));
        }
        assert!(TransactionId::from_client("...").is_ok());
    }

    #[test]
    fn an_id_is_a_string_in_json_both_ways() {
        let id: ProductId = serde_json::from_str(r#""a\u0062""#).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""ab""#);
        assert!(serde_json::from_str::<ProductId>("\" \"").is_err());
        assert!(serde_json::from_str::<PaymentId>("7").is_err());
    }
}
