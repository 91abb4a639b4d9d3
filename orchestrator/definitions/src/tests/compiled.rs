//! Definitions as a whole: the engine's form, and the hash.

use std::time::Duration;

use saga_engine::definition::{Effect, Start};
use serde_json::{Value, json};

use super::{PARTICIPANTS, PRICE, accepted, compiled, context};
use crate::{Format, Identity, Judgement, SagaFile};

/// Steps to add behind a flight: one beside it, and one after both.
const HOTEL_AND_CAR: &str = r#"
[[steps]]
name = "hotel"
participant = "hotels"
after = []
uncompensated = true
action = { method = "POST", path = "/rooms" }
[[steps]]
name = "car"
participant = "cars"
after = ["hotel", "flight"]
uncompensated = true
action = { method = "POST", path = "/cars" }
"#;

#[test]
fn a_start_is_recorded_where_the_compensation_must_know_it() {
    let file = |compensation: &str| {
        accepted(&format!(
            r#"
name = "trip"
version = 1
{PRICE}
[[steps]]
name = "flight"
participant = "flights"
uncompensated = true
action = {{ method = "POST", path = "/bookings" }}
outputs = {{ booking = "/booking" }}
[[steps]]
name = "hotel"
participant = "hotels"
action = {{ method = "POST", path = "/rooms" }}
compensation = {compensation}
"#
        ))
    };
    let starts = |compensation: &str, judgement| -> Vec<Start> {
        file(compensation).compile(|_| judgement).unwrap().steps().iter().map(|step| step.start).collect()
    };
    use Judgement::{Recorded, Status};
    let (by_id, by_quote) = (
        "{ method = \"DELETE\", path = \"/{saga.id}\" }",
        "{ method = \"DELETE\", path = \"/{outputs.price.quote}\" }",
    );
    let by_booking = "{ method = \"DELETE\", path = \"/x\", body = [\"{outputs.flight.booking}\"] }";
    let expected = "{ method = \"DELETE\", path = \"/x\", expect = { \"/b\" = \"{outputs.flight.booking}\" } }";
    for (compensation, judgement, last) in [
        (by_id, Recorded, Start::Assumed),
        (by_quote, Recorded, Start::Assumed),
        (by_booking, Recorded, Start::Recorded),
        (expected, Recorded, Start::Recorded),
        (by_id, Status, Start::Recorded),
    ] {
        assert_eq!(starts(compensation, judgement), [Start::Assumed, Start::Assumed, last], "{compensation}");
    }
}

