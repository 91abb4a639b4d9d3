//! A JSON value taken apart by one level, each part as its text.
//!
//! For what a parsed value has forgotten: the digits of a number, and members whose name occurs again.

use std::borrow::Cow;

use foundation::members::Members;
use serde_json::value::RawValue;

/// The parts of a JSON value.
pub(crate) enum Parts<'a> {
    /// In the order of the text. In a parsed object the last of two members with one name counts.
    Object(Vec<(Cow<'a, str>, &'a RawValue)>),
    List(Vec<&'a RawValue>),
    Scalar,
}

impl<'a> Parts<'a> {
    /// Takes a value apart; the error says that it is not JSON.
    pub(crate) fn of(json: &'a str) -> serde_json::Result<Parts<'a>> {
        match json.trim_start().as_bytes().first() {
            Some(b'{') => serde_json::from_str(json).map(|Members(members)| Parts::Object(members)),
            Some(b'[') => serde_json::from_str(json).map(Parts::List),
            Some(_) | None => Ok(Parts::Scalar),
        }
    }
}

/// Returns what follows a string, given what follows its first quote.
pub(crate) fn after_string(text: &str) -> &str {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\')) {
        let is_end = rest.as_bytes()[at] == b'"';
        // A backslash escapes the character after it.
        let length = if is_end { 1 } else { 2 };
        rest = rest.get(at + length..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    ""
}
