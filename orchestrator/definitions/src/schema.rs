//! The schema of a definition's input: JSON Schema 2020-12.
//!
//! A field that a placeholder names is known where it stands under `properties`, through local `$ref` and `allOf`.
//! Nothing is fetched, ever: references lead into the schema itself. No input can stall the orchestrator: patterns are
//! matched in linear time, and the [work] of a check is limited.

mod applicators;
pub(crate) mod keywords;
mod work;

use std::collections::BTreeSet;
use std::fmt;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use self::work::{Affordable, MAX_STEPS, MAX_STEPS_OF_ERRORS, WorkLimit};
use crate::limits::MAX_PATTERN_BYTES;
use crate::pointer::{self, Pointer};
use crate::problem::Problems;
use crate::source::Node;
use crate::{InputError, template::InputPath};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Advice for the keyword `type`; the library's names only the rule that it breaks.
const TYPES: &str =
    "write \"string\", \"number\", \"integer\", \"boolean\", \"object\", \"array\" or \"null\", or a list of them";

/// Keywords whose value is a schema.
const ONE: [&str; 12] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "additionalItems",
];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a table of schemas.
const TABLE: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// A schema, ready to check inputs.
pub(crate) struct InputSchema {
    schema: Value,
    validator: Validator,
    limit: WorkLimit,
}

impl fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InputSchema").field(&self.schema).finish()
    }
}

impl InputSchema {
    /// Makes a schema; `None` if it cannot be used, which is reported with the place of each problem in `node`.
    pub(crate) fn new(schema: Value, node: Option<&Node>, problems: &mut Problems) -> Option<InputSchema> {
        let mut errors = Vec::new();
        let meta = jsonschema::draft202012::meta::validator();
        for error in meta.iter_errors(&schema) {
            let at = error.instance_path().to_string();
            let text = match at.rsplit('/').next() {
                Some("type") => TYPES.to_owned(),
                // Checked below, by the rules of the engine that matches it.
                Some("pattern") if error.instance().is_string() => continue,
                _ => said(&error),
            };
            errors.push((at, text));
        }
        check(&schema, &schema, &mut String::new(), &mut errors);
        if errors.is_empty() {
            match options().build(&schema) {
                Ok(validator) => {
                    if let Some(node) = node {
                        keywords::warn(&schema, node, problems);
                    }
                    let limit = WorkLimit::new(&schema);
                    return Some(InputSchema { schema, validator, limit });
                }
                Err(error) => errors.push((error.instance_path().to_string(), said(&error))),
            }
        }
        for (at, text) in errors {
            let Some(node) = node else { continue };
            let at = pointer::split(&at);
            let keyword = at.last().map_or(String::new(), |keyword| format!(" ({keyword})"));
            problems.error(node.place_at(&at), format!("the input schema{keyword}: {text}"));
        }
        None
    }

    pub(crate) fn as_value(&self) -> &Value {
        &self.schema
    }

    /// Returns every reason why an input does not fit, or that they take too long to find.
    pub(crate) fn check(&self, input: &Value) -> Vec<InputError> {
        let refusal = |detail: String| vec![InputError { pointer: String::new(), detail }];
        match self.limit.affordable(input) {
            Affordable::EveryError => self.errors(input),
            Affordable::Verdict if self.validator.is_valid(input) => Vec::new(),
            Affordable::Verdict => refusal(format!(
                "it does not fit the schema, and finding every reason takes more than {MAX_STEPS_OF_ERRORS} steps: send less"
            )),
            Affordable::Nothing => refusal(format!(
                "checking it by the schema takes more than {MAX_STEPS} steps: simplify the schema, or send less"
            )),
        }
    }

    fn errors(&self, input: &Value) -> Vec<InputError> {
        let errors = self.validator.iter_errors(input);
        let error = |error: jsonschema::ValidationError<'_>| InputError {
            pointer: error.instance_path().to_string(),
            detail: said(&error),
        };
        errors.map(error).collect()
    }
}

/// Returns the names of the fields that are known where a path ends in a field that is not; `None` if all of the path
/// is known.
pub(crate) fn unknown_field<'a>(schema: &'a Value, path: &InputPath) -> Option<BTreeSet<&'a str>> {
    let mut open = vec![schema];
    for key in &path.keys {
        let members = properties(schema, open);
        let found: Vec<&Value> = members.iter().filter_map(|members| members.get(key)).collect();
        if found.is_empty() {
            return Some(members.iter().flat_map(|members| members.keys().map(String::as_str)).collect());
        }
        open = found;
    }
    None
}

