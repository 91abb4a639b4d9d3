//! Replies: expectations and outputs.

use saga_engine::definition::{Operation, Outputs, ReplyError};
use serde_json::{Value, json};

use super::{ID, accepted, compiled, context, trip};

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
    // An absent field is not expected.
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
