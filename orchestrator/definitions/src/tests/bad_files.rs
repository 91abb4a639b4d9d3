//! Bad files: each problem has its line and a sentence that says what to do.

use serde_json::{Value, json};

use super::{PARTICIPANTS, parse};
use crate::limits::MAX_BYTES;
use crate::problem::{Place, Problem, Severity};
use crate::{Format, Identity, SagaFile};

/// Lines 1 to 9 of most files below: a schema, and a step with two outputs.
const HEAD: &str = r##"name = "trip"
version = 1
input = { "$defs" = { place = { properties = { name = {} } } }, allOf = [{ properties = { city = {}, to = { "$ref" = "#/$defs/place" } } }] }
[[steps]]
name = "flight"
participant = "flights"
action = { method = "POST", path = "/bookings", body = { id = "{saga.id}" } }
compensation = { method = "DELETE", path = "/bookings/{saga.id}" }
outputs = { booking = "/booking_id", "price" = "/price" }
"##;

/// A second step, of which the last line is written by a test: lines 10 to 12, and 13.
const HOTEL: &str = r#"[[steps]]
name = "hotel"
participant = "hotels"
"#;

fn problems(text: &str) -> Vec<Problem> {
    match parse(text) {
        Ok(accepted) => accepted.warnings,
        Err(rejected) => rejected.0,
    }
}

/// Checks that a text has exactly these problems: line and part of the text of each.
fn check(text: &str, expected: &[(usize, &str)]) {
    let problems = problems(text);
    let is_same = problems.len() == expected.len()
        && problems
            .iter()
            .zip(expected)
            .all(|(problem, (line, part))| problem.place == Place::Line(*line) && problem.text.contains(part));
    let listed: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert!(is_same, "{text}\nhas the problems\n{}\nexpected are {expected:#?}", listed.join("\n"));
}

/// Checks the problems of a second step with these lines.
fn check_hotel(lines: &str, expected: &[(usize, &str)]) {
    check(&format!("{HEAD}{HOTEL}{lines}\n"), expected);
}

/// Checks the problems of a second step whose action has this path.
fn check_path(path: &str, expected: &str) {
    check_hotel(&format!("uncompensated = true\naction = {{ method = \"PUT\", path = '{path}' }}"), &[(14, expected)]);
}

#[test]
fn a_good_file_has_no_problems() {
    check_hotel(
        "uncompensated = true\naction = { method = \"PUT\", path = \"/rooms/{input.to.name}?city={input.city}\" }",
        &[],
    );
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    check("name = \"trip\"\nversion =\n", &[(2, "this is not TOML")]);
    check("name = \"trip\"\nname = \"trip\"\n", &[(2, "this is not TOML: duplicate key")]);
    let date = HEAD.replace("version = 1", "version = 2026-01-01");
    check(&date, &[(2, "JSON has no dates: write it as a string, in quotes")]);
    let nan = HEAD.replace("version = 1", "version = nan");
    check(&nan, &[(2, "JSON has no inf and nan")]);
    let nul = HEAD.replace("/booking_id", "/\\u0000").replace("\"price\"", "\"\\u0000\"");
    check(
        &nul,
        &[(9, "a name has the character NUL"), (9, "a text has the character NUL"), (9, "not the name of an output")],
    );
    let long = format!("#{}", " ".repeat(MAX_BYTES));
    check(&long, &[(1, "at most 262144 are possible")]);
}

#[test]
fn the_head_of_a_definition_is_checked() {
    check("", &[(1, "has no name"), (1, "has no version"), (1, "has no steps")]);
    for (from, to, line, expected) in [
        (
            "name = \"trip\"",
            "name = \"Trip\"",
            1,
            "\"Trip\" is not the name of a definition: write a lower-case letter",
        ),
        ("name = \"trip\"", "name = \"checkout\"", 1, "is the orchestrator's own: choose another one"),
        ("name = \"trip\"", "name = \"checkout-2\"", 1, "is the orchestrator's own"),
        ("name = \"trip\"", "name = 1", 1, "name is a number: write a string"),
        ("version = 1", "version = 0", 2, "version is 0: write an integer from 1 to 2147483647"),
        ("version = 1", "version = 2147483648", 2, "write an integer from 1 to 2147483647"),
        ("version = 1", "version = -1", 2, "write an integer from 1 to 2147483647"),
        ("version = 1", "version = 1.0", 2, "write an integer from 1 to 2147483647"),
        ("version = 1", "version = 1\nverion = 1", 3, "no key \"verion\" (did you mean \"version\"?): remove it"),
        ("version = 1", "version = 1\ndeadline_ms = 0", 3, "write an integer from 1 to 86400000"),
        ("version = 1", "version = 1\nmax_parallel = 101", 3, "write an integer from 1 to 100"),
        ("version = 1", "version = 1\nmax_parallel = 0", 3, "write an integer from 1 to 100"),
        ("version = 1", "version = 99999999999999999999", 2, "does not fit into 64 bits"),
    ] {
        check(&HEAD.replace(from, to), &[(line, expected)]);
    }
    check("name = \"trip\"\nversion = 1\nsteps = []\n", &[(3, "has no steps: add at least one [[steps]]")]);
    check("name = \"trip\"\nversion = 1\nsteps = [1]\n", &[(3, "a step is a number: write a table")]);
}

