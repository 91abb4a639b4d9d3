//! A definition as read from TOML or JSON: a tree whose nodes know their places.
//!
//! Both formats become the same tree, so that everything above reads one shape and reports a line or a pointer without
//! knowing which it is.

mod json;
mod toml;

use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Number, Value};

use crate::limits::MAX_BYTES;
use crate::problem::{Place, Problems, did_you_mean, listed};
use crate::repeated;

/// PostgreSQL stores no NUL.
pub(crate) const NUL: &str = "has the character NUL, which cannot be stored: remove it";

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    /// Of a member: the place of its name.
    pub(crate) place: Place,
    pub(crate) data: Data,
}

#[derive(Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Member>),
    /// A value that JSON does not have, with advice.
    Foreign(&'static str),
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) node: Node,
}

/// The format of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML: problems have lines.
    Toml,
    /// JSON: problems have JSON pointers.
    Json,
}

/// Reads the tree; `None` if the text is not of this format.
pub(crate) fn read(text: &str, format: Format, problems: &mut Problems) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let advice = format!("it has {} bytes: at most {MAX_BYTES} are possible", text.len());
        problems.error(&Place::Line(1), advice);
        return None;
    }
    let node = match format {
        Format::Toml => toml::read(text, problems)?,
        Format::Json => json::read(text, problems)?,
    };
    node.report_foreign(problems);
    Some(node)
}

/// Makes the tree of a JSON value.
pub(crate) fn of_value(value: &Value, problems: &mut Problems) -> Node {
    let node = json::of_value(value, String::new());
    node.report_foreign(problems);
    node
}

impl Node {
    /// Returns the value without places. Values that JSON does not have were reported and are null.
    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null | Data::Foreign(_) => Value::Null,
            Data::Bool(flag) => Value::Bool(*flag),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => items.iter().map(Node::to_json).collect(),
            Data::Table(members) => {
                let members = members.iter().map(|member| (member.name.clone(), member.node.to_json()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// Returns the place of the value at a JSON pointer into this one, or of the deepest value on the way to it.
    pub(crate) fn place_at(&self, keys: &[String]) -> &Place {
        let Some((key, rest)) = keys.split_first() else { return &self.place };
        let next = match &self.data {
            Data::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            Data::Table(members) => members.iter().find(|member| member.name == *key).map(|member| &member.node),
            _ => None,
        };
        next.map_or(&self.place, |next| next.place_at(rest))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Data::Text(text) = &self.data { Some(text) } else { None }
    }

    /// Returns the text; another kind of value is reported.
    pub(crate) fn text(&self, what: &str, problems: &mut Problems) -> Option<&str> {
        let Data::Text(text) = &self.data else { return self.wrong(what, "a string", problems) };
        Some(text)
    }

    /// Returns the integer; another kind of value, or one out of range, is reported.
    pub(crate) fn integer(&self, what: &str, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        let Data::Number(number) = &self.data else { return self.wrong(what, &expected, problems) };
        let value = number.as_u64().filter(|value| range.contains(value));
        if value.is_none() {
            problems.error(&self.place, format!("{what} is {number}: write {expected}"));
        }
        value
    }

    pub(crate) fn flag(&self, what: &str, problems: &mut Problems) -> Option<bool> {
        let Data::Bool(flag) = self.data else { return self.wrong(what, "true or false", problems) };
        Some(flag)
    }

    pub(crate) fn list(&self, what: &str, problems: &mut Problems) -> Option<&[Node]> {
        let Data::List(items) = &self.data else { return self.wrong(what, "a list", problems) };
        Some(items)
    }

    pub(crate) fn members(&self, what: &str, problems: &mut Problems) -> Option<&[Member]> {
        let Data::Table(members) = &self.data else { return self.wrong(what, "a table", problems) };
        Some(members)
    }

    /// Returns a table of these keys; others are reported.
    pub(crate) fn table(&self, what: &str, keys: &[&str], problems: &mut Problems) -> Option<Table<'_>> {
        let members = self.members(what, problems)?;
        for Member { name, node } in members.iter().filter(|member| !keys.contains(&member.name.as_str())) {
            let meant = did_you_mean(name, keys.iter().copied());
            let known = listed(keys.iter().copied());
            problems.error(&node.place, format!("{what} has no key {name:?}{meant}: remove it; the keys are {known}"));
        }
        Some(Table { place: &self.place, members })
    }

    fn wrong<T>(&self, what: &str, expected: &str, problems: &mut Problems) -> Option<T> {
        // Values that JSON does not have are reported already.
        if !matches!(self.data, Data::Foreign(_)) {
            problems.error(&self.place, format!("{what} is {}: write {expected}", self.kind()));
        }
        None
    }

    fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "true or false",
            Data::Number(_) => "a number",
            Data::Text(_) => "a string",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
            Data::Foreign(_) => "another value",
        }
    }

    /// Reports what JSON cannot say, what cannot be stored, and names that occur twice.
    fn report_foreign(&self, problems: &mut Problems) {
        match &self.data {
            Data::Foreign(advice) => problems.error(&self.place, *advice),
            Data::List(items) => items.iter().for_each(|item| item.report_foreign(problems)),
            Data::Table(members) => {
                let mut names = HashSet::new();
                for Member { name, node } in members {
                    if name.contains('\0') {
                        problems.error(&node.place, format!("a name {NUL}"));
                    }
                    if !names.insert(name) {
                        problems.error(&node.place, repeated::advice(name));
                    }
                    node.report_foreign(problems);
                }
            }
            Data::Text(text) if text.contains('\0') => {
                problems.error(&self.place, format!("a text {NUL}"));
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
        }
    }
}

/// A table whose keys are known.
pub(crate) struct Table<'a> {
    pub(crate) place: &'a Place,
    members: &'a [Member],
}

impl<'a> Table<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a Node> {
        self.members.iter().find(|member| member.name == name).map(|member| &member.node)
    }

    /// Returns the integer of a member; `None` if the member is absent.
    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        self.get(name)?.integer(name, range, problems)
    }

    /// Returns the member; a missing one is reported with an example.
    pub(crate) fn required(&self, what: &str, name: &str, example: &str, problems: &mut Problems) -> Option<&'a Node> {
        let node = self.get(name);
        if node.is_none() {
            problems.error(self.place, format!("{what} has no {name}: add {example}"));
        }
        node
    }
}
