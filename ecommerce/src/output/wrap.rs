//! Texts broken into lines between words.

/// Breaks a text between words into lines of at most this many characters; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(wrapped("to be, or not to be", 7), ["to be,", "or not", "to be"]);
        assert_eq!(wrapped("a-word-too-long ok", 5), ["a-word-too-long", "ok"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
