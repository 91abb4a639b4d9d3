//! Requests: values at their placeholders.

use saga_engine::definition::{Method, Request};
use serde_json::{Value, json};

use super::{ID, compiled, context, trip};
use crate::SagaFile;

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
    let long = path_of("/a/{outputs.price.quote}", &json!({ "city": "x" }), Some("é".repeat(1400).into())).unwrap_err();
    assert_eq!(long, "these values make the path longer than 8000 bytes; shorten them");
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
