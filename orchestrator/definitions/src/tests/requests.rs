//! Requests, replies and inputs of definitions.

use std::time::Duration;

use saga_engine::definition::{Definition, Effect, Method, Operation, Outputs, ReplyError, Request, Start};
use serde_json::{Value, json};

use super::{accepted, context};
use crate::{Format, Identity, Judgement, SagaFile};

const ID: &str = "00000000-0000-0000-0000-000000000000";

/// A read, and a step whose path, headers, body and expectations are written by a test.
fn trip(path: &str, headers: &str, body: &str, expect: &str) -> SagaFile {
    accepted(&format!(
        r##"
name = "trip"
version = 1
[input]
required = ["city"]
properties = {{ city = {{}}, nights = {{}}, to = {{ properties = {{ name = {{}} }} }} }}
[[steps]]
name = "price"
participant = "prices"
read_only = true
action = {{ method = "GET", path = "/prices" }}
outputs = {{ quote = "/quote" }}
[[steps]]
name = "hotel"
participant = "hotels"
headers = {headers}
action = {{ method = "PUT", path = "{path}", body = {body}, expect = {expect} }}
compensation = {{ method = "DELETE", path = "/rooms/{{saga.id}}", expect = {{ "/status" = "cancelled" }} }}
outputs = {{ room = "/room/0" }}
"##
    ))
}

fn compiled(file: &SagaFile) -> Definition {
    file.compile(|_| Judgement::Recorded).unwrap()
}

fn request(file: &SagaFile, input: &Value, quote: Option<Value>) -> Result<Request, String> {
    let outputs: Vec<(&str, Value)> = quote.into_iter().map(|quote| ("price.quote", quote)).collect();
    (compiled(file).steps()[1].action.request)(&context(input, &outputs))
}

fn path_of(template: &str, input: &Value, quote: Option<Value>) -> Result<String, String> {
    request(&trip(template, "{}", "{}", "{}"), input, quote).map(|request| request.path)
}

fn body_of(template: &str, input: &Value, quote: Option<Value>) -> Option<String> {
    request(&trip("/rooms", "{}", template, "{}"), input, quote).unwrap().body
}

