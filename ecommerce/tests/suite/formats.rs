//! The formats of results and of errors, and the words of messages.

use serde_json::{Value, json};

use crate::{
    cli::answering,
    program::{Ran, command, finish, run},
};

const PAGE: &str = r#"{"total":2,"transactions":[
    {"transaction_id":"t-2","status":"COMPLETED","user_id":"me","amount":5.00,"created_at":"2999-01-02T03:04:05.000001Z","completed_at":null},
    {"transaction_id":"t-1","status":"COMPENSATED","user_id":"no","amount":19.90,"created_at":"2000-01-02T03:04:05.000001Z","completed_at":null}
    ],"next_cursor":"t-1"}"#;

fn list(arguments: &[&str]) -> Ran {
    let (target, _) = answering("200 OK", PAGE);
    finish(command(&["list", "--target", &target]).args(arguments))
}

/// Returns the last line of standard error as JSON.
fn error(ran: &Ran) -> Value {
    let line = ran.err.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn a_result_is_the_servers_document_as_json_and_as_yaml() {
    let document: Value = serde_json::from_str(PAGE).unwrap();
    for json in [["-o", "json"].as_slice(), &["--json"]] {
        let ran = list(json);
        assert_eq!((ran.code, serde_json::from_str::<Value>(&ran.out).unwrap()), (0, document.clone()), "{ran:?}");
    }
    let ran = list(&["-o", "yaml"]);
    assert_eq!((ran.code, serde_saphyr::from_str::<Value>(&ran.out).unwrap()), (0, document), "{ran:?}");
    assert!(ran.out.contains("amount: 19.90") && ran.out.contains("status: COMPLETED"), "{ran:?}");
    assert_eq!(list(&["--json", "-o", "yaml"]).code, 2, "one format");
}

#[test]
fn the_wide_table_has_exact_times_and_the_usual_one_ages() {
    let usual = list(&[]);
    assert!(usual.out.contains(" d ago") && usual.out.contains("in ") && !usual.out.contains("T03:04:05"), "{usual:?}");
    let wide = list(&["-o", "wide"]);
    assert!(wide.out.contains("2000-01-02T03:04:05.000001Z") && wide.out.contains("definition"), "{wide:?}");
}

#[test]
fn a_list_is_cut_at_a_time_and_sorted_in_every_format() {
    let ids = |arguments: &[&str]| {
        let ran = finish(command(&["list", "-o", "json", "--target", &answering("200 OK", PAGE).0]).args(arguments));
        let page: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let ids = page["transactions"].as_array().unwrap().iter().map(|row| row["transaction_id"].clone()).collect();
        (Value::Array(ids), page["total"].clone(), page["next_cursor"].clone())
    };
    assert_eq!(ids(&["--since", "2h"]), (json!(["t-2"]), json!(1), json!(null)));
    assert_eq!(ids(&["--since", "2000-01-01T00:00:00Z"]).0, json!(["t-2", "t-1"]));
    assert_eq!(ids(&["--sort", "amount"]), (json!(["t-1", "t-2"]), json!(2), json!("t-1")));
    assert_eq!(ids(&["--sort", "amount", "--reverse"]).0, json!(["t-2", "t-1"]));
    let table = list(&["--since", "2h"]);
    assert!(table.out.contains("t-2") && !table.out.contains("t-1") && table.out.contains("1 of 1"), "{table:?}");
    let wrong = list(&["--since", "yesterday"]);
    assert!(wrong.code == 2 && wrong.err.contains("30min"), "{wrong:?}");
}

#[test]
fn an_error_is_json_where_the_result_would_be() {
    let problem = r#"{"type":"about:blank","status":403,"detail":"not for you"}"#;
    let (target, _) = answering("403 Forbidden", problem);
    let ran = run(&["list", "--json", "--target", &target]);
    let answered = error(&ran);
    assert_eq!((ran.code, &answered["exit_code"], &answered["status"]), (4, &json!(4), &json!(403)), "{ran:?}");
    assert_eq!(answered["problem"]["detail"], "not for you", "{ran:?}");
    assert!(answered["error"].as_str().unwrap().contains("operator token"), "{ran:?}");

    let ran = run(&["list", "-o", "json", "--limit", "1001"]);
    let usage = error(&ran);
    assert_eq!((ran.code, &usage["exit_code"], &usage["kind"]), (2, &json!(2), &json!("usage")), "{ran:?}");
    assert!(usage["error"].as_str().unwrap().contains("--limit"), "{ran:?}");

    let ran = run(&["status", "0190a2f0-0000-7000-8000-0000deadbeef", "--json", "--target", "http://127.0.0.1:1"]);
    assert_eq!((ran.code, &error(&ran)["kind"]), (3, &json!("no_answer")), "{ran:?}");
    assert!(run(&["list", "-o", "yaml", "--limit", "1001"]).err.starts_with("error: "));
}

#[test]
fn messages_are_in_plain_words() {
    let (stranger, _) = answering("200 OK", r#"{"hello":"world"}"#);
    let (page, _) = answering("200 OK", "<html>");
    for (target, words) in
        [("http://127.0.0.1:1", "Connection refused"), (&stranger, "JSON of another kind"), (&page, "not JSON")]
    {
        let ran = run(&["list", "--target", target]);
        assert!(ran.error().contains(words), "{ran:?}");
        for word in ["os error", "missing field", "expected value", "line 1 column"] {
            assert!(!ran.err.contains(word), "{word}: {ran:?}");
        }
    }
}

#[test]
fn the_help_has_groups_and_headings() {
    let ran = run(&["--help"]);
    for heading in ["Run the services:", "Purchases:", "Operation:", "Sagas and participants of your own:", "Options:"]
    {
        assert!(ran.out.lines().any(|line| line == heading), "{heading}: {ran:?}");
    }
    let of_list = run(&["list", "--help"]);
    for heading in ["Orchestrator:", "Output:", "Options:"] {
        assert!(of_list.out.lines().any(|line| line == heading), "{heading}: {of_list:?}");
    }
}

#[test]
fn load_buys_elsewhere_only_with_a_yes() {
    // An address for documentation: nothing answers there, and nothing may be asked.
    let elsewhere = ["load", "--sagas", "7", "--no-report", "--target", "http://192.0.2.1:1"];
    let ran = run(&elsewhere);
    assert_eq!(ran.code, 2, "{ran:?}");
    for word in ["http://192.0.2.1", "--yes", "7 purchases"] {
        assert!(ran.error().contains(word), "{word}: {ran:?}");
    }
    let here = run(&["load", "--no-report", "--target", "http://127.0.0.1:1"]);
    assert_eq!(here.code, 3, "no question about this computer: {here:?}");
}
