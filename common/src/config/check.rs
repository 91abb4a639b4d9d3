//! Checks layers against the schema: every key must be known, every value must have the type of its default.

use std::fs;

use config::{Map, Value, ValueKind};
use foundation::names::closest;

use super::{
    error::{ConfigProblem, Findings},
    layers::{Layer, VARIABLE_PREFIX, is_secret, join},
    named::{ANY_NAME, check_name},
    otel,
    source::FlagSetting,
};

/// Keys of the previous version that have no effect any more, each with its successor. The next version rejects them.
const RETIRED: [(&str, &str); 1] = [(
    "participants.in_process",
    "is retired and has no effect: `up` calls participants in process, `serve` over the network",
)];

/// The type of a key, taken from its value in `default.toml`.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
    TextList,
    IntegerList,
    Section,
}

impl Kind {
    fn of(value: &ValueKind) -> Self {
        match value {
            ValueKind::Boolean(_) => Self::Boolean,
            ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => Self::Integer,
            ValueKind::Float(_) => Self::Float,
            ValueKind::String(_) | ValueKind::Nil => Self::Text,
            ValueKind::Array(items) if !items.is_empty() && all_are(Self::Integer, items) => Self::IntegerList,
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
            Self::IntegerList => "a list of whole numbers",
            Self::Section => "a section",
        }
    }
}

/// Keeps the valid values of a file and reports all others as problems.
pub(super) fn check_file(
    schema: &Map<String, Value>,
    place: &str,
    given: &Map<String, Value>,
    findings: &mut Findings,
) -> Layer {
    let mut layer = Layer::default();
    check_section(schema, place, "", given, &mut layer, findings);
    layer
}

fn check_section(
    schema: &Map<String, Value>,
    place: &str,
    section: &str,
    given: &Map<String, Value>,
    layer: &mut Layer,
    findings: &mut Findings,
) {
    // Sorted by name: the map is a hash map, and the order of messages should not vary between runs.
    let mut names: Vec<&String> = given.keys().collect();
    names.sort();
    for name in names {
        let value = &given[name];
        let key = join(section, name);
        let is_section = matches!(value.kind, ValueKind::Table(_));
        let default = match child(schema, section, name, is_section) {
            Ok(default) => default,
            Err(message) => {
                report_unknown(ConfigProblem::new(key, place, message), findings);
                continue;
            }
        };
        match (&default.kind, &value.kind) {
            (ValueKind::Table(inner_schema), ValueKind::Table(inner)) => {
                check_section(inner_schema, place, &key, inner, layer, findings);
            }
            (default, given) => match typed(Kind::of(default), given) {
                Some(kind) => drop(layer.0.insert(key, Value::new(Some(&place.to_owned()), kind))),
                None => findings.problems.push(ConfigProblem::new(&key, place, wrong_type(default, given))),
            },
        }
    }
}

/// Reads the variables that begin with [`VARIABLE_PREFIX`]. A value is read as the type of its key, so a token `"8001"`
/// stays a text. Lists are comma-separated. A variable of a secret may have `_FILE` behind its name and the path of a
/// file as its value; the file has the secret.
pub(super) fn check_variables(
    schema: &Map<String, Value>,
    variables: &[(String, String)],
    findings: &mut Findings,
) -> Layer {
    let mut layer = Layer::default();
    let mut files = Vec::new();
    for (variable, text) in variables {
        let Some(path) = variable.strip_prefix(VARIABLE_PREFIX) else {
            continue;
        };
        let place = format!("environment variable {variable}");
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let key = path.join(".");
        if let Some(secret) = secret_in_file(schema, &key) {
            files.push((secret.to_owned(), variable, text.trim()));
            continue;
        }
        let default = match find(schema, &path) {
            Ok(default) => default,
            Err(message) => {
                report_unknown(ConfigProblem::new(key, place, message), findings);
                continue;
            }
        };
        if text.trim().is_empty() && otel::sets(&key) {
            continue;
        }
        match value_of(default, text.trim()) {
            Ok(kind) => drop(layer.0.insert(key, Value::new(Some(&place), kind))),
            Err(message) => findings.problems.push(ConfigProblem::new(key, place, message)),
        }
    }
    for (key, variable, file) in files.into_iter().filter(|(_, _, file)| !file.is_empty()) {
        let place = format!("environment variable {variable}");
        let is_given = layer.0.get(&key).is_some_and(|given| given.kind != ValueKind::String(String::new()));
        let secret = if is_given {
            Err(format!("is set twice, expected either {} or {variable}", &variable[..variable.len() - FILE.len()]))
        } else {
            read_secret(file)
        };
        match secret {
            Ok(secret) => drop(layer.0.insert(key, Value::new(Some(&place), secret))),
            Err(message) => findings.problems.push(ConfigProblem::new(key, place, message)),
        }
    }
    layer
}

/// Reads the settings given as flags of the command line. A value is not trimmed, so that blanks are seen by its rule.
pub(super) fn check_flags(schema: &Map<String, Value>, flags: &[FlagSetting], findings: &mut Findings) -> Layer {
    let mut layer = Layer::default();
    for FlagSetting { flag, key, value } in flags {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        match find(schema, &path).and_then(|default| value_of(default, value)) {
            Ok(kind) => drop(layer.0.insert(key.clone(), Value::new(Some(&(*flag).to_owned()), kind))),
            Err(message) => findings.problems.push(ConfigProblem::new(key, *flag, message)),
        }
    }
    layer
}

