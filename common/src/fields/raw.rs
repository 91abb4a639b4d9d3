//! The text of a JSON value, before anybody has made a number of it.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A JSON value by its kind.
pub(crate) enum Raw<'a> {
    /// A string, its escapes resolved.
    Text(Cow<'a, str>),
    /// A number, in the digits in which it came.
    Number(&'a str),
    /// Something else: what to call it in a message.
    Other(&'static str),
}

impl<'a> Raw<'a> {
    /// Tells the kind of a value; what it holds is borrowed where it can be.
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
        // A value that nobody has read may hold half a surrogate pair.
        match serde_json::from_str(quoted) {
            Ok(text) => Self::Text(Cow::Owned(text)),
            Err(_) => Self::Other("text with a broken escape"),
        }
    }
}
