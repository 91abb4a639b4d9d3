//! Placeholders in the texts of a plan: those of a saga's definition that do not depend on its input.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use uuid::Uuid;

/// The placeholders, for messages.
pub(super) const KNOWN: &str = "{saga.id}, {saga.step_key} and {saga.attempt}";

/// Characters that need no encoding in a path.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The values of one call.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) saga_id: Uuid,
    pub(super) step: String,
    pub(super) attempt: u32,
}

impl Values {
    /// The key of the step: the same for action and compensation.
    pub(super) fn step_key(&self) -> String {
        format!("{}:{}", self.saga_id, self.step)
    }

    fn of(&self, name: &str) -> Option<Value> {
        match name {
            "saga.id" => Some(Value::from(self.saga_id.to_string())),
            "saga.step_key" => Some(Value::from(self.step_key())),
            "saga.attempt" => Some(Value::from(self.attempt)),
            _ => None,
        }
    }
}

/// A piece of a text: itself, or the name of a placeholder.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Splits a text. Braces without a name, as in `{}` or `{ "a": 1 }`, are text.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let inside = &rest[open + 1..];
        let close = inside.find('}').filter(|close| is_name(&inside[..*close]));
        let Some(close) = close else {
            pieces.push(Piece::Text(&rest[..=open]));
            rest = inside;
            continue;
        };
        pieces.push(Piece::Text(&rest[..open]));
        pieces.push(Piece::Name(&inside[..close]));
        rest = &inside[close + 1..];
    }
    pieces.push(Piece::Text(rest));
    pieces
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Returns the placeholders of a text that have no value.
pub(super) fn unknown(text: &str) -> Vec<String> {
    let values = Values { saga_id: Uuid::nil(), step: String::new(), attempt: 1 };
    let names = pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Text(_) => None,
    });
    names.filter(|name| values.of(name).is_none()).map(|name| format!("{{{name}}}")).collect()
}

/// As [`unknown`], for all texts of a JSON value.
pub(super) fn unknown_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => unknown(text),
        Value::Array(items) => items.iter().flat_map(unknown_in).collect(),
        Value::Object(members) => members.values().flat_map(unknown_in).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Fills in a path: values are percent-encoded.
pub(super) fn path(text: &str, values: &Values) -> String {
    filled(text, values, |value| utf8_percent_encode(value, IN_PATHS).to_string())
}

/// Fills in a text.
pub(super) fn text(text: &str, values: &Values) -> String {
    filled(text, values, str::to_owned)
}

/// Fills in a JSON value. A text that is one placeholder becomes its value.
pub(super) fn json(value: &Value, values: &Values) -> Value {
    match value {
        Value::String(string) => match pieces(string).as_slice() {
            [Piece::Text(""), Piece::Name(name), Piece::Text("")] => values.of(name).unwrap_or_default(),
            _ => Value::from(text(string, values)),
        },
        Value::Array(items) => items.iter().map(|item| json(item, values)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), json(member, values))).collect::<Value>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn filled(text: &str, values: &Values, encoded: impl Fn(&str) -> String) -> String {
    let filled = pieces(text).into_iter().map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Name(name) => match values.of(name) {
            Some(Value::String(value)) => encoded(&value),
            Some(value) => encoded(&value.to_string()),
            None => String::new(),
        },
    });
    filled.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        Values { saga_id: Uuid::nil(), step: "flight".to_owned(), attempt: 3 }
    }

    #[test]
    fn values_stand_in_paths_encoded_and_in_bodies_with_their_types() {
        let nil = Uuid::nil();
        assert_eq!(path("/bookings/{saga.step_key}?try={saga.attempt}", &values()), {
            format!("/bookings/{nil}%3Aflight?try=3")
        });
        let body = json!({ "id": "{saga.id}", "try": "{saga.attempt}", "note": ["try {saga.attempt} {}"], "n": 1 });
        let expected = json!({ "id": nil.to_string(), "try": 3, "note": ["try 3 {}"], "n": 1 });
        assert_eq!(json(&body, &values()), expected);
    }

    #[test]
    fn placeholders_without_a_value_are_found_wherever_they_stand() {
        let body = json!({ "a": ["{input.city}", "{saga.id}"], "b": { "c": "x {key} y" }, "d": "{ not one }" });
        assert_eq!(unknown_in(&body), ["{input.city}", "{key}"]);
    }
}