/// Returns the `properties` of schemas, through local `$ref` and `allOf`.
fn properties<'a>(root: &'a Value, mut open: Vec<&'a Value>) -> Vec<&'a Map<String, Value>> {
    let mut seen: Vec<&Value> = Vec::new();
    let mut members = Vec::new();
    while let Some(schema) = open.pop() {
        if seen.iter().any(|passed| std::ptr::eq(*passed, schema)) {
            continue;
        }
        seen.push(schema);
        members.extend(schema.get("properties").and_then(Value::as_object));
        open.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
        open.extend(schema.get("$ref").and_then(Value::as_str).and_then(|reference| referred(root, reference)));
    }
    members
}

/// Returns the schema that a local reference leads to: a JSON pointer or an anchor.
fn referred<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let fragment = reference.strip_prefix('#')?;
    let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
    match Pointer::parse(&fragment) {
        Ok(pointer) => pointer.find(root),
        Err(_) => anchored(root, &fragment),
    }
}

fn anchored<'a>(schema: &'a Value, anchor: &str) -> Option<&'a Value> {
    if ["$anchor", "$dynamicAnchor"].iter().any(|key| schema.get(key).and_then(Value::as_str) == Some(anchor)) {
        return Some(schema);
    }
    subschemas(schema).into_iter().find_map(|(_, subschema)| anchored(subschema, anchor))
}

/// Returns the schemas directly in a schema, with their pointers from it.
fn subschemas(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match value {
            Value::Object(members) if TABLE.contains(&keyword.as_str()) => {
                let at = pointer::join("", keyword);
                found.extend(members.iter().map(|(name, schema)| (pointer::join(&at, name), schema)));
            }
            Value::Array(items) if LIST.contains(&keyword.as_str()) => {
                found.extend(items.iter().enumerate().map(|(index, schema)| (format!("/{keyword}/{index}"), schema)));
            }
            value if ONE.contains(&keyword.as_str()) => found.push((pointer::join("", keyword), value)),
            _ => {}
        }
    }
    found
}

/// Refuses references that lead out of the schema or nowhere, other drafts, and patterns that cannot be matched in linear
/// time.
fn check(root: &Value, schema: &Value, at: &mut String, errors: &mut Vec<(String, String)>) {
    let text = |keyword| schema.get(keyword).and_then(Value::as_str);
    for keyword in ["$ref", "$dynamicRef"] {
        let Some(reference) = text(keyword) else { continue };
        let text = match reference.starts_with('#') {
            false => {
                "leads out of this schema, and nothing is fetched: put the schema under $defs and write \"#/$defs/name\""
            }
            true if referred(root, reference).is_none() => {
                "leads nowhere: write \"#/$defs/name\" for a schema under $defs"
            }
            true => continue,
        };
        errors.push((format!("{at}/{keyword}"), format!("{reference:?} {text}")));
    }
    let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
    let patterns = patterns.map(|(pattern, _)| (pointer::join("/patternProperties", pattern), pattern.as_str()));
    for (below, pattern) in patterns.chain(text("pattern").map(|pattern| ("/pattern".to_owned(), pattern))) {
        if options().build(&json!({ "pattern": pattern })).is_err() {
            let text = "is not a pattern: write a regular expression without look-around and back-references";
            errors.push((format!("{at}{below}"), format!("{pattern:?} {text}")));
        }
    }
    if let Some(draft) = text("$schema").filter(|draft| draft.trim_end_matches('#') != DRAFT) {
        errors.push((format!("{at}/$schema"), format!("{draft:?} is another draft: write {DRAFT:?}, or nothing")));
    }
    if schema.get("$id").is_some() && !at.is_empty() {
        errors.push((format!("{at}/$id"), "references would change their meaning below it: remove it".to_owned()));
    }
    for (below, subschema) in subschemas(schema) {
        let length = at.len();
        at.push_str(&below);
        check(root, subschema, at, errors);
        at.truncate(length);
    }
}

fn options<'a>() -> jsonschema::ValidationOptions<'a> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .offline()
}

/// Returns the message of an error without the value, which may be long or secret.
fn said(error: &jsonschema::ValidationError<'_>) -> String {
    error.masked().to_string()
}
