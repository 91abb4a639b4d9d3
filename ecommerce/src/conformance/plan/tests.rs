//! Plans that are read, and problems of plans with their lines.

use super::*;

const GOOD: &str = r#"
url = "http://127.0.0.1:9001"
step = "flight"

[action]
path = "/bookings"
body = { transaction_id = "{saga.id}", city = "Lima", nights = 2, price = 9.5, tags = ["a"] }

[compensation]
method = "DELETE"
path = "/bookings/by-transaction/{saga.id}"

[other_contents]
body = { city = "Cusco" }

[refusal]
body = { city = "Atlantis" }

[effects]
path = "/bookings/by-transaction/{saga.id}"
count = "/count"
"#;

#[test]
fn a_good_plan_is_read_with_its_defaults() {
    let plan = Plan::parse(GOOD).unwrap();
    assert_eq!((plan.action.method, plan.compensation.method), (Method::POST, Method::DELETE));
    assert_eq!((plan.timeout.as_millis(), plan.callers, plan.step.as_str()), (5_000, 64, "flight"));
    let body = Value::from(plan.action.body.unwrap());
    let expected = serde_json::json!({
        "transaction_id": "{saga.id}", "city": "Lima", "nights": 2, "price": 9.5, "tags": ["a"]
    });
    assert_eq!(body, expected);
}

#[test]
fn all_problems_of_a_plan_are_listed_at_once_with_their_lines() {
    let text = r#"
url = "127.0.0.1:9001"
timeout_ms = 0
caller = 64
[action]
method = "BOOK"
path = "bookings"
headers = { Authorization = "x", "Saga-Id" = "y", "a b" = "c" }
body = { id = "{key}", when = 2026-01-01 }
[refusal]
body = { city = "Atlantis" }
tries = 3
[effects]
path = "/bookings/{input.id}"
count = "count"
"#;
    let problems = Plan::parse(text).unwrap_err();
    let expected = [
        "line 1: the section [compensation] is missing",
        "line 1: the section [other_contents] is missing",
        "line 2: url is an address",
        "line 3: timeout_ms is a number from 1 to",
        "line 4: caller is unknown here; known are url, ",
        "line 6: action.method is GET, POST, PUT, PATCH or DELETE, not \"BOOK\"",
        "line 7: action.path begins with a slash",
        "line 8: action.headers.Authorization is set by this command",
        "line 8: action.headers.Saga-Id is set by this command",
        "line 8: action.headers.a b is not the name of a header",
        "line 9: action.body.id has the placeholder {key}, which has no value; known are {saga.id}",
        "line 9: action.body.when is a time",
        "line 11: refusal has either body",
        "line 14: effects.path has the placeholder {input.id}",
        "line 15: effects.count is a JSON pointer",
    ];
    for expected in expected {
        assert!(problems.lines().iter().any(|line| line.starts_with(expected)), "{expected} in\n{problems}");
    }
    assert_eq!(problems.lines().len(), expected.len(), "{problems}");
}

#[test]
fn other_contents_that_do_not_differ_are_a_problem() {
    let text = GOOD.replace("Cusco", "Lima");
    let problems = Plan::parse(&text).unwrap_err();
    assert_eq!(problems.lines(), ["line 14: other_contents.body does not differ from action.body"]);
}

#[test]
fn errors_of_the_syntax_have_their_lines() {
    let problems = Plan::parse("url = \n[action\npath = 1").unwrap_err();
    assert!(problems.lines()[0].starts_with("line 1: "), "{problems}");
    assert!(problems.lines().len() > 1, "{problems}");
}
