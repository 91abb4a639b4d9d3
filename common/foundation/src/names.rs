//! Names that users give: their form, and the known one that was probably meant by a misspelled one.

/// The longest name of a participant, a definition, a step or an output: one label of a host name, so that it fits
/// everywhere.
pub const MAX_NAME: usize = 63;

/// The form of these names, for messages.
pub const FORM: &str = "a lower-case letter, then up to 62 lower-case letters, digits, - and _";

const _: () = assert!(MAX_NAME == 63, "messages and documents say so");

/// Tells whether a text is such a name: it matches `[a-z][a-z0-9_-]{0,62}`, so that it needs no encoding anywhere.
pub fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    text.len() <= MAX_NAME && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_inner)
}

/// Finds the known name closest to a misspelled one. Up to three edits are allowed in a long name and one in a short
/// name, where more would give a different word. A name of one letter has no closest one.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let allowed = (length / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed && *distance < length)
        .min()
        .map(|(_, candidate)| candidate)
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
    fn a_misspelled_name_has_a_closest_one() {
        let known = ["city", "nights", "x"];
        for (name, expected) in [
            ("citi", Some("city")),
            ("nihgts", Some("nights")),
            ("ciii", None),
            ("b", None),
            ("", None),
            ("town", None),
        ] {
            assert_eq!(closest(name, known), expected, "{name}");
        }
    }
}
