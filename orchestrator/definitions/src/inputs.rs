//! Inputs: how their text is read, and their errors.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::source::NUL;
use crate::{exact, pointer, repeated};

/// Maximum count of numbers or names that are reported: a text may have thousands, all below one long name.
pub(crate) const MAX_FOUND: usize = 20;

/// Why an input does not fit its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputError {
    /// JSON pointer into the input; empty means the whole input.
    pub pointer: String,
    /// The fault of the value there.
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

/// Reads the JSON text of an input, or of steps that come with their saga. The value means the same to every reader of the
/// text: no number is rounded, and no member is dropped because another one has its name.
///
/// # Errors
/// The first numbers and names for which that is impossible, or that the text is not JSON.
pub fn read_exactly(text: &str) -> Result<Value, Vec<InputError>> {
    let inexact = exact::inexact_numbers(text).into_iter();
    let mut errors: Vec<_> =
        inexact.map(|number| InputError { detail: number.to_string(), pointer: number.pointer }).collect();
    match serde_json::from_str(text) {
        Ok(value) => {
            repeated::find(text, &value, &mut errors);
            if errors.is_empty() { Ok(value) } else { Err(errors) }
        }
        // Numbers beyond 64-bit floats are reported already.
        Err(_) if !errors.is_empty() => Err(errors),
        Err(error) => Err(vec![InputError { pointer: String::new(), detail: error.to_string() }]),
    }
}

/// Calls a function with the pointer of a part, which is longer for that time.
pub(crate) fn below(key: &str, at: &mut String, act: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push_str(&pointer::join("", key));
    act(at);
    at.truncate(length);
}

/// Reports texts and names that the saga log cannot store.
pub(crate) fn find_nul(value: &Value, at: &mut String, errors: &mut Vec<InputError>) {
    match value {
        Value::String(text) if text.contains('\0') => {
            errors.push(InputError { pointer: at.clone(), detail: NUL.to_owned() })
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                below(&index.to_string(), at, |at| find_nul(item, at, errors));
            }
        }
        Value::Object(members) => {
            if members.keys().any(|name| name.contains('\0')) {
                errors.push(InputError { pointer: at.clone(), detail: format!("a name {NUL}") });
            }
            for (name, member) in members {
                below(name, at, |at| find_nul(member, at, errors));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