#[test]
fn more_than_a_hundred_steps_are_too_many() {
    let step = |index: usize| {
        format!(
            "[[steps]]\nname = \"s{index}\"\nparticipant = \"cars\"\nuncompensated = true\n\
             action = {{ method = \"POST\", path = \"/c/{index}\" }}\n"
        )
    };
    let file = |count: usize| format!("name = \"trip\"\nversion = 1\n{}", (0..count).map(step).collect::<String>());
    check(&file(100), &[]);
    check(&file(101), &[(3, "there are 101 steps: at most 100 are possible")]);
}

#[test]
fn a_step_is_checked() {
    let action = "action = { method = \"POST\", path = \"/rooms\" }";
    check_hotel(
        "",
        &[(10, "step \"hotel\" has no action"), (10, "has an effect and no compensation: add compensation")],
    );
    check_hotel(action, &[(10, "add compensation = { … } to undo it, uncompensated = true if it stays for good")]);
    for (line, expected) in [
        ("after = []\nread_only = true", "a read has nothing to undo: remove one of the two"),
        ("uncompensated = true", "has a compensation and is uncompensated: remove one of the two"),
        ("read_only = 1", "read_only is a number: write true or false"),
        ("timeout_ms = \"1s\"", "timeout_ms is a string: write an integer from 1 to 86400000"),
        ("attempts = 0", "attempts is 0: write an integer from 1 to 1000"),
        ("outputs = { Room = \"/room\" }", "\"Room\" is not the name of an output"),
        ("outputs = { room = \"room\" }", "a JSON pointer starts with a slash, such as \"/booking_id\""),
        ("outputs = { room = \"/a~b\" }", "write ~0 for a tilde"),
        ("outputs = { room = 1 }", "the output room is a number: write a string"),
        ("retries = 3", "step \"hotel\" has no key \"retries\": remove it; the keys are name, participant"),
        ("after = \"flight\"", "after is a string: write a list"),
        ("after = [\"fligth\"]", "\"fligth\", which is not a step of this definition (did you mean \"flight\"?)"),
        ("after = [\"hotel\"]", "step \"hotel\" comes after itself"),
        ("after = [\"flight\", \"flight\"]", "after names \"flight\" twice: remove one"),
        ("headers = { Authorization = \"Bearer x\" }", "the token of the participant is set in the configuration"),
        ("headers = { Host = \"x\" }", "the header Host cannot be set"),
        ("headers = { transfer-encoding = \"chunked\" }", "it is the orchestrator's or belongs to the connection"),
        ("headers = { Content-Length = \"1\" }", "the header Content-Length cannot be set"),
        ("headers = { Idempotency-Key = \"1\" }", "every call carries one already"),
        ("headers = { SAGA-Hop = \"1\" }", "headers that start with Saga- are the orchestrator's"),
        ("headers = { \"X Y\" = \"1\" }", "is not the name of a header"),
        ("headers = { X-A = \"a\\nb\" }", "characters that a header cannot carry"),
        ("headers = { X-A = 1 }", "this header is a number: write a string"),
        ("headers = { X-A = \"1\", x-a = \"2\" }", "occurs twice: remove one"),
        ("headers = { X-A = \"{outputs.hotel.room}\" }", "the reply to this very request makes it; use {saga.id}"),
    ] {
        let compensation = "compensation = { method = \"DELETE\", path = \"/rooms/{saga.id}\" }";
        let line_of_problem = if line.contains("read_only = true") { 15 } else { 13 };
        check_hotel(&format!("{line}\n{compensation}\n{action}"), &[(line_of_problem, expected)]);
    }
    check_hotel(
        &format!("{action}\nread_only = true\nuncompensated = true\nafter = []"),
        &[(15, "is read_only and uncompensated")],
    );
    let unknown = format!("{HEAD}{HOTEL}{action}\nuncompensated = true").replace("\"hotels\"", "\"hotel\"");
    let advice =
        "no participant \"hotel\" (did you mean \"hotels\"?): configure it, or name one of flights, hotels, cars";
    check(&unknown, &[(12, advice)]);
    let twice = format!("{HEAD}{HOTEL}{action}\nuncompensated = true").replace("\"hotel\"", "\"flight\"");
    check(&twice, &[(11, "two steps are called \"flight\": rename one")]);
    let name = format!("{HEAD}{HOTEL}{action}\nuncompensated = true").replace("\"hotel\"", "\"hotel.1\"");
    check(&name, &[(11, "\"hotel.1\" is not the name of a step")]);
}

