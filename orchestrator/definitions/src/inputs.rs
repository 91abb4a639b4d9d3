//! Errors of inputs.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::pointer;
use crate::source::NUL;

/// Why an input does not fit its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputError {
    /// JSON pointer into the input; empty means the whole input.
    pub pointer: String,
    /// What is wrong with the value there.
    pub detail: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer}: {}", self.detail),
        }
    }
}

/// Reports texts and names that the saga log cannot store.
pub(crate) fn find_nul(value: &Value, at: &mut String, errors: &mut Vec<InputError>) {
    let below = |key: &str, value: &Value, at: &mut String, errors: &mut Vec<InputError>| {
        let length = at.len();
        at.push_str(&pointer::join("", key));
        find_nul(value, at, errors);
        at.truncate(length);
    };
    match value {
        Value::String(text) if text.contains('\0') => {
            errors.push(InputError { pointer: at.clone(), detail: NUL.to_owned() })
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| below(&index.to_string(), item, at, errors));
        }
        Value::Object(members) => {
            if members.keys().any(|name| name.contains('\0')) {
                errors.push(InputError { pointer: at.clone(), detail: format!("a name {NUL}") });
            }
            members.iter().for_each(|(name, member)| below(name, member, at, errors));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
