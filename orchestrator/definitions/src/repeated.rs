//! Names that occur twice in one object of an input.
//!
//! A parsed object has the last of them, another program may take the first. An input is read for every saga, so its names
//! are only counted; definitions are read with the place of every value, which a hostile input could make expensive.

use std::collections::HashSet;

use serde_json::Value;

use crate::inputs::{InputError, MAX_FOUND, below};
use crate::parts::{Parts, after_string};

/// The advice for a name that occurs twice.
pub(crate) fn advice(name: &str) -> String {
    format!("{name:?} occurs twice: remove one")
}

/// Reports the first names that occur twice, given the text and its value.
pub(crate) fn find(json: &str, value: &Value, errors: &mut Vec<InputError>) {
    // A parsed object drops repeated members, and nothing else makes the counts differ.
    if count_in_text(json) != count(value) {
        collect(json, &mut String::new(), errors);
    }
}

fn collect(json: &str, at: &mut String, errors: &mut Vec<InputError>) {
    match Parts::of(json) {
        Ok(Parts::Object(members)) => {
            let mut names = HashSet::new();
            for (name, value) in &members {
                let is_new = names.insert(name);
                below(name, at, |at| {
                    if !is_new && errors.len() < MAX_FOUND {
                        errors.push(InputError { pointer: at.clone(), detail: advice(name) });
                    }
                    collect(value.get(), at, errors);
                });
            }
        }
        Ok(Parts::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                below(&index.to_string(), at, |at| collect(item.get(), at, errors));
            }
        }
        Ok(Parts::Scalar) | Err(_) => {}
    }
}

/// Counts the members of all objects of a text by their colons.
fn count_in_text(json: &str) -> usize {
    let (mut count, mut rest) = (0, json);
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b':')) {
        let after = &rest[at + 1..];
        if rest.as_bytes()[at] == b'"' {
            rest = after_string(after);
        } else {
            count += 1;
            rest = after;
        }
    }
    count
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(|member| 1 + count(member)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
