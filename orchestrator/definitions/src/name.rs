//! Names of definitions that users cannot give.

/// The built-in definitions, and those that start with `checkout-`.
const CHECKOUT: &str = "checkout";

/// Definitions that the orchestrator makes itself: steps given with a saga, and sagas of DTM's protocol.
pub const INLINE: &str = "inline";
const DTM: &str = "dtm";

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
