//! Misspelled names: the known one that was probably meant.

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
