//! The text of a JSON value, before it becomes a number.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A JSON value by its kind.
pub(crate) enum Raw<'a> {
    /// A string with its escapes resolved.
    Text(Cow<'a, str>),
    /// A number, in the digits that were sent.
    Number(&'a str),
    /// Any other kind, by its name for messages.
    Other(&'static str),
}

impl<'a> Raw<'a> {
    /// Classifies a value; its content is borrowed where possible.
    pub(crate) fn of(raw: &'a RawValue) -> Self {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => Self::string(text),
            Some(b'-' | b'0'..=b'9') => Self::Number(text),
            Some(b'{') => Self::Other("an object"),
            Some(b'[') => Self::Other("a list"),
            Some(b't' | b'f') => Self::Other("a boolean"),
            _ => Self::Other("null"),
        }
    }

    fn string(quoted: &'a str) -> Self {
        if !quoted.contains('\\') {
            return Self::Text(Cow::Borrowed(quoted.trim_matches('"')));
        }
        // A value that was not parsed before may contain half a surrogate pair.
        match serde_json::from_str(quoted) {
            Ok(text) => Self::Text(Cow::Owned(text)),
            Err(_) => Self::Other("text with a broken escape"),
        }
    }
}