/// End of the names of variables that name a file with a secret.
pub(super) const FILE: &str = "_FILE";

/// Returns the key of the secret whose file this key names; `None` if the key names no file.
fn secret_in_file<'a>(schema: &Map<String, Value>, key: &'a str) -> Option<&'a str> {
    let secret = key.strip_suffix("_file").filter(|secret| is_secret(secret))?;
    let path: Vec<String> = secret.split('.').map(str::to_owned).collect();
    find(schema, &path).is_ok().then_some(secret)
}

fn read_secret(file: &str) -> Result<String, String> {
    match fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => Err(format!("the file {file} is empty, expected a secret in it")),
        Ok(text) => Ok(text),
        Err(error) => Err(format!("the file {file} cannot be read: {error}")),
    }
}

/// Reports an unknown key as a problem, and a retired one as a warning.
fn report_unknown(unknown: ConfigProblem, findings: &mut Findings) {
    let of_any_name = match unknown.key.split('.').collect::<Vec<_>>().as_slice() {
        // A participant that a user names has the keys of the section too.
        [section, _, key] => join(section, key),
        _ => unknown.key.clone(),
    };
    match RETIRED.iter().find(|(retired, _)| *retired == of_any_name) {
        Some((_, successor)) => findings.warnings.push(ConfigProblem { message: (*successor).to_owned(), ..unknown }),
        None => findings.problems.push(unknown),
    }
}

/// Finds a key of a section in the schema. In a section with names that the user chooses, an unknown section is one of
/// these names.
fn child<'a>(schema: &'a Map<String, Value>, section: &str, name: &str, is_section: bool) -> Result<&'a Value, String> {
    match (schema.get(name), schema.get(ANY_NAME)) {
        (Some(known), _) if name != ANY_NAME => Ok(known),
        (_, Some(any)) if is_section => check_name(name).map(|()| any),
        _ => Err(unknown(schema, section, name)),
    }
}

/// Walks the schema along a path; the error names the first part of the path that is unknown.
pub(super) fn find<'a>(schema: &'a Map<String, Value>, path: &[String]) -> Result<&'a ValueKind, String> {
    let mut table = schema;
    let mut section = String::new();
    for (index, name) in path.iter().enumerate() {
        let value = child(table, &section, name, index + 1 < path.len())?;
        section = join(&section, name);
        match &value.kind {
            kind if index + 1 == path.len() => return Ok(kind),
            ValueKind::Table(inner) => table = inner,
            kind => return Err(format!("unknown key, {section} is {}, not a section", Kind::of(kind).name())),
        }
    }
    Err("unknown key".to_owned())
}

/// Converts a value to the type of its key; `None` if the types differ. A whole number is accepted for a float.
fn typed(kind: Kind, given: &ValueKind) -> Option<ValueKind> {
    match (kind, given) {
        (Kind::Float, ValueKind::I64(number)) => Some(ValueKind::Float(*number as f64)),
        (Kind::TextList, ValueKind::Array(items)) => all_are(Kind::Text, items).then(|| given.clone()),
        (Kind::IntegerList, ValueKind::Array(items)) => all_are(Kind::Integer, items).then(|| given.clone()),
        (kind, given) => (kind == Kind::of(given)).then(|| given.clone()),
    }
}

fn all_are(kind: Kind, items: &[Value]) -> bool {
    items.iter().all(|item| Kind::of(&item.kind) == kind)
}

/// Reads a text as the value of a key; the error says what was expected.
fn value_of(default: &ValueKind, text: &str) -> Result<ValueKind, String> {
    parsed(Kind::of(default), text).ok_or_else(|| match default {
        ValueKind::Table(_) => "is a section, expected one of its keys".to_owned(),
        _ => format!("cannot be read, expected {}", expected(default)),
    })
}

fn parsed(kind: Kind, text: &str) -> Option<ValueKind> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    match kind {
        Kind::Boolean => text.to_lowercase().parse().ok().map(ValueKind::Boolean),
        Kind::Integer => text.parse().ok().map(ValueKind::I64),
        Kind::Float => text.parse().ok().map(ValueKind::Float),
        Kind::Text => Some(ValueKind::String(text.to_owned())),
        Kind::TextList => Some(ValueKind::Array(items.map(|item| Value::new(None, item)).collect())),
        Kind::IntegerList => {
            let numbers = items.map(|item| item.parse().map(|number: i64| Value::new(None, number)));
            numbers.collect::<Result<Vec<_>, _>>().ok().map(ValueKind::Array)
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
        return match Kind::of(default) {
            Kind::IntegerList => "has items that are not whole numbers, expected a list of whole numbers".to_owned(),
            _ => "has items that are not strings, expected a list of strings".to_owned(),
        };
    }
    format!("is {}, expected {}", Kind::of(given).name(), expected(default))
}

fn unknown(siblings: &Map<String, Value>, section: &str, name: &str) -> String {
    let mut known: Vec<&str> = siblings.keys().map(String::as_str).filter(|known| *known != ANY_NAME).collect();
    known.sort_unstable();
    match closest(name, known.iter().copied()) {
        Some(near) => format!("unknown key, did you mean {}?", join(section, near)),
        None => format!("unknown key, expected one of {}", known.join(", ")),
    }
}
