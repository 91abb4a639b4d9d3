//! The log of production: one JSON object per line, with the identifiers of its service, saga and trace.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    program::{Server, finish, run, up_command, up_with},
    support::Folder,
};

fn buy(front: &str) -> (i32, String) {
    let ran = run(&["order", "--user", "user-1", "--amount", "12.50", "--json", "--target", front]);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    (ran.code, answer["transaction_id"].as_str().unwrap().to_owned())
}

/// Stops the program and parses every line of its log.
fn log_of(mut up: Server) -> Vec<Value> {
    up.signal(rustix::process::Signal::TERM);
    let (code, log) = up.wait();
    assert_eq!(code, 0, "{log}");
    let log = format!("{}{log}", up.said);
    let objects: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(!objects.is_empty(), "the log has lines");
    for object in &objects {
        for name in ["timestamp", "level", "message", "service.name"] {
            assert!(object[name].is_string(), "{name}: {object}");
        }
        assert_eq!(object["trace_id"].is_string(), object["span_id"].is_string(), "{object}");
    }
    assert_eq!(up.printed(), "", "the log is all that a program reads");
    objects
}

fn of_saga<'a>(log: &'a [Value], id: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["saga.id"] == id).collect()
}

#[test]
fn every_line_of_a_purchase_names_its_saga_and_its_trace() {
    let folder = Folder::new();
    let mut command = up_command(&folder.path().join("data"));
    command.env("ECOMMERCE__TELEMETRY__FORMAT", "json");
    // Nearly all levels: the identifiers of a line do not depend on its level.
    command
        .env("ECOMMERCE__TELEMETRY__FILTER", "info,ractor=warn,common=debug,orchestrator=debug,domain_services=debug");
    command.env("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__FAILURE_RATE", "1.0");
    let mut up = Server::start(&mut command);
    let front = up.wait_until_logged_up();
    let (code, id) = buy(&front);
    assert_eq!(code, 1, "payments refuses");
    let log = log_of(up);

    let lines = of_saga(&log, &id);
    let trace_id = id.replace('-', "");
    for line in &lines {
        assert_eq!(line["trace_id"], trace_id.as_str(), "{line}");
    }
    let ended = |line: &&&Value| line["message"] == "saga ended" && line["status"] == "COMPENSATED";
    assert_eq!(lines.iter().filter(ended).count(), 1, "{lines:?}");
    let answered = lines.iter().filter(|line| line["message"] == "answered");
    let services: BTreeSet<&str> = answered.filter_map(|line| line["service"].as_str()).collect();
    assert_eq!(services, BTreeSet::from(["catalog", "payments"]), "{lines:?}");
    // The client's request belongs to no saga but has a trace.
    let request = log.iter().find(|line| line["route"] == "/saga/transaction" && line["message"] == "answered");
    let request = request.expect("the request was answered");
    assert_eq!(request["trace_id"].as_str().map(str::len), Some(32), "{request}");
}

#[test]
fn the_production_profile_logs_what_went_wrong_as_json_with_the_saga() {
    let folder = Folder::new();
    let mut command = up_with("production", &folder.path().join("data"));
    command.env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "100");
    command.env("ECOMMERCE__AUTH__SERVICE_TOKEN", "the-services-token-of-a-test");
    command.env("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__UNAVAILABLE_RATE", "1.0");
    let mut up = Server::start(&mut command);
    let front = up.wait_until_logged_up();
    let (code, id) = buy(&front);
    assert_eq!(code, 1, "the purchase was not completed");
    let log = log_of(up);
    let lines = of_saga(&log, &id);
    assert!(lines.iter().any(|line| line["message"] == "step failed, trying again"), "{lines:?}");
    for line in lines {
        assert_eq!(line["trace_id"], id.replace('-', "").as_str(), "{line}");
    }
}

#[test]
fn the_access_log_has_a_line_for_each_request_without_its_secrets() {
    const TOKEN: &str = "the-services-token-of-a-test";
    let folder = Folder::new();
    let mut command = up_with("production", &folder.path().join("data"));
    command.env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "100").env("ECOMMERCE__AUTH__SERVICE_TOKEN", TOKEN);
    command.env("ECOMMERCE__TELEMETRY__ACCESS_LOG", "true").env("OTEL_SERVICE_NAME", "");
    let mut up = Server::start(&mut command);
    let front = up.wait_until_logged_up();
    let (code, id) = buy(&front);
    assert_eq!(code, 0, "nothing fails in production");
    assert_eq!(run(&["list", "--user", "a-private-name", "--token", TOKEN, "--target", &front]).code, 0);
    for path in ["/health/", "/health/live/", "/metrics"] {
        assert_eq!(run(&["health", &format!("{front}{path}")]).code, 0);
    }
    let log = log_of(up);

    let lines: Vec<&Value> = log.iter().filter(|line| line["target"] == "access").collect();
    let shown: BTreeSet<String> = lines
        .iter()
        .map(|line| format!("{} {} {} {}", line["service.name"], line["method"], line["route"], line["status"]))
        .collect();
    for expected in [
        r#""orchestrator" "POST" "/saga/transaction" 200"#,
        r#""catalog" "GET" "/products/random/" 200"#,
        r#""payments" "POST" "/payments/" 200"#,
        r#""inventory" "POST" "/inventory/decrease/" 200"#,
        r#""purchases" "POST" "/purchases/" 200"#,
    ] {
        assert!(shown.contains(expected), "{expected}: {shown:?}");
    }
    let of_purchase = |line: &&&Value| line["trace_id"] == id.replace('-', "").as_str();
    assert_eq!(lines.iter().filter(of_purchase).count(), 5, "{lines:?}");
    for line in &lines {
        assert!(line["duration_ms"].is_f64() && line["path"].is_string(), "{line}");
        assert!(line["bytes"].is_u64() || line["bytes"].is_null(), "{line}");
        let text = line.to_string();
        for hidden in ["/health/", "/metrics", TOKEN, "a-private-name"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
    let order = lines.iter().find(|line| line["route"] == "/saga/transaction").expect("it was logged");
    assert_eq!((&order["client"], &order["path"]), (&Value::from("127.0.0.1"), &Value::from("/saga/transaction")));
    assert!(order["bytes"].as_u64().is_some_and(|bytes| bytes > 100), "{order}");
}

#[test]
fn a_problem_of_the_settings_is_a_log_line_where_the_log_is_json() {
    for (format, variable, value) in [
        ("json", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("json", "ECOMMERCE__HTTP__BIND", "somewhere"),
        ("text", "OTEL_TRACES_EXPORTER", "zipkin"),
    ] {
        let mut serve = crate::program::command(&["serve", "payments", "--profile", "bench"]);
        let ran = finish(serve.env("ECOMMERCE__TELEMETRY__FORMAT", format).env(variable, value));
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(ran.err.contains(variable), "{ran:?}");
        let are_json = ran.err.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
        assert_eq!(are_json, format == "json", "{ran:?}");
        if are_json {
            assert!(ran.err.contains(r#""service.name":"payments""#), "{ran:?}");
        }
    }
}
