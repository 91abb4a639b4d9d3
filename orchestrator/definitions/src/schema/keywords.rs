//! Keywords and formats of a schema that check nothing. The standard ignores what it does not know, so a misspelt
//! keyword accepts every input: its author is warned.

use serde_json::{Map, Value};

use super::subschemas;
use crate::pointer;
use crate::problem::{Problems, did_you_mean};
use crate::source::Node;

/// The keywords of JSON Schema 2020-12, annotations and those kept from earlier drafts included.
const KEYWORDS: [&str; 60] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "$vocabulary",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "writeOnly",
];

/// Keywords of other tools begin so.
const EXTENSION: &str = "x-";

/// The formats that the library checks: those of the standard without the two of international names.
pub(crate) const FORMATS: [&str; 17] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Warns of what a schema says without effect.
pub(super) fn warn(schema: &Value, node: &Node, problems: &mut Problems) {
    warn_below(schema, &mut String::new(), node, problems);
}

fn warn_below(schema: &Value, at: &mut String, node: &Node, problems: &mut Problems) {
    if let Value::Object(keywords) = schema {
        warn_of_keywords(keywords, at, node, problems);
    }
    for (below, subschema) in subschemas(schema) {
        let length = at.len();
        at.push_str(&below);
        warn_below(subschema, at, node, problems);
        at.truncate(length);
    }
}

fn warn_of_keywords(keywords: &Map<String, Value>, at: &str, node: &Node, problems: &mut Problems) {
    let place = |keyword: &str| node.place_at(&pointer::split(&pointer::join(at, keyword)));
    let is_unknown = |keyword: &&String| !KEYWORDS.contains(&keyword.as_str()) && !keyword.starts_with(EXTENSION);
    for keyword in keywords.keys().filter(is_unknown) {
        let meant = did_you_mean(keyword, KEYWORDS);
        problems
            .warning(place(keyword), format!("the input schema has no keyword {keyword:?}{meant}: it checks nothing"));
    }
    let format = keywords.get("format").and_then(Value::as_str);
    if let Some(format) = format.filter(|format| !FORMATS.contains(format)) {
        let meant = did_you_mean(format, FORMATS);
        problems.warning(place("format"), format!("the input schema (format): {format:?} is not checked{meant}"));
    }
}