#[test]
fn a_call_is_checked() {
    for (call, expected) in [
        ("{ path = \"/rooms\" }", "the action of step \"hotel\" has no method: add method = \"POST\""),
        ("{ method = \"POST\" }", "has no path: add path"),
        ("{ method = \"post\", path = \"/rooms\" }", "method is \"post\": write one of GET, POST, PUT, PATCH, DELETE"),
        ("{ method = \"GET\", path = \"/rooms\", body = {} }", "is a GET with a body"),
        ("{ method = \"POST\", path = \"/rooms\", url = \"http://x\" }", "has no key \"url\""),
        ("{ method = \"POST\", path = \"/rooms\", body = { \"{input.city}\" = 1 } }", "stand in values only"),
        (
            "{ method = \"POST\", path = \"/rooms\", body = { a = [{ b = \"{saga}\" }] } }",
            "{saga} is not a placeholder",
        ),
        ("{ method = \"POST\", path = \"/rooms\", body = \"{\" }", "write {{ or }} for a brace in the text"),
        ("{ method = \"POST\", path = \"/rooms\", expect = { status = 1 } }", "expect has the name \"status\""),
        ("{ method = \"POST\", path = \"/rooms\", expect = { \"/s\" = \"{input.x}\" } }", "no such field"),
        ("\"POST /rooms\"", "the action of step \"hotel\" is a string: write a table"),
    ] {
        check_hotel(&format!("uncompensated = true\naction = {call}"), &[(14, expected)]);
    }
}

#[test]
fn a_path_is_checked() {
    for (path, expected) in [
        ("rooms", "does not start with a slash"),
        ("", "does not start with a slash"),
        ("http://cars/rooms", "does not start with a slash"),
        ("{input.city}/rooms", "does not start with a slash"),
        ("/rooms//a", "empty segment (//): remove one slash"),
        ("//rooms", "empty segment"),
        ("/rooms/../a", "the segment \"..\": write the path that is meant"),
        ("/rooms/.", "the segment \".\""),
        ("/rooms/%2E%2e", "write the dot itself"),
        ("/rooms/%2Ea", "write the dot itself"),
        ("/rooms/%zz", "write %25 for it"),
        ("/rooms/%2{input.city}", "write %25 for it"),
        ("/rooms/a b", "the path has ' ': write %20 for it"),
        ("/rooms/é", "write %C3%A9 for it"),
        ("/rooms#top", "the path has '#': write %23 for it"),
        ("/rooms\\a", "write %5C for it"),
        ("/rooms/{{a}}", "the path has '{': write %7B for it"),
    ] {
        let problems =
            problems(&format!("{HEAD}{HOTEL}uncompensated = true\naction = {{ method = \"PUT\", path = '{path}' }}"));
        assert!(problems.iter().all(|problem| problem.place == Place::Line(14)), "{path}: {problems:#?}");
        assert!(problems.iter().any(|problem| problem.text.contains(expected)), "{path}: {problems:#?}");
    }
    for path in
        ["/", "/rooms/", "/rooms/...", "/rooms/%2F", "/a:b@c/~d;e=f,g?x=/y?z=%20&{input.city}", "/x.{input.city}"]
    {
        check_hotel(&format!("uncompensated = true\naction = {{ method = \"PUT\", path = \"{path}\" }}"), &[]);
    }
}

