//! Inputs, and the fields that a schema knows.

use serde_json::{Value, json};

use super::{accepted, parse, trip};

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
fn an_input_that_makes_a_request_too_long_is_refused() {
    let repeated = format!("{{ a = [{}] }}", ["\"{input.to.name}\""; 20].join(","));
    let in_text = format!("{{ a = \"{}\" }}", "{input.to.name}".repeat(20));
    let expected = format!("{{ \"/x\" = [{}] }}", ["\"{input.to.name}\""; 20].join(","));
    for (path, headers, body, expect, at_most, what) in [
        // Each of these letters is three bytes in UTF-8, and nine in a path.
        ("/r/{input.to.name}", "{}", "{}", "{}", (8_000 - 3) / 9, "path longer than 8000 bytes"),
        ("/r/{input.nights}{input.to.name}", "{}", "{}", "{}", (8_000 - 4) / 9, "path longer than 8000 bytes"),
        ("/r?q={input.to.name}", "{}", "{}", "{}", (8_000 - 5) / 9, "path longer than 8000 bytes"),
        ("/r/{outputs.price.quote}{input.to.name}", "{}", "{}", "{}", (8_000 - 4) / 9, "path longer than 8000 bytes"),
        ("/r", "{}", &repeated, "{}", 17_475, "body longer than 1048576 bytes"),
        ("/r", "{}", &in_text, "{}", 17_476, "body longer than 1048576 bytes"),
        ("/r", "{}", "{}", &expected, 17_475, "body longer than 1048576 bytes"),
    ] {
        let file = trip(path, headers, body, expect);
        let input = |letters: usize| json!({ "city": "x", "nights": 1, "to": { "name": "€".repeat(letters) } });
        assert_eq!(file.check_input(&input(at_most)), Ok(()), "{path} {body} {expect}");
        let [error] = &file.check_input(&input(at_most + 1)).unwrap_err()[..] else { panic!("{path} {body} {expect}") };
        let expected = format!("these values make the {what}; shorten them (step hotel)");
        assert_eq!((error.pointer.as_str(), &error.detail), ("", &expected), "{path} {body} {expect}");
    }
    let file = trip("/r", "{ X-City = \"{input.city}\", X-Name = \"{input.to.name}\" }", "{}", "{}");
    let check = |letters: usize| {
        let name = "x".repeat(letters);
        file.check_input(&json!({ "city": "y", "nights": 1, "to": { "name": name } }))
            .map_err(|errors| errors[0].to_string())
    };
    assert_eq!(check(8_000 - 13), Ok(()));
    let too_long = "these values make the headers longer than 8000 bytes; shorten them (step hotel)";
    assert_eq!(check(8_000 - 12), Err(too_long.to_owned()));
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
    for schema in [
        "{ \"$ref\" = \"#\" }",
        "{ allOf = [{ \"$ref\" = \"#\" }] }",
        "{ \"$ref\" = \"#/$defs/b\", \"$defs\" = { b = { anyOf = [{ \"$ref\" = \"#/$defs/c\" }] }, c = { not = { not = { \"$ref\" = \"#/$defs/b\" } } } } }",
    ] {
        let text = format!(
            "name = \"trip\"\nversion = 1\ninput = {schema}\n[[steps]]\nname = \"a\"\nparticipant = \"cars\"\n\
             read_only = true\naction = {{ method = \"GET\", path = \"/a\" }}\n"
        );
        assert!(accepted(&text).check_input(&json!({ "a": 1 })).is_ok(), "{schema}");
        let rejected = parse(&text.replace("/a\"", "/{input.a}\"")).unwrap_err();
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
        assert_eq!(parse(&text).is_ok(), is_known, "{field}");
    }
}
