//! Makes text from outside safe to print on a terminal.
//!
//! Control characters (Cc) steer a terminal. Format characters (Cf) reverse the direction of a line or are invisible,
//! and the two separators (Zl, Zp) break lines in some programs, so the screen shows something other than the text. All
//! of them are replaced by their Rust escapes.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Returns whether a terminal shows a character as itself.
pub fn is_shown(character: char) -> bool {
    !is_control(character) && !is_format(character)
}

/// Replaces control characters, format characters and line separators by their Rust escapes.
pub fn printable(text: &str) -> String {
    replaced(text, |character| !is_shown(character), rust_escape)
}

/// Like [`printable`], but keeps line ends, for texts of several lines.
pub fn printable_lines(text: &str) -> String {
    replaced(text, |character| character != '\n' && !is_shown(character), rust_escape)
}

/// Like [`printable`], for a JSON document. Its value is unchanged: `\u202e` in a string means the character itself.
/// ASCII control characters are kept, since in JSON they occur only as blanks between tokens.
pub fn printable_json(text: &str) -> String {
    let is_hidden = |character: char| !character.is_ascii() && is_control(character) || is_format(character);
    replaced(text, |character| is_hidden(character) || character == '\u{7f}', json_escape)
}

/// Replaces only format characters and line separators; colors, which are control characters, stay.
pub(crate) fn without_format_characters(text: &str) -> String {
    replaced(text, is_format, rust_escape)
}

fn is_control(character: char) -> bool {
    character.is_control()
}

fn is_format(character: char) -> bool {
    use GeneralCategory::{Format, LineSeparator, ParagraphSeparator};
    // Most text is ASCII, which has none of them.
    !character.is_ascii() && matches!(character.general_category(), Format | LineSeparator | ParagraphSeparator)
}

fn replaced(text: &str, is_hidden: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) { shown.push_str(&escape(character)) } else { shown.push(character) }
    }
    shown
}

fn rust_escape(character: char) -> String {
    character.escape_default().to_string()
}

fn json_escape(character: char) -> String {
    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_format_characters_and_separators_are_made_visible() {
        let cases = [
            ("a\u{1b}[31mb\u{9b}c\n", "a\\u{1b}[31mb\\u{9b}c\\n"),
            ("user\u{202e}0001", "user\\u{202e}0001"),
            ("ad\u{200b}min\u{feff}", "ad\\u{200b}min\\u{feff}"),
            ("one\u{2028}two\u{2029}three", "one\\u{2028}two\\u{2029}three"),
            ("soft\u{ad}hyphen, tag \u{e0041}", "soft\\u{ad}hyphen, tag \\u{e0041}"),
            ("José–日本 \u{1f6d2}", "José–日本 \u{1f6d2}"),
        ];
        for (text, shown) in cases {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\nb\u{7}"), "a\nb\\u{7}");
        assert_eq!(without_format_characters("\u{1b}[1mx\u{2066}"), "\u{1b}[1mx\\u{2066}");
    }

    #[test]
    fn a_json_document_stays_the_same_document() {
        let document = "{\"a\":\t\"\u{202e}\u{9b}\u{7f}\u{e0041}–\\u0007\"\n}";
        let shown = printable_json(document);
        assert_eq!(shown, "{\"a\":\t\"\\u202e\\u009b\\u007f\\udb40\\udc41–\\u0007\"\n}");
        let [before, after] = [document, &shown].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(before, after);
    }
}