#[test]
fn a_placeholder_that_can_never_have_a_value_is_an_error() {
    check_path(
        "/{input.zip}",
        "no such field; add it to properties of [input], or name one of the fields that are there: city, to",
    );
    check_path("/{input.citty}", "(did you mean \"city\"?)");
    check_path("/{input.city.zip}", "fields that are there: none");
    check_path("/{input.to.nam}", "(did you mean \"name\"?)");
    check_path("/{outputs.train.seat}", "no step is called \"train\"");
    check_path("/{outputs.hotel.room}", "the reply to this very request makes it");
    check_path("/{outputs.flight.seat}", "has no output \"seat\"; its outputs are booking, price");
    let beside =
        "after = []\nuncompensated = true\naction = { method = \"PUT\", path = \"/{outputs.flight.booking}\" }";
    check_hotel(beside, &[(15, "step \"flight\" does not come before step \"hotel\"; add it to after")]);
    let own = "action = { method = \"PUT\", path = \"/rooms\" }\noutputs = { room = \"/room\" }\n\
               compensation = { method = \"DELETE\", path = \"/rooms/{outputs.hotel.room}\" }";
    check_hotel(own, &[(15, "may be unknown when it is undone; use {saga.id} or {saga.step_key}")]);
}

#[test]
fn what_could_be_endless_has_a_limit() {
    let outputs = |count: usize| {
        let outputs: Vec<String> = (0..count).map(|number| format!("o{number} = \"/o\"")).collect();
        let outputs = outputs.join(", ");
        format!("uncompensated = true\naction = {{ method = \"PUT\", path = \"/x\" }}\noutputs = {{ {outputs} }}")
    };
    check_hotel(&outputs(498), &[]);
    check_hotel(&outputs(499), &[(4, "the steps have 501 outputs: at most 500 are possible")]);
    let rejected =
        SagaFile::parse(&"[[steps]]\n".repeat(100), Format::Toml, Identity::Inside, &PARTICIPANTS).unwrap_err();
    assert_eq!(rejected.0.len(), 101);
    assert!(rejected.to_string().ends_with("more problems are not listed"), "{rejected}");
}

#[test]
fn a_compensation_may_use_outputs_of_earlier_steps_only() {
    let later = HEAD.replace("/bookings/{saga.id}", "/bookings/{outputs.hotel.room}");
    let hotel =
        "uncompensated = true\naction = { method = \"PUT\", path = \"/rooms\" }\noutputs = { room = \"/room\" }";
    check(&format!("{later}{HOTEL}{hotel}\n"), &[(8, "step \"hotel\" does not come before step \"flight\"")]);
    let earlier = "action = { method = \"PUT\", path = \"/rooms\" }\n\
                   compensation = { method = \"DELETE\", path = \"/rooms/{outputs.flight.booking}\" }";
    check_hotel(earlier, &[]);
}

#[test]
fn the_order_of_steps_is_checked() {
    let step = |name: &str, rest: &str| {
        format!(
            "[[steps]]\nname = \"{name}\"\nparticipant = \"cars\"\naction = {{ method = \"GET\", path = \"/{name}\" }}\n{rest}\n"
        )
    };
    let head = "name = \"trip\"\nversion = 1\n";
    let effect = "uncompensated = true";
    let cycle = [step("a", &format!("{effect}\nafter = [\"c\"]")), step("b", effect), step("c", effect)];
    check(
        &format!("{head}{}", cycle.concat()),
        &[(3, "steps wait for each other: a, which waits for c, which waits for b, which waits for a; remove one")],
    );
    let read_late = [step("a", effect), step("b", "read_only = true")];
    let advice = "step \"b\" is read_only, but comes after step \"a\", which has an effect: all reads come first";
    check(&format!("{head}{}", read_late.concat()), &[(8, advice)]);
    let indirect = [
        step("a", effect),
        step("b", effect),
        step("c", "read_only = true\nafter = [\"b\"]"),
        step("d", "read_only = true\nafter = []"),
    ];
    check(&format!("{head}{}", indirect.concat()), &[(13, "step \"c\" is read_only, but comes after step \"a\"")]);
}

