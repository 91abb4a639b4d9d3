//! The work of checking an input by its schema is bounded.

use serde_json::{Value, json};

use super::accepted_schema;
use crate::SagaFile;

const TOO_MUCH: &str = "checking it by the schema takes more than 1000000 steps: simplify the schema, or send less";
const TOO_MUCH_TO_EXPLAIN: &str =
    "it does not fit the schema, and finding every reason takes more than 100000 steps: send less";

fn errors(file: &SagaFile, input: &Value) -> Vec<String> {
    file.check_input(input).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// Returns levels 0 to `last`, of which each is made from the reference to the next.
fn levels(last: usize, level: impl Fn(Value) -> Value) -> Value {
    let name = |index: usize| format!("d{index}");
    let definitions = (0..last).map(|index| (name(index), level(json!({ "$ref": format!("#/$defs/d{}", index + 1) }))));
    let definitions: serde_json::Map<_, _> = definitions.chain([(name(last), json!({ "type": "object" }))]).collect();
    json!({ "$ref": "#/$defs/d0", "$defs": definitions })
}

/// Nests a value `depth` times in `{ member: … }`.
fn nested(depth: usize, member: &str, innermost: Value) -> Value {
    (0..depth).fold(innermost, |inner, _| json!({ member: inner }))
}

#[test]
fn an_input_whose_check_takes_too_long_is_refused() {
    let twice = levels(28, |next| json!({ "allOf": [next, next] }));
    let below = levels(28, |next| json!({ "properties": { "a": next }, "patternProperties": { "^a": next } }));
    let other = levels(28, |next| {
        let branch = |kind: &str| json!({ "properties": { "a": next, "kind": { "const": kind } } });
        json!({ "oneOf": [branch("x"), branch("y")] })
    });
    let unevaluated = levels(
        28,
        |next| json!({ "anyOf": [{ "properties": { "a": next } }, { "type": "null" }], "unevaluatedProperties": { "type": "integer" } }),
    );
    let items = levels(20, |next| json!({ "items": next, "contains": next }));
    let conditions = levels(28, |next| json!({ "if": next, "then": next }));
    let recursive = json!({
        "$ref": "#/$defs/t",
        "$defs": { "t": { "properties": { "a": { "allOf": [{ "$ref": "#/$defs/t" }, { "$ref": "#/$defs/t" }] } } } },
    });
    let anchored = json!({
        "$dynamicAnchor": "t",
        "additionalProperties": { "allOf": [{ "$dynamicRef": "#t" }, { "$ref": "#t" }] },
    });
    // Each of them refers to all others at the same value.
    let names: Vec<String> = (0..12).map(|index| format!("n{index}")).collect();
    let references = |own: &String| -> Value {
        names.iter().filter(|name| *name != own).map(|name| json!({ "$ref": format!("#/$defs/{name}") })).collect()
    };
    let definitions: serde_json::Map<_, _> =
        names.iter().map(|name| (name.clone(), json!({ "allOf": references(name) }))).collect();
    let meshed = json!({ "$ref": "#/$defs/n0", "$defs": definitions });
    let list = (0..20).fold(json!([]), |inner, _| json!([inner]));
    let nesting = |number: usize| {
        (0..11).fold(json!([]), |inner, bit| if number >> bit & 1 == 1 { json!([inner]) } else { json!([inner, []]) })
    };
    let alike: Value = (0..2_000).map(nesting).collect();
    for (name, schema, input) in [
        ("allOf", &twice, json!({})),
        ("members", &below, nested(28, "a", json!({}))),
        ("oneOf", &other, nested(28, "a", json!({}))),
        ("unevaluatedProperties", &unevaluated, nested(28, "a", json!({}))),
        ("items", &items, list),
        ("if", &conditions, json!({})),
        ("recursive", &recursive, nested(40, "a", json!({}))),
        ("anchors", &anchored, nested(40, "b", json!({}))),
        ("meshed", &meshed, json!({})),
        ("uniqueItems", &json!({ "uniqueItems": true }), alike),
    ] {
        assert_eq!(errors(&accepted_schema(schema), &input), [TOO_MUCH], "{name}");
    }
    // The same schemas take smaller inputs.
    assert_eq!(errors(&accepted_schema(&recursive), &nested(10, "a", json!({}))), [""; 0]);
    assert_eq!(errors(&accepted_schema(&anchored), &nested(10, "b", json!({}))), [""; 0]);
}

/// An expression such as (1 + 2) * 3, as a tree of this depth.
fn expression(depth: usize, leaf: &Value) -> Value {
    let kind = ["add", "sub", "mul", "div"][depth % 4];
    match depth {
        0 => leaf.clone(),
        _ => json!({ "kind": kind, "left": expression(depth - 1, leaf), "right": expression(depth - 1, leaf) }),
    }
}

fn expression_schema() -> Value {
    let branch = |kind: &str| {
        let side = json!({ "$ref": "#/$defs/expression" });
        json!({
            "properties": { "kind": { "const": kind }, "left": side, "right": side },
            "required": ["kind", "left", "right"],
            "additionalProperties": false,
        })
    };
    let number = json!({
        "properties": { "kind": { "const": "number" }, "value": { "type": "number" } },
        "required": ["kind", "value"],
    });
    json!({
        "$ref": "#/$defs/expression",
        "$defs": { "expression": {
            "type": "object",
            "oneOf": [branch("add"), branch("sub"), branch("mul"), branch("div"), number],
        } },
    })
}

#[test]
fn ordinary_schemas_take_inputs_of_60_kb() {
    let order = json!({
        "type": "object",
        "required": ["items"],
        "additionalProperties": false,
        "properties": { "items": { "type": "array", "items": { "$ref": "#/$defs/item" } } },
        "$defs": { "item": {
            "type": "object",
            "allOf": [{ "properties": { "sku": { "type": "string", "pattern": "^[a-z]+$" } } }],
            "properties": { "count": { "anyOf": [{ "type": "integer" }, { "type": "null" }] } },
        } },
    });
    let items: Value = (0..2_000).map(|index| json!({ "sku": "abcdefgh", "count": index })).collect();
    let tree = json!({
        "properties": { "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#" } } },
    });
    // A schema that extends another, as the standard recommends.
    let extended = json!({
        "$dynamicAnchor": "node",
        "$ref": "#/$defs/tree",
        "properties": { "note": { "type": "string" } },
        "unevaluatedProperties": false,
        "$defs": { "tree": { "properties": {
            "name": { "type": "string" },
            "children": { "type": "array", "items": { "$dynamicRef": "#node" } },
        } } },
    });
    let level = |inner: &Value| json!({ "name": "Maria", "children": vec![inner.clone(); 7] });
    let family = (0..4).fold(json!({ "name": "Maria", "children": [] }), |inner, _| level(&inner));
    let list = json!({
        "$ref": "#/$defs/list",
        "$defs": { "list": { "anyOf": [
            { "type": "null" },
            { "type": "object", "properties": { "head": {}, "tail": { "$ref": "#/$defs/list" } } },
        ] } },
    });
    let chain = (0..120).fold(Value::Null, |tail, _| json!({ "head": "x".repeat(500), "tail": tail }));
    let conditional = |kind: &str| {
        json!({
            "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
            "then": { "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } },
        })
    };
    let conditions =
        json!({ "allOf": [conditional("add"), conditional("sub"), conditional("mul"), conditional("div")] });
    let number = json!({ "kind": "number", "value": 12.5 });
    for (name, schema, input) in [
        ("order", &order, json!({ "items": items })),
        ("tree", &tree, family.clone()),
        ("extended tree", &extended, family),
        ("list", &list, chain),
        ("expressions", &expression_schema(), expression(10, &number)),
        ("conditions", &conditions, expression(10, &number)),
    ] {
        let length = input.to_string().len();
        assert!((60_000..120_000).contains(&length), "{name}: {length} bytes");
        assert_eq!(errors(&accepted_schema(schema), &input), [""; 0], "{name}");
    }
}

#[test]
fn an_input_whose_errors_take_too_long_to_find_gets_one() {
    let file = accepted_schema(&expression_schema());
    let wrong = json!({ "kind": "number", "value": "1" });
    assert_eq!(errors(&file, &expression(10, &wrong)), [TOO_MUCH_TO_EXPLAIN]);
    let few = errors(&file, &expression(2, &wrong));
    assert_eq!(few, ["value is not valid under any of the schemas listed in the 'oneOf' keyword"]);
}

#[test]
fn a_reference_to_itself_at_the_same_value_counts_once() {
    let schema = json!({ "$ref": "#", "properties": { "a": { "$ref": "#" } } });
    assert_eq!(errors(&accepted_schema(&schema), &nested(60, "a", json!(1))), [""; 0]);
    let twice = json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] });
    assert_eq!(errors(&accepted_schema(&twice), &json!({ "a": 1 })), [""; 0]);
}
