//! JSON pointers (RFC 6901), split once and followed often.

use serde_json::Value;

use crate::parts::Parts;

/// A pointer into a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    text: String,
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: String,
    /// Its meaning in a list.
    index: Option<usize>,
}

impl Pointer {
    /// Parses a pointer; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Pointer, &'static str> {
        let keys = match text.strip_prefix('/') {
            Some(rest) => rest.split('/').map(unescape).collect::<Option<Vec<_>>>(),
            None if text.is_empty() => Some(Vec::new()),
            None => return Err("a JSON pointer starts with a slash, such as \"/booking_id\""),
        };
        let keys = keys.ok_or("in a JSON pointer, write ~0 for a tilde and ~1 for a slash in a name")?;
        let keys = keys.into_iter().map(|name| Key { index: index(&name), name });
        Ok(Pointer { text: text.to_owned(), keys: keys.collect() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the value that it points to.
    pub(crate) fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.keys.iter().try_fold(document, |value, key| match value {
            Value::Object(members) => members.get(&key.name),
            Value::Array(items) => items.get(key.index?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// Returns the text of the value that it points to.
    pub(crate) fn find_text<'a>(&self, json: &'a str) -> Option<&'a str> {
        self.keys.iter().try_fold(json, |json, key| match Parts::of(json).ok()? {
            Parts::Object(members) => {
                members.iter().rev().find(|(name, _)| *name == key.name).map(|(_, value)| value.get())
            }
            Parts::List(items) => items.get(key.index?).map(|item| item.get()),
            Parts::Scalar => None,
        })
    }
}

/// Returns the pointer of a member.
pub(crate) fn join(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Splits a pointer that is known to be right.
pub(crate) fn split(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|key| unescape(key).unwrap_or_else(|| key.to_owned())).collect()
}

fn unescape(key: &str) -> Option<String> {
    let is_escaped = key.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    is_escaped.then(|| key.replace("~1", "/").replace("~0", "~"))
}

fn index(name: &str) -> Option<usize> {
    let is_plain = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    is_plain.then(|| name.parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_leads_through_objects_and_lists() {
        let document = json!({ "a": [{ "b/c": 1 }], "m~n": 2, "": 3, "0": 4 });
        for (text, expected) in [
            ("/a/0/b~1c", Some(json!(1))),
            ("/m~0n", Some(json!(2))),
            ("/", Some(json!(3))),
            ("/0", Some(json!(4))),
            ("", Some(document.clone())),
            ("/a/00", None),
            ("/a/-", None),
            ("/a/1", None),
            ("/a/b", None),
            ("/m~0n/x", None),
        ] {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.find(&document), expected.as_ref(), "{text}");
            let json = document.to_string();
            let found = pointer.find_text(&json).map(|found| serde_json::from_str::<Value>(found).unwrap());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_bad_pointer_is_refused() {
        for text in ["a", "a/b", "/a~", "/a~2b"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
    }
}
