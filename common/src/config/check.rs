//! Checks layers against the schema: every key must be known, every value must have the type of its default.

use config::{Map, Value, ValueKind};
use foundation::names::closest;

use super::{
    error::ConfigProblem,
    layers::{Layer, join},
};

/// Prefix of the environment variables that are settings.
pub(super) const VARIABLE_PREFIX: &str = "ECOMMERCE__";

/// The type of a key, taken from its value in `default.toml`.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
    TextList,
    Section,
}

impl Kind {
    fn of(value: &ValueKind) -> Self {
        match value {
            ValueKind::Boolean(_) => Self::Boolean,
            ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => Self::Integer,
            ValueKind::Float(_) => Self::Float,
            ValueKind::String(_) | ValueKind::Nil => Self::Text,
            ValueKind::Array(_) => Self::TextList,
            ValueKind::Table(_) => Self::Section,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Float => "a number",
            Self::Text => "a string",
            Self::TextList => "a list of strings",
            Self::Section => "a section",
        }
    }
}

/// Keeps the valid values of a file and reports all others as problems.
pub(super) fn check_file(
    schema: &Map<String, Value>,
    place: &str,
    given: &Map<String, Value>,
    problems: &mut Vec<ConfigProblem>,
) -> Layer {
    let mut layer = Layer::default();
    check_section(schema, place, "", given, &mut layer, problems);
    layer
}

fn check_section(
    schema: &Map<String, Value>,
    place: &str,
    section: &str,
    given: &Map<String, Value>,
    layer: &mut Layer,
    problems: &mut Vec<ConfigProblem>,
) {
    // Sorted by name: the map is a hash map, and the order of messages should not vary between runs.
    let mut names: Vec<&String> = given.keys().collect();
    names.sort();
    for name in names {
        let value = &given[name];
        let key = join(section, name);
        let Some(default) = schema.get(name) else {
            problems.push(ConfigProblem::new(&key, place, unknown(schema, section, name)));
            continue;
        };
        match (&default.kind, &value.kind) {
            (ValueKind::Table(inner_schema), ValueKind::Table(inner)) => {
                check_section(inner_schema, place, &key, inner, layer, problems);
            }
            (default, given) => match typed(Kind::of(default), given) {
                Some(kind) => drop(layer.0.insert(key, Value::new(Some(&place.to_owned()), kind))),
                None => problems.push(ConfigProblem::new(&key, place, wrong_type(default, given))),
            },
        }
    }
}

/// Reads the variables that begin with [`VARIABLE_PREFIX`]. A value is read as the type of its key, so a token `"8001"`
/// stays a text. Lists are comma-separated.
pub(super) fn check_variables(
    schema: &Map<String, Value>,
    variables: &[(String, String)],
    problems: &mut Vec<ConfigProblem>,
) -> Layer {
    let mut layer = Layer::default();
    for (variable, text) in variables {
        let Some(path) = variable.strip_prefix(VARIABLE_PREFIX) else {
            continue;
        };
        let place = format!("environment variable {variable}");
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let key = path.join(".");
        let default = match find(schema, &path) {
            Ok(default) => default,
            Err(message) => {
                problems.push(ConfigProblem::new(key, place, message));
                continue;
            }
        };
        match parsed(Kind::of(default), text.trim()) {
            Some(kind) => drop(layer.0.insert(key, Value::new(Some(&place), kind))),
            None if matches!(default, ValueKind::Table(_)) => {
                problems.push(ConfigProblem::new(key, place, "is a section, expected one of its keys"));
            }
            None => {
                let message = format!("cannot be read, expected {}", expected(default));
                problems.push(ConfigProblem::new(key, place, message));
            }
        }
    }
    layer
}

/// Walks the schema along a path; the error names the first part of the path that is unknown.
fn find<'a>(schema: &'a Map<String, Value>, path: &[String]) -> Result<&'a ValueKind, String> {
    let mut table = schema;
    let mut section = String::new();
    for (index, name) in path.iter().enumerate() {
        let Some(value) = table.get(name) else {
            return Err(unknown(table, &section, name));
        };
        section = join(&section, name);
        match &value.kind {
            ValueKind::Table(inner) => table = inner,
            kind if index + 1 == path.len() => return Ok(kind),
            kind => {
                return Err(format!("unknown key, {section} is {}, not a section", Kind::of(kind).name()));
            }
        }
        if index + 1 == path.len() {
            return Ok(&value.kind);
        }
    }
    Err("unknown key".to_owned())
}

/// Converts a value to the type of its key; `None` if the types differ. A whole number is accepted for a float.
fn typed(kind: Kind, given: &ValueKind) -> Option<ValueKind> {
    match (kind, given) {
        (Kind::Float, ValueKind::I64(number)) => Some(ValueKind::Float(*number as f64)),
        (Kind::TextList, ValueKind::Array(items)) => {
            let all_texts = items.iter().all(|item| Kind::of(&item.kind) == Kind::Text);
            all_texts.then(|| given.clone())
        }
        (kind, given) => (kind == Kind::of(given)).then(|| given.clone()),
    }
}

fn parsed(kind: Kind, text: &str) -> Option<ValueKind> {
    match kind {
        Kind::Boolean => text.to_lowercase().parse().ok().map(ValueKind::Boolean),
        Kind::Integer => text.parse().ok().map(ValueKind::I64),
        Kind::Float => text.parse().ok().map(ValueKind::Float),
        Kind::Text => Some(ValueKind::String(text.to_owned())),
        Kind::TextList => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(ValueKind::Array(items.map(|item| Value::new(None, item)).collect()))
        }
        Kind::Section => None,
    }
}

fn expected(default: &ValueKind) -> String {
    let example = match default {
        ValueKind::Boolean(value) => format!(" such as {value}"),
        ValueKind::I64(value) => format!(" such as {value}"),
        ValueKind::Float(value) => format!(" such as {value:?}"),
        _ => String::new(),
    };
    format!("{}{example}", Kind::of(default).name())
}

fn wrong_type(default: &ValueKind, given: &ValueKind) -> String {
    if let (ValueKind::Array(_), ValueKind::Array(_)) = (default, given) {
        return "has items that are not strings, expected a list of strings".to_owned();
    }
    format!("is {}, expected {}", Kind::of(given).name(), expected(default))
}

fn unknown(siblings: &Map<String, Value>, section: &str, name: &str) -> String {
    let mut known: Vec<&str> = siblings.keys().map(String::as_str).collect();
    known.sort_unstable();
    match closest(name, known.iter().copied()) {
        Some(near) => format!("unknown key, did you mean {}?", join(section, near)),
        None => format!("unknown key, expected one of {}", known.join(", ")),
    }
}
