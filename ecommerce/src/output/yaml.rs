//! A JSON document as YAML.
//!
//! Numbers keep their text, so that an amount of 99.90 stays 99.90, and members keep their order: a serializer of parsed
//! values would keep neither. Every string that is more than a plain word is quoted, with the escapes of JSON, which are
//! YAML's too, so nothing in it can mislead a terminal. serde-saphyr writes 99.90 as 99.9 and U+202E as it is.

use common::{members::Members, printable::is_shown};
use serde_json::value::RawValue;

const INDENT: &str = "  ";

/// Returns the document as YAML without a trailing newline; `None` if it is not JSON.
pub(super) fn of_json(document: &str) -> Option<String> {
    let mut yaml = String::new();
    write(&mut yaml, serde_json::from_str(document).ok()?, 0)?;
    Some(yaml.trim_start().to_owned())
}

/// Writes a value after its key or dash: a scalar on the same line, anything else on lines of its own.
fn write(yaml: &mut String, value: &RawValue, depth: usize) -> Option<()> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'{' => {
            let Members(members) = serde_json::from_str(text).ok()?;
            if members.is_empty() {
                yaml.push_str(" {}");
            }
            for (name, value) in members {
                start_line(yaml, depth);
                yaml.push_str(&scalar(&name));
                yaml.push(':');
                write(yaml, value, depth + 1)?;
            }
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            if items.is_empty() {
                yaml.push_str(" []");
            }
            for item in items {
                start_line(yaml, depth);
                yaml.push('-');
                write(yaml, item, depth + 1)?;
            }
        }
        b'"' => {
            yaml.push(' ');
            yaml.push_str(&scalar(&serde_json::from_str::<String>(text).ok()?));
        }
        _ => {
            yaml.push(' ');
            yaml.push_str(text);
        }
    }
    Some(())
}

/// Starts a line; the first member of an item stands beside its dash.
fn start_line(yaml: &mut String, depth: usize) {
    if yaml.ends_with('-') {
        yaml.push(' ');
        return;
    }
    yaml.push('\n');
    yaml.push_str(&INDENT.repeat(depth));
}

/// Formats a string: plain if it is a word that YAML reads as a string, else in double quotes.
fn scalar(text: &str) -> String {
    // Words that YAML 1.1 or 1.2 reads as null or as a boolean.
    const TAKEN: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'))
        && !text.ends_with('-')
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str());
    if is_word {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            character if is_shown(character) => quoted.push(character),
            character => quoted.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn members_keep_their_order_and_numbers_their_text() {
        let json = r#"{"total":1,"transactions":[{"id":"0190a2f0-0000","status":"COMPLETED","amount":99.90,
            "steps":[{"step":"charge","error":null}],"takeovers":[]},[1,[2]]],"empty":{},"next_cursor":null}"#;
        let expected = "total: 1\ntransactions:\n  - id: \"0190a2f0-0000\"\n    status: COMPLETED\n    amount: 99.90\n    \
                        steps:\n      - step: charge\n        error: null\n    takeovers: []\n  - - 1\n    - - 2\nempty: {}\n\
                        next_cursor: null";
        assert_eq!(of_json(json).as_deref(), Some(expected));
        assert_eq!(of_json("<html>"), None);
    }

    #[test]
    fn a_reader_of_yaml_gets_the_same_document() {
        for json in [
            r#"{"a":{"b":[[],[{}],[{"c":[1,{"d":"e"}]}]]},"n":-1.5e3,"big":18446744073709551615}"#,
            r##"["no","Yes","null","~","1","1.0","0x1f","2026-01-02","- a","a: b","a #b","","  x ","#","it's","{x}","@x"]"##,
            r#"["a-",["b-"],{"c-":"d-","e":1}]"#,
            r#"{"no":"\u001b[31m\u202e\"\\\/\n\t\u0000\ud83d\uded2 José","":true,"a b":"x\u2028y"}"#,
            r#""text""#,
            "[]",
            "null",
        ] {
            let yaml = of_json(json).unwrap();
            let read: Value = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
            assert_eq!(read, serde_json::from_str::<Value>(json).unwrap(), "{yaml}");
            assert!(yaml.chars().all(|character| character == '\n' || is_shown(character)), "{yaml:?}");
        }
    }
}
