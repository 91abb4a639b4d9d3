//! Reads the sections of a TOML file and collects every problem with its line.

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Reads values and keeps the problems.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// Offset in the text, and the problem.
    problems: Vec<(usize, String)>,
}

/// A table of the file.
#[derive(Clone, Copy)]
pub(super) struct Section<'a, 't> {
    /// Its name; empty for the whole file.
    name: &'static str,
    at: usize,
    table: &'a DeTable<'t>,
}

impl Section<'_, '_> {
    /// Names a key with its section.
    fn key(&self, key: &str) -> String {
        match self.name {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }

    /// Returns where a section of this one begins.
    pub(super) fn start_of(&self, name: &str) -> usize {
        self.table.get(name).map_or(self.at, |value| value.span().start)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// Returns the problems in the order of their lines.
    pub(super) fn into_problems(mut self) -> Vec<String> {
        self.problems.sort();
        let line = |at: usize| self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count();
        self.problems.iter().map(|(at, problem)| format!("line {}: {problem}", line(*at) + 1)).collect()
    }

    pub(super) fn problem(&mut self, at: usize, problem: impl Into<String>) {
        self.problems.push((at, problem.into()));
    }

    pub(super) fn whole<'a>(&mut self, table: &'a DeTable<'t>, known: &[&str]) -> Section<'a, 't> {
        let section = Section { name: "", at: 0, table };
        self.check_keys(section, known);
        section
    }

    /// Returns a section of the file, if it is there.
    pub(super) fn section<'a>(
        &mut self,
        whole: Section<'a, 't>,
        name: &'static str,
        known: &[&str],
    ) -> Option<Section<'a, 't>> {
        let value = whole.table.get(name)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => {
                let section = Section { name, at, table };
                self.check_keys(section, known);
                Some(section)
            }
            other => {
                self.problem(at, format!("{name} is a section, not a {}", other.type_str()));
                None
            }
        }
    }

    fn check_keys(&mut self, section: Section<'_, 't>, known: &[&str]) {
        for (key, _) in section.table {
            if !known.contains(&key.get_ref().as_ref()) {
                let name = section.key(key.get_ref());
                self.problem(key.span().start, format!("{name} is unknown here; known are {}", known.join(", ")));
            }
        }
    }

    /// Returns a key that must be there.
    pub(super) fn required<'a>(
        &mut self,
        section: Section<'a, 't>,
        key: &str,
        example: &str,
    ) -> Option<&'a Spanned<DeValue<'t>>> {
        let value = section.table.get(key);
        if value.is_none() {
            self.problem(section.at, format!("{} is missing, such as {key} = {example}", section.key(key)));
        }
        value
    }

    pub(super) fn optional<'a>(&self, section: Section<'a, 't>, key: &str) -> Option<&'a Spanned<DeValue<'t>>> {
        section.table.get(key)
    }

    /// Reads a text and checks it.
    pub(super) fn text<T>(
        &mut self,
        section: Section<'_, 't>,
        key: &str,
        value: Option<&Spanned<DeValue<'t>>>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = value?;
        let parsed = match value.get_ref() {
            DeValue::String(text) => parse(text),
            other => Err(format!("is a text, not a {}", other.type_str())),
        };
        parsed.map_err(|reason| self.problem(value.span().start, format!("{} {reason}", section.key(key)))).ok()
    }

    /// Reads an optional number in a range.
    pub(super) fn number(&mut self, section: Section<'_, 't>, key: &str, most: u64, default: u64) -> u64 {
        let Some(value) = section.table.get(key) else { return default };
        let number = json(value.get_ref()).ok().and_then(|number| number.as_u64());
        match number.filter(|number| (1..=most).contains(number)) {
            Some(number) => number,
            None => {
                self.problem(value.span().start, format!("{} is a number from 1 to {most}", section.key(key)));
                default
            }
        }
    }

    /// Reads a table as JSON, and its members as they are checked.
    pub(super) fn members(
        &mut self,
        section: Section<'_, 't>,
        key: &str,
        value: Option<&Spanned<DeValue<'t>>>,
        check: impl Fn(&str, &Value) -> Vec<String>,
    ) -> Option<Map<String, Value>> {
        let value = value?;
        let name = section.key(key);
        let DeValue::Table(table) = value.get_ref() else {
            let found = value.get_ref().type_str();
            self.problem(value.span().start, format!("{name} is a table such as {{ a = 1 }}, not a {found}"));
            return None;
        };
        let mut members = Map::new();
        for (member, value) in table {
            let member = member.get_ref();
            let problems = match json(value.get_ref()) {
                Ok(json) => {
                    let problems = check(member, &json);
                    members.insert(member.to_string(), json);
                    problems
                }
                Err(reason) => vec![reason],
            };
            for problem in problems {
                self.problem(value.span().start, format!("{name}.{member} {problem}"));
            }
        }
        Some(members)
    }
}

/// Makes JSON of a value.
fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(boolean) => Value::from(*boolean),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            Value::from(number.map_err(|error| format!("is not a whole number: {error}"))?)
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or("is a number that JSON does not have")?)
        }
        DeValue::Datetime(_) => return Err("is a time, which JSON does not have: put it in quotes".to_owned()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect::<Result<Value, _>>()?,
        DeValue::Table(table) => {
            let members = table.iter().map(|(name, member)| Ok((name.get_ref().to_string(), json(member.get_ref())?)));
            Value::Object(members.collect::<Result<_, String>>()?)
        }
    })
}