#[test]
fn the_input_schema_is_checked() {
    let schema = |schema: &str| HEAD.replace(&HEAD.lines().nth(2).unwrap()["input = ".len()..], schema);
    for (text, expected) in [
        ("1", "input is not a table: write a JSON Schema"),
        ("{ type = \"strin\" }", "the input schema (type): write \"string\""),
        ("{ minLength = -1 }", "the input schema (minLength):"),
        ("{ properties = { a = { pattern = \"(\" } } }", "is not a pattern: write a regular expression"),
        ("{ properties = { a = { pattern = \"(?=a)b\" } } }", "without look-around and back-references"),
        ("{ patternProperties = { \"(a)\\\\1\" = {} } }", "without look-around and back-references"),
        (
            "{ properties = { a = { \"$ref\" = \"https://example.com/s.json\" } } }",
            "nothing is fetched: put the schema under $defs",
        ),
        ("{ \"$ref\" = \"file:///etc/passwd\" }", "leads out of this schema"),
        ("{ anyOf = [{ \"$ref\" = \"other.json\" }] }", "leads out of this schema"),
        ("{ \"$ref\" = \"#/$defs/none\" }", "leads nowhere"),
        ("{ properties = { a = { \"$ref\" = \"#none\" } } }", "leads nowhere"),
        ("{ \"$schema\" = \"http://json-schema.org/draft-07/schema#\" }", "is another draft"),
        ("{ properties = { a = { \"$id\" = \"https://example.com/s.json\" } } }", "the input schema ($id):"),
    ] {
        let problems = problems(&schema(text));
        assert!(problems.iter().any(|problem| problem.text.contains(expected)), "{text}: {problems:#?}");
        assert!(problems.iter().all(|problem| problem.place == Place::Line(3)), "{text}: {problems:#?}");
    }
    check(&schema("{ pattern = \"(\" }"), &[(3, "is not a pattern")]);
    check(&schema("{ pattern = 1 }"), &[(3, "the input schema (pattern)")]);
    // Data that looks like a reference is not one.
    check(&schema("{ const = { \"$ref\" = \"https://example.com\" } }"), &[]);
    check(&schema("{ properties = { \"$ref\" = { type = \"string\" } } }"), &[]);
}

#[test]
fn every_problem_of_a_schema_has_its_own_line() {
    let file = "name = \"trip\"\nversion = 1\n[input]\ntype = \"object\"\n[input.properties.a]\ntype = \"strin\"\n\
                [input.properties.b]\nminLength = -1\n[input.properties.c]\npattern = \"(?=a)\"\n\"$ref\" = \"x.json\"\n[[steps]]\nname = \"a\"\nparticipant = \"cars\"\nread_only = true\n\
                action = { method = \"GET\", path = \"/a\" }\n";
    check(
        file,
        &[(6, "the input schema (type)"), (8, "the input schema (minLength)"), (10, "(pattern)"), (11, "($ref)")],
    );
}

#[test]
fn all_problems_of_a_file_are_listed_at_once() {
    let file = "name = \"Trip\"\nversion = 0\nmax_paralel = 1\n[[steps]]\nname = \"a\"\nparticipant = \"taxis\"\n\
                action = { method = \"get\", path = \"x//y\" }\nafter = [\"b\"]\n";
    check(
        file,
        &[
            (1, "is not the name of a definition"),
            (2, "version is 0"),
            (3, "no key \"max_paralel\""),
            (4, "has an effect and no compensation"),
            (6, "no participant \"taxis\""),
            (7, "method is \"get\""),
            (7, "does not start with a slash"),
            (7, "empty segment"),
            (8, "comes after \"b\", which is not a step"),
        ],
    );
}

#[test]
fn two_steps_at_one_path_are_a_warning() {
    let rental = |key: &str| {
        format!(
            "{HEAD}[[steps]]\nname = \"back\"\nparticipant = \"flights\"\n\
             action = {{ method = \"POST\", path = \"/bookings\", body = {{ id = \"{key}\" }} }}\nuncompensated = true\n"
        )
    };
    check(
        &rental("{saga.id}"),
        &[(10, "steps \"flight\" and \"back\" have the same participant and path for the action")],
    );
    assert!(problems(&rental("{saga.id}")).iter().all(|problem| problem.severity == Severity::Warning));
    let keyed =
        rental("{saga.step_key}").replace("body = { id = \"{saga.id}\" }", "body = { id = \"{saga.step_key}\" }");
    check(&keyed, &[]);
    check(&rental("{saga.step_key}"), &[(10, "have the same participant and path")]);
    let elsewhere = rental("{saga.id}")
        .replace("name = \"back\"\nparticipant = \"flights\"", "name = \"back\"\nparticipant = \"cars\"");
    check(&elsewhere, &[]);
}

