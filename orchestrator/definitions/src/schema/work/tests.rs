//! The count is compared with the evaluations that the library makes, of random schemas and inputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonschema::{Keyword, ValidationError, Validator};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::applicators::{Index, Subschema};
use super::super::{options, subschemas};
use super::{WorkLimit, size};
use crate::pointer::Pointer;

/// A keyword that counts how often the subschema with it is evaluated.
const COUNTER: &str = "x-counter";

struct Counter(Arc<AtomicU64>);

impl<'i> Keyword<'i> for Counter {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}

fn counting(schema: &Value, evaluations: &Arc<AtomicU64>) -> Validator {
    let mut schema = schema.clone();
    let mut open = vec![String::new()];
    while let Some(at) = open.pop() {
        let subschema = Pointer::parse(&at).unwrap().find(&schema).unwrap();
        open.extend(subschemas(subschema).into_iter().map(|(below, _)| format!("{at}{below}")));
        if let Some(Value::Object(keywords)) = schema.pointer_mut(&at) {
            keywords.insert(COUNTER.to_owned(), Value::Bool(true));
        }
    }
    let evaluations = evaluations.clone();
    let options = options().with_keyword(COUNTER, move |_, _, _| Ok(Box::new(Counter(evaluations.clone()))));
    options.build(&schema).unwrap()
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({ "type": "object" })),
        Just(json!({ "type": "string" })),
        Just(json!({ "required": ["a"] })),
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({ "$ref": "#" })),
        Just(json!({ "$ref": "#/$defs/d0" })),
        Just(json!({ "$ref": "#/$defs/d1" })),
        Just(json!({ "$ref": "#/$defs/d2" })),
    ];
    let any = leaf.prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..4);
        let branch = ("[xyz]", inner.clone()).prop_map(|(kind, side)| {
            json!({ "properties": { "a": side, "b": side, "kind": { "const": kind } }, "required": ["kind"] })
        });
        let keyword = prop_oneof![
            (prop::sample::select(vec!["allOf", "anyOf", "oneOf", "prefixItems"]), list)
                .prop_map(|(keyword, list)| json!({ keyword: list })),
            (prop::sample::select(vec!["anyOf", "oneOf"]), prop::collection::vec(branch, 2..5))
                .prop_map(|(keyword, list)| json!({ keyword: list })),
            (prop::sample::select(super::super::ONE.to_vec()), inner.clone())
                .prop_map(|(keyword, schema)| json!({ keyword: schema })),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(first, then, other)| json!({ "if": first, "then": then, "else": other })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "properties": { "a": a, "b": b } })),
            inner.clone().prop_map(|schema| json!({ "patternProperties": { "^[ab]": schema } })),
            inner.clone().prop_map(|schema| json!({ "dependentSchemas": { "a": schema } })),
            inner.prop_map(|schema| json!({ "dependencies": { "b": schema } })),
        ];
        prop::collection::vec(keyword, 1..4).prop_map(|schemas| {
            let keywords = schemas.into_iter().filter_map(|schema| schema.as_object().cloned()).flatten();
            Value::Object(keywords.collect::<Map<_, _>>())
        })
    });
    (any.clone(), any.clone(), any.clone(), any).prop_map(|(root, d0, d1, d2)| {
        let mut root = root.as_object().cloned().unwrap_or_default();
        root.insert("$defs".to_owned(), json!({ "d0": d0, "d1": d1, "d2": d2 }));
        Value::Object(root)
    })
}

fn input() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), Just(json!(1)), "[xyz]".prop_map(Value::String)];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            ("[xyz]", inner.clone(), inner.clone()).prop_map(|(kind, a, b)| json!({ "kind": kind, "a": a, "b": b })),
            prop::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Tells whether a subschema applies itself to the same value: how often the library enters it depends on the order in
/// which it compiled the references.
fn is_endless(subschemas: &[Subschema], index: Index, path: &mut Vec<Index>) -> bool {
    if path.contains(&index) {
        return true;
    }
    path.push(index);
    let subschema = &subschemas[index];
    let mut in_place =
        subschema.conjuncts.iter().copied().chain(subschema.branches()).chain(subschema.others_in_place());
    let is_endless = in_place.any(|below| is_endless(subschemas, below, path));
    path.pop();
    is_endless
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_check_makes_no_more_evaluations_than_were_counted(schema in schema(), input in input()) {
        let limit = WorkLimit::new(&schema);
        let mut indices = 0..limit.subschemas.len();
        if indices.any(|index| is_endless(&limit.subschemas, index, &mut Vec::new())) {
            return Ok(());
        }
        let Ok(work) = limit.count(&input) else { return Ok(()) };
        // More would take this test too long.
        if work.errors > 100_000 {
            return Ok(());
        }
        let evaluations = Arc::new(AtomicU64::new(0));
        let validator = counting(&schema, &evaluations);
        let is_valid = validator.is_valid(&input);
        let for_verdict = evaluations.swap(0, Ordering::Relaxed);
        let errors = validator.iter_errors(&input).count();
        let for_errors = evaluations.load(Ordering::Relaxed);
        prop_assert_eq!(is_valid, errors == 0);
        prop_assert!(for_verdict <= work.verdict, "{} > {}", for_verdict, work.verdict);
        prop_assert!(for_errors <= work.errors, "{} > {}", for_errors, work.errors);
        if let Some(steps) = limit.steps_per_value {
            let at_most = steps.saturating_mul(size(&input));
            prop_assert!(for_errors <= at_most, "{} > {}", for_errors, at_most);
        }
    }
}
