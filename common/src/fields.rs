//! A JSON request body, read field by field. Every bad field is noted, so that a client hears of all of them at once.
//!
//! ```text
//! body ─► Fields::parse ─► required("amount", read::amount) … ─► finish ─► all fields, or every error
//! ```
//! Values stay text until a reader from [`read`] takes them: an amount is judged by the digits that were sent.
//! Fields that nobody asks for are ignored. One that is asked for and was sent twice is an error: two readers of such a
//! body could see different values.

pub(crate) mod raw;
pub mod read;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Serialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::http::ApiError;

/// The deepest nesting that a body may have. Ours have one level; what parses more deeply may be made to cost a lot.
const MAX_DEPTH: usize = 32;

/// A bad field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Name of the field.
    pub field: String,
    /// What is wrong, or what is expected.
    pub message: String,
}

/// A JSON object that is being read.
#[derive(Debug)]
pub struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    errors: Vec<FieldError>,
}

/// The members of an object, in their order, repeated ones included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Borrows where it can; `Cow` alone never does.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// Takes a body apart.
    ///
    /// # Errors
    /// 400 when it is no JSON object, not UTF-8, or nested more than 32 levels deep.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|_| ApiError::malformed("the body is not UTF-8"))?;
        if depth(body) > MAX_DEPTH {
            return Err(ApiError::malformed(format!("the body is nested more than {MAX_DEPTH} levels deep")));
        }
        let Members(members) = serde_json::from_str(text)
            .map_err(|error| ApiError::malformed(format!("the body is no JSON object: {error}")))?;
        Ok(Self { members, errors: Vec::new() })
    }

    /// Reads a field that must be there. Returns `None` when it is not, or not good, and notes why.
    pub fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&RawValue) -> Result<T, String>) -> Option<T> {
        match self.find(name)? {
            Some(value) => self.note(name, read(value)),
            None => self.note(name, Err("is required".to_owned())),
        }
    }

    /// Reads a field that may be absent or null. Returns `None` then, and also when it is not good, which is noted.
    pub fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&RawValue) -> Result<T, String>) -> Option<T> {
        match self.find(name)? {
            Some(value) => self.note(name, read(value)),
            None => None,
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every field that was asked for and was not good.
    pub fn finish(self) -> Result<(), Vec<FieldError>> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    /// `None`: there is an error, and it is noted. `Some(None)`: absent or null.
    fn find(&mut self, name: &'static str) -> Option<Option<&'a RawValue>> {
        let mut values = self.members.iter().filter(|(member, _)| member == name).map(|(_, value)| *value);
        let value = values.next().filter(|value| value.get() != "null");
        match values.next() {
            None => Some(value),
            Some(_) => self.note(name, Err("is given more than once".to_owned())),
        }
    }

    fn note<T>(&mut self, name: &'static str, read: Result<T, String>) -> Option<T> {
        read.map_err(|message| self.errors.push(FieldError { field: name.to_owned(), message })).ok()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // More than any of our bodies has.
                let mut members = Vec::with_capacity(8);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Counts how deeply brackets are nested. The parser below skips values that nobody reads without a limit of its own.
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