#[test]
fn a_request_that_differs_at_each_attempt_is_a_warning() {
    let body = "uncompensated = true\naction = { method = \"POST\", path = \"/rooms\", body = [\"{saga.attempt}\"] }";
    check_hotel(body, &[(14, "use the header Saga-Attempt")]);
    let header = "uncompensated = true\naction = { method = \"POST\", path = \"/rooms\" }\nheaders = { X-Try = \"{saga.attempt}\" }";
    check_hotel(header, &[]);
}

#[test]
fn problems_of_a_body_have_pointers() {
    let step =
        json!({ "name": "a", "participant": "cars", "read_only": true, "action": { "method": "GET", "path": "/a" } });
    let mut body = json!({ "steps": [step] });
    let identity = Identity::Given { name: "trip", version: 3 };
    let check = |body: &Value, expected: &[(&str, &str)]| {
        let text = body.to_string();
        let problems = match SagaFile::parse(&text, Format::Json, identity, &PARTICIPANTS) {
            Ok(accepted) => accepted.warnings,
            Err(rejected) => rejected.0,
        };
        let is_same = problems.len() == expected.len()
            && problems.iter().zip(expected).all(|(problem, (pointer, part))| {
                problem.place == Place::Pointer((*pointer).to_owned()) && problem.text.contains(part)
            });
        assert!(is_same, "{text}: {problems:#?}");
    };
    check(&body, &[]);
    let unversioned =
        SagaFile::parse(&body.to_string(), Format::Json, Identity::Given { name: "trip", version: 0 }, &PARTICIPANTS);
    assert!(unversioned.unwrap_err().to_string().contains("the version 0 is not possible"));
    body["name"] = json!("tour");
    body["version"] = json!(4);
    check(&body, &[("/name", "but the path says \"trip\": remove it"), ("/version", "the path says 3: remove it")]);
    body["name"] = json!("trip");
    body["version"] = json!(3);
    check(&body, &[]);
    body["steps"][0]["action"]["pa/th"] = json!(1);
    check(&body, &[("/steps/0/action/pa~1th", "has no key \"pa/th\"")]);
    body["steps"][0]["action"] = json!(null);
    check(&body, &[("/steps/0/action", "is null: write a table")]);

    for (text, expected) in
        [("{", "this is not JSON"), ("{} x", "this is not JSON"), ("[]", "a definition is a list: write a table")]
    {
        let rejected = SagaFile::parse(text, Format::Json, identity, &PARTICIPANTS).unwrap_err();
        assert!(rejected.to_string().contains(expected), "{rejected}");
    }
    let twice = r#"{"name":"trip","name":"trip","steps":[]}"#;
    let rejected = SagaFile::parse(twice, Format::Json, identity, &PARTICIPANTS).unwrap_err();
    assert!(rejected.to_string().contains("/name: \"name\" occurs twice: remove one"), "{rejected}");
}

#[test]
fn nesting_is_limited() {
    let deep = |count: usize| {
        [
            format!("{HEAD}\n[x.{}]\n", vec!["a"; count].join(".")),
            format!("{HEAD}\nx.{} = 1\n", vec!["a"; count].join(".")),
            format!("{HEAD}\nx = {}{}\n", "[".repeat(count), "]".repeat(count)),
            format!("{HEAD}\nx = {}1{}\n", "{a=".repeat(count), "}".repeat(count)),
        ]
    };
    for text in deep(50_000) {
        let rejected = parse(&text).unwrap_err().to_string();
        assert!(rejected.contains("this is not TOML: it is nested too deeply"), "{rejected:.300}");
    }
    let key = vec!["a"; 70].join(".");
    let both = format!("{HEAD}\nx = {}{}\n", format!("{{ {key} = ").repeat(70), "}".repeat(70));
    let rejected = parse(&both.replace("= }", "= 1}")).unwrap_err().to_string();
    assert!(rejected.contains("this is nested too deeply: make it flatter"), "{rejected:.300}");
    // The deepest that is read: its one problem is the unknown key.
    for text in deep(70) {
        assert_eq!(parse(&text).unwrap_err().0.len(), 1);
    }
    let text = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(SagaFile::parse(&text, Format::Json, Identity::Inside, &PARTICIPANTS).is_err());
}
