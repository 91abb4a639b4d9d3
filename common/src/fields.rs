//! Reads a JSON request body field by field. Every invalid field is recorded, so that a client learns all errors at
//! once.
//!
//! ```text
//! body ─► Fields::parse ─► into_body: required("amount", read::amount) … ─► all fields, or every error
//! ```
//! Values stay text until a reader from [`read`] takes them: an amount is judged by the digits that were sent. Unknown
//! fields are ignored. A requested field that was sent twice is an error: two parsers of such a body could see
//! different values.

pub(crate) mod raw;
pub mod read;

use std::borrow::Cow;

use foundation::members::Members;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;
use utoipa::ToSchema;

/// Maximum nesting of a body. Our bodies have one level; deeper nesting could be made expensive to parse.
const MAX_DEPTH: usize = 32;

/// An invalid field and its error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Name of the field.
    pub field: String,
    /// The fault, or the expected value.
    pub message: String,
}

impl FieldError {
    /// Makes an error of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why a body cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Malformed(String);

/// A request body, read member by member: see [`crate::wire::requests`].
pub trait RequestBody: Sized {
    /// Reads every member. Returns `None` if a mandatory one is missing or invalid, which `fields` has recorded.
    fn read(fields: &mut Fields<'_>) -> Option<Self>;
}

/// A JSON object being read.
#[derive(Debug)]
pub struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// Parses a body.
    ///
    /// # Errors
    /// If the body is not a JSON object, not UTF-8, or nested more than 32 levels deep.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed("the body is not UTF-8".to_owned()))?;
        if depth(body) > MAX_DEPTH {
            return Err(Malformed(format!("the body is nested more than {MAX_DEPTH} levels deep")));
        }
        let Members(members) =
            serde_json::from_str(text).map_err(|error| Malformed(format!("the body is not a JSON object: {error}")))?;
        Ok(Self { members, errors: Vec::new() })
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Every member that was missing or invalid.
    pub fn into_body<T: RequestBody>(mut self) -> Result<T, Vec<FieldError>> {
        T::read(&mut self).filter(|_| self.errors.is_empty()).ok_or(self.errors)
    }

    /// Reads a mandatory field. Returns `None` and records an error if it is missing or invalid.
    pub fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&RawValue) -> Result<T, String>) -> Option<T> {
        match self.find(name)? {
            Some(value) => self.note(name, read(value)),
            None => self.note(name, Err("is required".to_owned())),
        }
    }

    /// Reads an optional field. Returns `None` if it is absent or null, and if it is invalid, which is recorded.
    pub fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&RawValue) -> Result<T, String>) -> Option<T> {
        match self.find(name)? {
            Some(value) => self.note(name, read(value)),
            None => None,
        }
    }

    /// Reads an optional field whose value has parts, like [`Fields::optional`]. The reader names the part of each error.
    pub fn optional_parts<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&RawValue) -> Result<T, Vec<FieldError>>,
    ) -> Option<T> {
        let value = self.find(name)??;
        read(value).map_err(|errors| self.errors.extend(errors)).ok()
    }

    /// `None`: the field was given twice, and the error is recorded. `Some(None)`: absent or null.
    fn find(&mut self, name: &'static str) -> Option<Option<&'a RawValue>> {
        let mut values = self.members.iter().filter(|(member, _)| member == name).map(|(_, value)| *value);
        let value = values.next().filter(|value| value.get() != "null");
        match values.next() {
            None => Some(value),
            Some(_) => self.note(name, Err("is given more than once".to_owned())),
        }
    }

    fn note<T>(&mut self, name: &'static str, read: Result<T, String>) -> Option<T> {
        read.map_err(|message| self.errors.push(FieldError::new(name, message))).ok()
    }
}

/// Counts how deeply brackets are nested. The parser skips values without a reader, and has no nesting limit there.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
