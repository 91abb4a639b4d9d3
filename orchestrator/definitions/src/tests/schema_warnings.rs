//! Keywords and formats of an input schema that check nothing.

use serde_json::{Value, json};

use super::{PARTICIPANTS, accepted_schema, definition_of};
use crate::problem::{Place, Severity};
use crate::schema::keywords::FORMATS;
use crate::{Format, Identity, SagaFile};

/// Checks that a schema has exactly these warnings: pointer from the schema and text of each.
fn check(schema: &Value, expected: &[(&str, &str)]) {
    let text = definition_of(schema).to_string();
    let accepted = SagaFile::parse(&text, Format::Json, Identity::Inside, &PARTICIPANTS).unwrap();
    assert!(accepted.warnings.iter().all(|warning| warning.severity == Severity::Warning));
    let found: Vec<(Place, &str)> =
        accepted.warnings.iter().map(|warning| (warning.place.clone(), warning.text.as_str())).collect();
    let expected: Vec<(Place, &str)> =
        expected.iter().map(|(at, text)| (Place::Pointer(format!("/input{at}")), *text)).collect();
    assert_eq!(found, expected, "{schema}");
}

#[test]
fn a_keyword_that_is_not_of_the_standard_is_a_warning() {
    let requird = "the input schema has no keyword \"requird\" (did you mean \"required\"?): it checks nothing";
    let typ = "the input schema has no keyword \"typ\" (did you mean \"type\"?): it checks nothing";
    let nullable = "the input schema has no keyword \"nullable\": it checks nothing";
    check(&json!({ "requird": ["a"] }), &[("/requird", requird)]);
    check(
        &json!({ "properties": { "a": { "items": { "anyOf": [{}, { "typ": "string" }] } } }, "requird": [] }),
        &[("/requird", requird), ("/properties/a/items/anyOf/1/typ", typ)],
    );
    check(&json!({ "$defs": { "a/b": { "nullable": true } } }), &[("/$defs/a~1b/nullable", nullable)]);
    check(
        &json!({ "additionalProperties": { "dependentSchemas": { "a": { "typ": 1 } } } }),
        &[("/additionalProperties/dependentSchemas/a/typ", typ)],
    );
    // Names of fields, values and annotations are no keywords.
    check(
        &json!({
            "title": "t", "description": "d", "default": { "typ": 1 }, "examples": [{ "typ": 1 }], "deprecated": true,
            "readOnly": true, "writeOnly": false, "$comment": "c", "contentEncoding": "base64",
            "contentMediaType": "application/json", "contentSchema": {}, "x-order": 1, "const": { "requird": 1 },
            "enum": [{ "requird": 1 }], "properties": { "typ": {}, "requird": { "const": { "typ": 1 } } },
        }),
        &[],
    );
}

#[test]
fn a_format_that_is_not_checked_is_a_warning() {
    let unknown = "the input schema (format): \"dat-time\" is not checked (did you mean \"date-time\"?)";
    check(&json!({ "properties": { "a": { "format": "dat-time" } } }), &[("/properties/a/format", unknown)]);
    check(&json!({ "format": "color" }), &[("/format", "the input schema (format): \"color\" is not checked")]);
    check(&json!({ "properties": { "format": { "const": { "format": "color" } } } }), &[]);
}

#[test]
fn a_warning_of_a_file_has_its_line() {
    let text = "name = \"trip\"\nversion = 1\n[input]\n[input.properties.a]\ntype = \"string\"\nformat = \"dat\"\n\
                [input.properties.b]\nminLenght = 1\n[[steps]]\nname = \"a\"\nparticipant = \"cars\"\nread_only = true\n\
                action = { method = \"GET\", path = \"/a\" }\n";
    let warnings = super::parse(text).unwrap().warnings;
    let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "6: warning: the input schema (format): \"dat\" is not checked (did you mean \"date\"?)",
            "8: warning: the input schema has no keyword \"minLenght\" (did you mean \"minLength\"?): it checks nothing",
        ]
    );
}

#[test]
fn every_known_format_is_checked() {
    for format in FORMATS {
        let file = accepted_schema(&json!({ "format": format }));
        let is_checked = ["(", "a b", "%", "{", "//[", "/~"].iter().any(|text| file.check_input(&json!(text)).is_err());
        assert!(is_checked, "{format}");
    }
}
