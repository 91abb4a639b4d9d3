//! Names of definitions, steps and outputs.

use saga_engine::definition::MAX_STEPS;

use crate::limits::MAX_NAME;

/// The built-in definitions, and those that start with `checkout-`.
const CHECKOUT: &str = "checkout";

/// Definitions that the orchestrator makes itself: steps given with a saga, and sagas of DTM's protocol.
pub const INLINE: &str = "inline";
const DTM: &str = "dtm";

/// The form of names, for messages.
pub(crate) const FORM: &str = "a lower-case letter, then up to 62 lower-case letters, digits, - and _";

const _: () = assert!(MAX_NAME == 63 && MAX_STEPS == 100, "messages and documents say so");

/// Tells whether a text is a name: it matches `[a-z][a-z0-9_-]{0,62}`, so that it needs no encoding anywhere.
pub fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    text.len() <= MAX_NAME && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_inner)
}

/// Tells whether a definition may not have this name, since the orchestrator's own have it: `checkout`, all that start
/// with `checkout-`, `inline` and `dtm`.
pub fn is_reserved(name: &str) -> bool {
    let is_checkout = name.strip_prefix(CHECKOUT).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    is_checkout || name == INLINE || name == DTM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_encoding() {
        for (text, expected) in [
            ("trip", true),
            ("a", true),
            ("a-b_9", true),
            (&"a".repeat(63), true),
            (&"a".repeat(64), false),
            ("", false),
            ("9a", false),
            ("-a", false),
            ("Trip", false),
            ("a.b", false),
            ("a/b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(text), expected, "{text}");
        }
    }

    #[test]
    fn the_names_of_the_orchestrators_own_definitions_are_reserved() {
        for (name, expected) in [
            ("checkout", true),
            ("checkout-restoring-stock", true),
            ("inline", true),
            ("dtm", true),
            ("checkouts", false),
        ] {
            assert_eq!(is_reserved(name), expected, "{name}");
        }
    }
}
