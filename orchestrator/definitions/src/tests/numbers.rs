//! Numbers that serde_json would change, wherever they enter.

use saga_engine::definition::ReplyError;
use serde_json::json;

use super::{PARTICIPANTS, compiled, context, parse, trip};
use crate::{Format, Identity, InputError, Place, SagaFile, read_exactly};

const ADVICE: &str = "cannot be carried exactly: write it as a string";

/// A definition in JSON with this number in the body of its one request.
fn with_number(number: &str) -> String {
    format!(
        r#"{{"steps":[{{"name":"pay","participant":"cars","uncompensated":true,"action":
            {{"method":"POST","path":"/pay","body":{{"a/b":[7,{number}]}}}}}}]}}"#
    )
}

#[test]
fn an_input_with_a_number_that_would_change_is_refused_with_its_pointer() {
    let errors = |text: &str| -> Vec<String> {
        read_exactly(text).err().unwrap_or_default().iter().map(InputError::to_string).collect()
    };
    let good =
        r#"{"a":[1e2,1.50,0.10,-0,1E+2,19.99],"t":"1e-400 \" 100000000000000.01","x":{"y":18446744073709551615}}"#;
    assert_eq!(errors(good), [""; 0]);
    let bad = r#"{"a/b":[1,{"c":100000000000000.01}],"d":"x","e":18446744073709551616}"#;
    let expected = [format!("/a~1b/1/c: 100000000000000.01 {ADVICE}"), format!("/e: 18446744073709551616 {ADVICE}")];
    assert_eq!(errors(bad), expected);
    assert_eq!(errors("1e-400"), [format!("1e-400 {ADVICE}")]);
    // No finite number of 64 bits.
    assert_eq!(errors(r#"{"a":1e400}"#), [format!("/a: 1e400 {ADVICE}")]);
    let long = errors(&format!("[{}]", "9".repeat(60_000)));
    assert_eq!(long, [format!("/0: {}… {ADVICE}", "9".repeat(40))]);
    let many = errors(&format!("[{}]", vec!["1e-400"; 5_000].join(",")));
    assert_eq!(many.len(), 20);
    assert_eq!(read_exactly(r#"{"a":[1,-2.5,"x",null,true]}"#), Ok(json!({ "a": [1, -2.5, "x", null, true] })));
}

#[test]
fn an_input_with_a_name_twice_is_refused_with_its_pointer() {
    let errors = read_exactly(r#"{"a":{"b":1,"\u0062":2},"c":[{"d":1},{"d":1}]}"#).unwrap_err();
    assert_eq!(
        errors,
        [InputError { pointer: "/a/b".to_owned(), detail: "\"b\" occurs twice: remove one".to_owned() }]
    );
    assert_eq!(read_exactly("[1,").unwrap_err()[0].pointer, "");
    let good = json!({ "a": [{ "b": ":" }, { "b": "\":\\" }], "c:d": { "a": { "b": [] } } });
    assert_eq!(read_exactly(&good.to_string()), Ok(good));
    let many = read_exactly(&format!("{{{}}}", vec!["\"a\":1"; 5_000].join(","))).unwrap_err();
    assert_eq!(many.len(), 20);
}

#[test]
fn a_definition_with_a_number_that_would_change_is_refused_at_its_place() {
    let identity = Identity::Given { name: "trip", version: 1 };
    for number in ["100000000000000.01", "18446744073709551616", "-9223372036854775809", "1e-400", "1e400"] {
        let rejected = SagaFile::parse(&with_number(number), Format::Json, identity, &PARTICIPANTS).unwrap_err();
        let [problem] = &rejected.0[..] else { panic!("{rejected}") };
        assert_eq!(problem.place, Place::Pointer("/steps/0/action/body/a~1b/1".to_owned()), "{problem}");
        assert_eq!(problem.text, format!("{number} {ADVICE}"));
    }
    for number in ["100000000000000.02", "18446744073709551615", "1e2", "1.50", "-0", "\"100000000000000.01\""] {
        let accepted = SagaFile::parse(&with_number(number), Format::Json, identity, &PARTICIPANTS);
        assert!(accepted.is_ok(), "{number}");
    }
}

#[test]
fn a_float_of_toml_that_would_change_is_refused_at_its_line() {
    let file = |number: &str| {
        format!(
            "name = \"trip\"\nversion = 1\n[[steps]]\nname = \"pay\"\nparticipant = \"cars\"\nuncompensated = true\n\
             action = {{ method = \"POST\", path = \"/pay\", body = {{ amount = {number} }} }}\n"
        )
    };
    for number in ["100000000000000.01", "-1_00000000000000.01", "1e-400", "1e400"] {
        let rejected = parse(&file(number)).unwrap_err();
        let [problem] = &rejected.0[..] else { panic!("{rejected}") };
        assert_eq!(problem.place, Place::Line(7), "{problem}");
        assert!(problem.text.contains(ADVICE), "{number}: {problem}");
    }
    for number in ["+19.99", "1_000.50", "1e+2", "1E06", "-0.0", "+0.0"] {
        assert!(parse(&file(number)).is_ok(), "{number}");
    }
    for number in ["inf", "-nan"] {
        assert!(parse(&file(number)).unwrap_err().to_string().contains("JSON has no inf and nan"), "{number}");
    }
}

#[test]
fn an_output_with_a_number_that_would_change_confirms_nothing() {
    let definition = compiled(&trip("/rooms", "{}", "{}", "{}"));
    let read = |body: &str| {
        (definition.steps()[1].action.read)(&context(&json!({ "city": "x" }), &[]), body.as_bytes())
            .map(|outputs| outputs.get("hotel.room").unwrap().to_string())
    };
    let advice = "is a number that cannot be carried exactly: the participant should return it as a string";
    for (number, place) in [
        ("18446744073709551616", "/room/0"),
        ("100000000000000.01", "/room/0"),
        ("1e-400", "/room/0"),
        (r#"{"id":[1,18446744073709551616]}"#, "/room/0/id/1"),
    ] {
        let error = read(&format!(r#"{{"room":[{number}]}}"#)).unwrap_err();
        assert!(matches!(error, ReplyError::OutputInexact(_)), "{error}");
        assert_eq!(error.to_string(), format!("the output {place} {advice}"));
        // Only the output matters.
        let beside = format!(r#"{{"other":{number},"room":[7,{number}],"x":{{"room":[{number}]}}}}"#);
        assert_eq!(read(&beside), Ok("7".to_owned()), "{number}");
    }
    assert_eq!(read(r#"{"room":[18446744073709551615]}"#), Ok("18446744073709551615".to_owned()));
    assert_eq!(read(r#"{"room":["18446744073709551616"]}"#), Ok("\"18446744073709551616\"".to_owned()));
    // As in a parsed object, the last of two equal names counts.
    assert_eq!(read(r#"{"room":[1e-400],"room":[7]}"#), Ok("7".to_owned()));
}

#[test]
fn a_reply_with_another_number_is_not_what_is_expected() {
    let case = |expected: &str, number: &str| {
        let definition = compiled(&trip("/rooms", "{}", "{}", &format!("{{ \"/n\" = {expected} }}")));
        let body = format!(r#"{{"n":{number},"room":[7]}}"#);
        (definition.steps()[1].action.read)(&context(&json!({ "city": "x" }), &[]), body.as_bytes()).map(|_| ())
    };
    for (expected, number) in [
        ("100000000000000.02", "100000000000000.01"),
        ("0.0", "1e-400"),
        ("[1, { a = 100000000000000.02 }]", r#"[1,{"a":100000000000000.01}]"#),
        // Both are exact, and equal only as 64-bit floats.
        ("9007199254740993", "9007199254740992.0"),
    ] {
        let error = ReplyError::NotTheAnswer("/n is not what the definition expects".to_owned());
        assert_eq!(case(expected, number), Err(error), "{expected} {number}");
    }
    for (expected, number) in
        [("100000000000000.02", "100000000000000.02"), ("100", "1e2"), ("1.5", "1.50"), ("0", "-0"), ("1e2", "1E+2")]
    {
        assert_eq!(case(expected, number), Ok(()), "{expected} {number}");
    }
}
