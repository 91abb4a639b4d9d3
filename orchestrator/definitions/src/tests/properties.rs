//! Properties of every value: it stays in its segment, and the canonical form is stable.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use saga_engine::SagaId;
use saga_engine::definition::{Context, Definition, Effect, Method, Operation, Outputs, ReplyError, Request, Step};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{PARTICIPANTS, accepted};
use crate::{Format, Identity, Judgement, SagaFile};

/// Pieces that make trouble in paths, and any others.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("/".to_owned()),
        Just("\\".to_owned()),
        Just("%2e".to_owned()),
        Just("%2F".to_owned()),
        Just("%".to_owned()),
        Just("?".to_owned()),
        Just("#".to_owned()),
        Just(";".to_owned()),
        Just("\r\n".to_owned()),
        Just("\0".to_owned()),
        Just("{saga.id}".to_owned()),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        "[a-z{}\"é ]{0,8}".prop_map(|text| Value::String(text.replace('{', "{{").replace('}', "}}"))),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-zé\"]{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The template of a path: segments around two placeholders, and a query.
const TEMPLATE: &str = "/a/{input.x}/.{outputs.price.y}/c?x={input.x}&y={outputs.price.y}";

fn file() -> SagaFile {
    accepted(&format!(
        r#"
name = "trip"
version = 1
[input]
required = ["x"]
properties = {{ x = {{}} }}
[[steps]]
name = "price"
participant = "prices"
read_only = true
action = {{ method = "GET", path = "/" }}
outputs = {{ y = "/y" }}
[[steps]]
name = "book"
participant = "cars"
uncompensated = true
action = {{ method = "POST", path = "{TEMPLATE}", body = {{ x = "{{input.x}}", t = "-{{input.x}}" }} }}
"#
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_never_leaves_its_segment(x in nasty(), y in nasty()) {
        let file = file();
        let definition = file.compile(|_| Judgement::Recorded).unwrap();
        let input = json!({ "x": x });
        let context = Context {
            saga_id: SagaId(Uuid::nil()),
            attempt: 1,
            input: Arc::new(input.clone()),
            outputs: Outputs::one("price.y", y.clone()),
        };
        let request = (definition.steps()[1].action.request)(&context);
        // An input with NUL is refused at start, since it cannot be stored.
        let is_accepted = file.check_input(&input).is_ok() || x.contains('\0');
        prop_assert_eq!(request.is_ok(), is_accepted && !["", "."].contains(&y.as_str()));
        if let Ok(request) = request {
            // A parser of URLs resolves dots and corrects a wrong encoding; here it finds nothing to change.
            let url = url::Url::parse(&format!("http://cars{}", request.path)).unwrap();
            let (path, query) = request.path.split_once('?').unwrap();
            prop_assert_eq!(url.path(), path);
            prop_assert_eq!(url.query(), Some(query));
            let segments: Vec<String> = url.path_segments().unwrap().map(decoded).collect();
            prop_assert_eq!(segments, ["a".to_owned(), x.clone(), format!(".{y}"), "c".to_owned()]);
            let pairs: Vec<String> = query.split('&').map(|pair| decoded(&pair[2..])).collect();
            prop_assert_eq!(pairs, [x.clone(), y]);
            let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
            prop_assert_eq!(body, json!({ "x": x, "t": format!("-{x}") }));
        }
    }

    #[test]
    fn the_canonical_form_is_read_back_as_itself(body in json_value(), default in json_value()) {
        let text = json!({
            "name": "trip", "version": 1,
            "input": { "default": default },
            "steps": [{
                "name": "a", "participant": "cars", "uncompensated": true,
                "action": { "method": "POST", "path": "/a", "body": body },
            }],
        });
        let parse = |text: &str, format| {
            SagaFile::parse(text, format, Identity::Inside, &PARTICIPANTS).map(|accepted| accepted.definition)
        };
        let first = parse(&text.to_string(), Format::Json).unwrap();
        let again = parse(&serde_json::to_string_pretty(first.to_json()).unwrap(), Format::Json).unwrap();
        prop_assert_eq!(first.hash(), again.hash());
        prop_assert_eq!(first.to_json(), again.to_json());
        // TOML has no null.
        if let Ok(toml) = toml::to_string(first.to_json()) {
            let of_toml = parse(&toml, Format::Toml).unwrap();
            prop_assert_eq!(first.hash(), of_toml.hash());
        }
    }

    #[test]
    fn a_graph_is_accepted_exactly_if_the_engine_runs_it(
        steps in prop::collection::vec((any::<bool>(), prop::option::of(prop::collection::btree_set(0_usize..6, 0..3))), 1..6),
    ) {
        let after = |after: &BTreeSet<usize>| after.iter().map(|earlier| format!("s{earlier}")).collect::<Vec<_>>();
        let step = |(index, (is_read_only, before)): (usize, &(bool, Option<BTreeSet<usize>>))| {
            let mut step = json!({
                "name": format!("s{index}"), "participant": "cars", "read_only": is_read_only,
                "uncompensated": !is_read_only, "action": { "method": "POST", "path": format!("/{index}") },
            });
            if let Some(before) = before {
                step["after"] = json!(after(before));
            }
            step
        };
        let text = json!({ "name": "trip", "version": 1, "steps": steps.iter().enumerate().map(step).collect::<Vec<_>>() });
        let file = SagaFile::parse(&text.to_string(), Format::Json, Identity::Inside, &PARTICIPANTS);
        let operation = || Operation::new("o", |_| Request::new(Method::Get, "/", None), |_, _| Ok::<_, ReplyError>(Outputs::default()));
        let step = |(index, (is_read_only, before)): (usize, &(bool, Option<BTreeSet<usize>>))| {
            let effect = match is_read_only {
                true => Effect::ReadOnly { refusal: None, refuse: |_| None },
                false => Effect::Uncompensated,
            };
            let step = Step::new(format!("s{index}"), "cars", operation(), effect);
            Step { after: before.as_ref().map(|before| after(before).into_iter().map(Into::into).collect()), ..step }
        };
        let direct = Definition::new("trip", 1, steps.iter().enumerate().map(step).collect());
        prop_assert_eq!(file.is_ok(), direct.is_ok(), "{:?} {:?}", file.err(), direct.err());
        if let Ok(accepted) = SagaFile::parse(&text.to_string(), Format::Json, Identity::Inside, &PARTICIPANTS) {
            prop_assert!(accepted.definition.compile(|_| Judgement::Status).is_ok());
        }
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_reason(text in "[\\[\\]{}=\",.a-z0-9 \n]{0,80}") {
        for format in [Format::Toml, Format::Json] {
            if let Err(rejected) = SagaFile::parse(&text, format, Identity::Inside, &PARTICIPANTS) {
                prop_assert!(!rejected.0.is_empty());
            }
        }
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}