#[test]
fn an_action_whose_compensation_could_not_be_called_is_not_called_either() {
    let file = |compensation: &str| {
        compiled(&accepted(&format!(
            r#"
name = "trip"
version = 1
{PRICE}
[[steps]]
name = "hotel"
participant = "hotels"
action = {{ method = "POST", path = "/rooms", body = ["{{outputs.price.quote}}"] }}
compensation = {{ method = "DELETE", {compensation} }}
"#
        )))
    };
    let by_path = file("path = \"/rooms/{outputs.price.quote}\"");
    let by_reply = file("path = \"/x\", expect = { \"/quote\" = \"q-{outputs.price.quote}\" }");
    for (quote, in_path, in_reply) in [
        (json!("q1"), true, true),
        (json!(7), true, true),
        (json!(".."), false, true),
        (json!(""), false, true),
        (json!(null), false, false),
        (json!([]), false, false),
    ] {
        for (definition, possible) in [(&by_path, in_path), (&by_reply, in_reply)] {
            let context = context(&json!({}), &[("price.quote", quote.clone())]);
            let request = (definition.steps()[1].action.request)(&context);
            match request {
                Ok(_) => assert!(possible, "{quote}"),
                Err(reason) => {
                    assert!(!possible, "{quote}: {reason}");
                    assert!(
                        reason.starts_with("its compensation could not be called: {outputs.price.quote}"),
                        "{reason}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_definition_keeps_its_graph_and_its_limits() {
    let flight = r#"
name = "trip"
version = 7
deadline_ms = 60000
max_parallel = 2
[[steps]]
name = "flight"
participant = "flights"
action = { method = "POST", path = "/bookings" }
compensation = { method = "DELETE", path = "/bookings/{saga.id}" }
timeout_ms = 250
attempts = 3
"#;
    let steps = HOTEL_AND_CAR.replace("POST", "PATCH");
    let file = accepted(&[flight, &steps].concat());
    let definition = compiled(&file);
    assert_eq!((definition.name.as_str(), definition.version), ("trip", 7));
    assert_eq!((definition.deadline, definition.max_parallel), (Some(Duration::from_secs(60)), 2));
    let [flight, hotel, car] = definition.steps() else { panic!("three steps") };
    assert_eq!((flight.timeout, flight.attempts), (Some(Duration::from_millis(250)), Some(3)));
    assert_eq!((hotel.timeout, hotel.attempts), (None, None));
    assert_eq!(flight.after.as_deref(), Some([].as_slice()));
    assert_eq!(car.after.as_deref(), Some(["flight".into(), "hotel".into()].as_slice()));
    assert!(matches!(flight.effect, Effect::Compensable(_)) && matches!(hotel.effect, Effect::Uncompensated));
    let names = [&flight.action.name, &flight.compensation().unwrap().name];
    assert_eq!(names, ["trip.flight", "trip.flight.undo"]);
    assert_eq!(file.participants(), ["cars", "flights", "hotels"]);
}

#[test]
fn toml_and_json_of_one_meaning_have_one_hash() {
    let flight = r#"
version = 1
name = "trip"
[[steps]]
participant = "flights"
name = "flight"
headers = { X-Trace = "{saga.id}" }
compensation = { path = "/bookings/{saga.id}", method = "DELETE" }
action = { method = "POST", path = "/bookings", body = { b = 1, a = "{saga.id}" }, expect = {} }
"#;
    let json = json!({
        "max_parallel": 16,
        "input": {},
        "steps": [
            {
                "name": "flight", "participant": "flights", "after": [], "read_only": false,
                "action": { "method": "POST", "path": "/bookings", "body": { "a": "{saga.id}", "b": 1 } },
                "compensation": { "method": "DELETE", "path": "/bookings/{saga.id}" },
                "headers": { "x-trace": "{saga.id}" }, "outputs": {},
            },
            {
                "name": "hotel", "participant": "hotels", "after": [], "uncompensated": true,
                "action": { "method": "POST", "path": "/rooms" },
            },
            {
                "name": "car", "participant": "cars", "after": ["flight", "hotel"], "uncompensated": true,
                "action": { "method": "POST", "path": "/cars" },
            },
        ],
    });
    let hash = |json: &Value, version| {
        let identity = Identity::Given { name: "trip", version };
        let file = SagaFile::parse(&json.to_string(), Format::Json, identity, &PARTICIPANTS);
        file.unwrap_or_else(|rejected| panic!("{rejected}")).definition.hash().to_owned()
    };
    let file = accepted(&[flight, HOTEL_AND_CAR].concat());
    assert_eq!(file.hash(), hash(&json, 1));
    assert_eq!(hash(file.to_json(), 1), file.hash());
    // Stored with each definition at its first load: a new form would stop every start.
    assert_eq!(file.hash(), "b57abb7d512c2a684643ab64c7f39ff363173492d0f5ac73be8b9a71cb6cb0c0");
    assert_ne!(file.hash(), hash(&json, 2));
    for (pointer, value) in [
        ("/max_parallel", json!(15)),
        ("/input", json!({ "type": "object" })),
        ("/steps/0/action/path", json!("/booking")),
        ("/steps/0/action/body/b", json!(2)),
        ("/steps/0/compensation/method", json!("POST")),
        ("/steps/0/headers/x-trace", json!("")),
        ("/steps/0/outputs", json!({ "booking": "" })),
        ("/steps/1/after", json!(["flight"])),
    ] {
        let mut other = json.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_ne!(file.hash(), hash(&other, 1), "{pointer}");
    }
}

#[test]
fn steps_given_with_a_saga_know_the_fields_of_its_input() {
    let steps = json!([{
        "name": "a", "participant": "cars", "uncompensated": true,
        "action": { "method": "POST", "path": "/{input.a.b}", "body": "{input.a}" },
    }]);
    let parse = |input: Value| SagaFile::of_inline_steps(&steps, &input, &PARTICIPANTS);
    let file = parse(json!({ "a": { "b": 1 } })).unwrap().definition;
    assert_eq!((file.name(), file.version()), ("inline", 1));
    assert!(file.check_input(&json!({ "a": { "b": 1 } })).is_ok());
    assert!(file.check_input(&json!({ "a": { "b": ".." } })).is_err());
    let mut nul = steps.clone();
    nul[0]["action"]["body"] = json!(["\0"]);
    let rejected = SagaFile::of_inline_steps(&nul, &json!({ "a": { "b": 1 } }), &PARTICIPANTS).unwrap_err();
    assert!(rejected.to_string().starts_with("/steps/0/action/body/0: a text has the character NUL"), "{rejected}");
    let rejected = parse(json!({ "a": 1 })).unwrap_err();
    assert!(rejected.to_string().starts_with("/steps/0/action/path: {input.a.b} can never have a value"), "{rejected}");
}

#[test]
fn two_files_of_one_name_and_version_conflict_even_if_they_are_equal() {
    let text = "name = \"trip\"\nversion = 1\n[[steps]]\nname = \"a\"\nparticipant = \"cars\"\nread_only = true\n\
                action = { method = \"GET\", path = \"/a\" }\n";
    let first = accepted(text);
    for (other, conflict) in [
        (text.to_owned(), Some("trip/1 is in a.toml too: raise the version of one")),
        (text.replace("/a\"", "/b\""), Some("trip/1 is in a.toml too: raise the version of one")),
        (text.replace("version = 1", "version = 2"), None),
        (text.replace("trip", "tour"), None),
    ] {
        assert_eq!(accepted(&other).conflict(&first, "a.toml").as_deref(), conflict, "{other}");
    }
}