#[test]
fn values_in_paths_are_percent_encoded() {
    for (template, city, expected) in [
        ("/rooms/{input.city}", json!("La Paz"), "/rooms/La%20Paz"),
        ("/rooms/{input.city}", json!("../../refund"), "/rooms/..%2F..%2Frefund"),
        ("/rooms/{input.city}/", json!("a?b#c"), "/rooms/a%3Fb%23c/"),
        ("/rooms/{input.city}", json!("%2e%2e"), "/rooms/%252e%252e"),
        ("/rooms/{input.city}", json!("..."), "/rooms/..."),
        ("/rooms/{input.city}", json!(7), "/rooms/7"),
        ("/rooms/{input.city}", json!(-0.5), "/rooms/-0.5"),
        ("/rooms/{input.city}", json!(true), "/rooms/true"),
        ("/rooms/x{input.city}", json!(""), "/rooms/x"),
        ("/rooms/{saga.step_key}/{saga.attempt}", json!(""), &format!("/rooms/{ID}%3Ahotel/2")),
        ("/rooms?in={input.city}&q=/a?b", json!("é&x=1"), "/rooms?in=%C3%A9%26x%3D1&q=/a?b"),
        ("/rooms?in={input.city}", json!(""), "/rooms?in="),
        ("/rooms?in={input.city}", json!(".."), "/rooms?in=.."),
    ] {
        assert_eq!(path_of(template, &json!({ "city": city }), None).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn an_output_that_would_leave_its_segment_makes_the_request_impossible() {
    for (template, quote, expected) in [
        ("/a/{outputs.price.quote}", json!(".."), "makes a segment of the path empty, \".\" or \"..\""),
        ("/a/{outputs.price.quote}", json!("."), "makes a segment of the path empty"),
        ("/a/{outputs.price.quote}", json!(""), "makes a segment of the path empty"),
        ("/a/.{outputs.price.quote}", json!("."), "makes a segment of the path empty"),
        ("/a/{input.city}{outputs.price.quote}", json!("."), "makes a segment of the path empty"),
        ("/a/{outputs.price.quote}", json!(null), "is null"),
        ("/a/{outputs.price.quote}", json!([1]), "is a list"),
        ("/a?q={outputs.price.quote}", json!({}), "is an object"),
    ] {
        let error = path_of(template, &json!({ "city": "." }), Some(quote)).unwrap_err();
        assert!(error.starts_with("{outputs.price.quote} ") && error.contains(expected), "{template}: {error}");
    }
    let error = path_of("/a/{outputs.price.quote}", &json!({ "city": "x" }), None).unwrap_err();
    assert_eq!(error, "{outputs.price.quote} is not there");
}

#[test]
fn a_whole_string_keeps_its_type_and_a_longer_one_is_text() {
    for (template, city, expected) in [
        ("\"{input.city}\"", json!([1, { "a": null }]), r#"[1,{"a":null}]"#),
        ("{ a = \"{input.city}\" }", json!(7), r#"{"a":7}"#),
        ("{ a = \"{input.city} nights\" }", json!(7), r#"{"a":"7 nights"}"#),
        ("{ a = \"{input.city}{input.city}\" }", json!("\"\n"), r#"{"a":"\"\n\"\n"}"#),
        ("{ a = \"{{{input.city}}}\" }", json!("x"), r#"{"a":"{x}"}"#),
        ("{ a = \"{saga.attempt}\", b = \"{saga.id}\" }", json!(""), &format!(r#"{{"a":2,"b":"{ID}"}}"#)),
        ("{ a = \"{saga.step_key}\" }", json!(""), &format!(r#"{{"a":"{ID}:hotel"}}"#)),
        ("{ b = 1, a = [true, 1.5, \"{{}}\", { }] }", json!(""), r#"{"a":[true,1.5,"{}",{}],"b":1}"#),
        ("\"\"", json!(""), r#""""#),
        ("{ \"é\\\"\" = \"{input.city}\" }", json!("é"), "{\"é\\\"\":\"é\"}"),
    ] {
        assert_eq!(body_of(template, &json!({ "city": city }), None).as_deref(), Some(expected), "{template}");
    }
}

#[test]
fn an_absent_field_leaves_its_member_out() {
    for (template, expected) in [
        ("{ a = \"{input.nights}\", b = 1, c = \"{input.nights}\" }", Some(r#"{"b":1}"#)),
        ("{ a = \"{input.nights}\" }", Some("{}")),
        ("{ a = { b = \"{input.to.name}\" } }", Some(r#"{"a":{}}"#)),
        ("[\"{input.nights}\", \"{input.city}\", \"{input.nights}\", 1]", Some("[\"x\",1]")),
        ("\"{input.nights}\"", None),
    ] {
        assert_eq!(body_of(template, &json!({ "city": "x" }), None).as_deref(), expected, "{template}");
    }
}

#[test]
fn headers_carry_visible_ascii_only() {
    let file = trip("/rooms", "{ X-City = \"in {input.city}\", X-Nights = \"{input.nights}\" }", "{}", "{}");
    let headers = |input: Value| request(&file, &input, None).map(|request| request.headers);
    let header = |name: &str, value: &str| (name.into(), value.to_owned());
    assert_eq!(
        headers(json!({ "city": "Sucre", "nights": 2 })),
        Ok(vec![header("x-city", "in Sucre"), header("x-nights", "2")])
    );
    assert_eq!(headers(json!({ "city": "Sucre" })), Ok(vec![header("x-city", "in Sucre")]));
    for city in ["a\r\nSaga-Id: 1", "\u{7f}", "é"] {
        let errors = file.check_input(&json!({ "city": city })).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].detail.contains("a header cannot carry"), "{errors:?}");
        assert!(headers(json!({ "city": city })).is_err());
    }
}

#[test]
fn both_calls_of_a_step_carry_its_headers() {
    let file = trip("/rooms", "{ X-City = \"{input.city}\" }", "{}", "{}");
    let definition = compiled(&file);
    let undo = definition.steps()[1].compensation().unwrap();
    let request = (undo.request)(&context(&json!({ "city": "Sucre" }), &[])).unwrap();
    let expected = Request {
        method: Method::Delete,
        path: format!("/rooms/{ID}"),
        body: None,
        headers: vec![("x-city".into(), "Sucre".to_owned())],
    };
    assert_eq!(request, expected);
}

#[test]
fn an_input_is_checked_before_the_saga_starts() {
    let template = "/rooms/{input.city}/{input.city}{outputs.price.quote}?n={input.nights}";
    let file = trip(template, "{}", "{ a = \"to {input.to.name}\" }", "{ \"/x\" = \"-{input.city}\" }");
    let check = |input: Value| -> Vec<String> {
        file.check_input(&input).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    };
    let to = json!({ "name": "Sucre" });
    assert_eq!(check(json!({ "city": "x", "nights": 1, "to": to })), [""; 0]);
    assert_eq!(check(json!({ "nights": 1, "to": to })), ["\"city\" is a required property"]);
    for city in ["", ".", ".."] {
        let errors = check(json!({ "city": city, "nights": 1, "to": to }));
        assert_eq!(errors, ["/city: makes a segment of the path empty, \".\" or \"..\" (step hotel)"]);
    }
    let absent = "is absent, but the request needs it: it is part of a path or of a text (step hotel)";
    assert_eq!(check(json!({ "city": "x", "to": to })), [format!("/nights: {absent}")]);
    assert_eq!(check(json!({ "city": "x", "nights": 1 })), [format!("/to/name: {absent}")]);
    let null = "is null, which cannot be part of a path or of a text (step hotel)";
    assert_eq!(check(json!({ "city": "x", "nights": 1, "to": { "name": null } })), [format!("/to/name: {null}")]);
    assert_eq!(check(json!({ "city": [], "nights": 1, "to": to })).len(), 1);
}

#[test]
fn every_error_of_an_input_has_its_pointer() {
    let file = accepted(
        r#"
name = "trip"
version = 1
[input]
type = "object"
required = ["city", "mail"]
properties.city = { type = "string", minLength = 2 }
properties.price = { type = "number", multipleOf = 0.01 }
properties."a/b" = { type = "integer", maximum = 9007199254740992 }
properties.when = { format = "date" }
[[steps]]
name = "price"
participant = "prices"
read_only = true
action = { method = "GET", path = "/prices" }
"#,
    );
    let pointers = |input: Value| -> Vec<String> {
        file.check_input(&input).err().unwrap_or_default().into_iter().map(|error| error.pointer).collect()
    };
    let good = json!({ "city": "Sucre", "mail": 1, "price": 19.99, "a/b": 9007199254740992_u64, "when": "2026-02-28" });
    assert_eq!(pointers(good), [""; 0]);
    let mut bad = pointers(json!({ "city": "S", "price": 19.999, "a/b": 9007199254740993_u64, "when": "2026-02-30" }));
    bad.sort();
    assert_eq!(bad, ["", "/a~1b", "/city", "/price", "/when"]);
    assert_eq!(pointers(json!([])), [""]);
    let nul = json!({ "city": "Su\0cre", "mail": [1, "\0"], "a": { "\0": 1 } });
    assert_eq!(pointers(nul), ["/a", "/city", "/mail/1"]);
    let secret = file.check_input(&json!({ "city": 12345, "mail": 1 })).unwrap_err();
    assert_eq!(secret[0].detail, "value is not of type \"string\"");
}

#[test]
fn a_schema_that_refers_to_itself_is_no_endless_loop() {
    for schema in ["{ \"$ref\" = \"#\" }", "{ allOf = [{ \"$ref\" = \"#\" }] }"] {
        let text = format!(
            "name = \"trip\"\nversion = 1\ninput = {schema}\n[[steps]]\nname = \"a\"\nparticipant = \"cars\"\n\
             read_only = true\naction = {{ method = \"GET\", path = \"/a\" }}\n"
        );
        assert!(accepted(&text).check_input(&json!({ "a": 1 })).is_ok(), "{schema}");
        let rejected = super::parse(&text.replace("/a\"", "/{input.a}\"")).unwrap_err();
        assert!(rejected.to_string().contains("no such field"), "{rejected}");
    }
}

#[test]
fn a_field_is_known_through_references_and_all_of() {
    let schema = r##"
[input]
"$ref" = "#/$defs/trip"
[input."$defs".trip]
allOf = [{ properties = { a = { "$ref" = "#place" } } }, { "$ref" = "#/$defs/trip" }]
[input."$defs"."pl/ce"]
"$anchor" = "place"
properties = { b = { properties = { c = true } }, d = { "$ref" = "#/$defs/pl~1ce" } }
"##;
    for (field, is_known) in
        [("a", true), ("a.b.c", true), ("a.d.d.d.b.c", true), ("b", false), ("a.c", false), ("a.b.c.d", false)]
    {
        let text = format!(
            "name = \"trip\"\nversion = 1\n{schema}\n[[steps]]\nname = \"a\"\nparticipant = \"cars\"\nread_only = true\n\
             action = {{ method = \"GET\", path = \"/{{input.{field}}}\" }}\n"
        );
        assert_eq!(super::parse(&text).is_ok(), is_known, "{field}");
    }
}

fn read(operation: &Operation, input: &Value, body: &str) -> Result<Outputs, ReplyError> {
    (operation.read)(&context(input, &[]), body.as_bytes())
}

#[test]
fn a_reply_must_say_what_is_expected() {
    let expect =
        "{ \"/status\" = \"booked\", \"/id\" = \"{saga.id}\", \"/n\" = \"{input.nights}\", \"/l\" = [1, { a = 2.0 }] }";
    let definition = compiled(&trip("/rooms", "{}", "{}", expect));
    let action = &definition.steps()[1].action;
    let good = json!({ "status": "booked", "id": ID, "n": 3, "l": [1.0, { "a": 2 }], "room": ["7"], "more": 1 });
    let input = json!({ "city": "x", "nights": 3 });
    let outputs = read(action, &input, &good.to_string()).unwrap();
    assert_eq!(outputs.get("hotel.room"), Some(&json!("7")));
    // What is absent is not expected.
    assert!(read(action, &json!({ "city": "x" }), &good.to_string()).is_ok());
    for (pointer, value) in [
        ("/status", json!("cancelled")),
        ("/id", json!("other")),
        ("/n", json!("3")),
        ("/l", json!([1, { "a": 2, "b": 1 }])),
        ("/l", json!([1, {}])),
        ("/l", json!([1])),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let error = read(action, &input, &bad.to_string()).unwrap_err();
        assert_eq!(error, ReplyError::NotTheAnswer(format!("{pointer} is not what the definition expects")));
    }
    for body in ["", "<html>", "[]", "{}"] {
        assert!(matches!(read(action, &input, body), Err(ReplyError::NotTheAnswer(_))), "{body}");
    }
}

#[test]
fn a_missing_output_is_not_asked_for_again() {
    let definition = compiled(&trip("/rooms", "{}", "{}", "{}"));
    let action = &definition.steps()[1].action;
    let input = json!({ "city": "x" });
    assert_eq!(read(action, &input, r#"{"room":[null]}"#).unwrap(), Outputs::one("hotel.room", Value::Null));
    for body in [r#"{"room":[]}"#, "{}", "7"] {
        assert_eq!(read(action, &input, body), Err(ReplyError::OutputMissing("/room/0".to_owned())), "{body}");
    }
    assert!(matches!(read(action, &input, "no JSON"), Err(ReplyError::NotTheAnswer(_))));
}

#[test]
fn a_reply_of_which_nothing_is_needed_may_be_anything() {
    let text = "name = \"trip\"\nversion = 1\n[[steps]]\nname = \"a\"\nparticipant = \"cars\"\nuncompensated = true\n\
                action = { method = \"POST\", path = \"/a\" }\n";
    let definition = compiled(&accepted(text));
    assert_eq!(read(&definition.steps()[0].action, &json!({}), "<html>"), Ok(Outputs::default()));
}

#[test]
fn a_start_is_recorded_where_the_compensation_must_know_it() {
    let file = |compensation: &str| {
        accepted(&format!(
            r#"
name = "trip"
version = 1
[[steps]]
name = "price"
participant = "prices"
read_only = true
action = {{ method = "GET", path = "/prices" }}
outputs = {{ quote = "/quote" }}
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
fn a_definition_keeps_its_graph_and_its_limits() {
    let file = accepted(
        r#"
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
[[steps]]
name = "hotel"
participant = "hotels"
after = []
uncompensated = true
action = { method = "PATCH", path = "/rooms" }
[[steps]]
name = "car"
participant = "cars"
after = ["hotel", "flight"]
uncompensated = true
action = { method = "POST", path = "/cars" }
"#,
    );
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
    let toml = r#"
version = 1
name = "trip"
[[steps]]
participant = "flights"
name = "flight"
headers = { X-Trace = "{saga.id}" }
compensation = { path = "/bookings/{saga.id}", method = "DELETE" }
action = { method = "POST", path = "/bookings", body = { b = 1, a = "{saga.id}" }, expect = {} }
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
        let file = SagaFile::parse(&json.to_string(), Format::Json, identity, &super::PARTICIPANTS);
        file.unwrap_or_else(|rejected| panic!("{rejected}")).definition.hash().to_owned()
    };
    let file = accepted(toml);
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
    let parse = |input: Value| SagaFile::of_inline_steps(&steps, &input, &super::PARTICIPANTS);
    let file = parse(json!({ "a": { "b": 1 } })).unwrap().definition;
    assert_eq!((file.name(), file.version()), ("inline", 1));
    assert!(file.check_input(&json!({ "a": { "b": 1 } })).is_ok());
    assert!(file.check_input(&json!({ "a": { "b": ".." } })).is_err());
    let mut nul = steps.clone();
    nul[0]["action"]["body"] = json!(["\0"]);
    let rejected = SagaFile::of_inline_steps(&nul, &json!({ "a": { "b": 1 } }), &super::PARTICIPANTS).unwrap_err();
    assert!(rejected.to_string().starts_with("/steps/0/action/body/0: a text has the character NUL"), "{rejected}");
    let rejected = parse(json!({ "a": 1 })).unwrap_err();
    assert!(rejected.to_string().starts_with("/steps/0/action/path: {input.a.b} can never have a value"), "{rejected}");
}
