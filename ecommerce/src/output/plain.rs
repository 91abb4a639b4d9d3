//! Messages in plain words: without the numbers that the operating system's error texts end with.

/// Removes every ` (os error 2)`: the words before it say the same.
pub(crate) fn in_plain_words(text: &str) -> String {
    const START: &str = " (os error ";
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(START) {
        plain.push_str(before);
        match after.split_once(')') {
            Some((number, after)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                rest = after;
            }
            _ => {
                plain.push_str(START);
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_of_the_system_is_left_out() {
        for (text, plain) in [
            (
                "no answer: Connection refused (os error 111); is it running?",
                "no answer: Connection refused; is it running?",
            ),
            ("a (os error 2), b (os error 13)", "a, b"),
            ("an (os error ) stays (os error x", "an (os error ) stays (os error x"),
        ] {
            assert_eq!(in_plain_words(text), plain);
        }
    }
}
