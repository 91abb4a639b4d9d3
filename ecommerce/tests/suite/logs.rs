//! The log of production: one JSON object per line, with the identifiers of its service, saga and trace.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    program::{Server, run, up_command, up_with},
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
    let objects: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(!objects.is_empty(), "the log has lines");
    for object in &objects {
        assert!(object["timestamp"].is_string() && object["level"].is_string(), "{object}");
    }
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
    let front = up.wait_until_up();
    let (code, id) = buy(&front);
    assert_eq!(code, 1, "payments refuses");
    let log = log_of(up);

    let lines = of_saga(&log, &id);
    let trace_id = id.replace('-', "");
    for line in &lines {
        assert_eq!(line["trace.id"], trace_id.as_str(), "{line}");
    }
    let ended = |line: &&&Value| line["message"] == "saga ended" && line["status"] == "COMPENSATED";
    assert_eq!(lines.iter().filter(ended).count(), 1, "{lines:?}");
    let answered = lines.iter().filter(|line| line["message"] == "answered");
    let services: BTreeSet<&str> = answered.filter_map(|line| line["service"].as_str()).collect();
    assert_eq!(services, BTreeSet::from(["catalog", "payments"]), "{lines:?}");
    // The client's request belongs to no saga but has a trace.
    let request = log.iter().find(|line| line["route"] == "/saga/transaction" && line["message"] == "answered");
    let request = request.expect("the request was answered");
    assert_eq!(request["trace.id"].as_str().map(str::len), Some(32), "{request}");
}

#[test]
fn the_production_profile_logs_what_went_wrong_as_json_with_the_saga() {
    let folder = Folder::new();
    let mut command = up_with("production", &folder.path().join("data"));
    command.env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "100");
    command.env("ECOMMERCE__AUTH__SERVICE_TOKEN", "the-services-token-of-a-test");
    command.env("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__UNAVAILABLE_RATE", "1.0");
    let mut up = Server::start(&mut command);
    let front = up.wait_until_up();
    let (code, id) = buy(&front);
    assert_eq!(code, 1, "the purchase was not completed");
    let log = log_of(up);
    let lines = of_saga(&log, &id);
    assert!(lines.iter().any(|line| line["message"] == "step failed, trying again"), "{lines:?}");
    for line in lines {
        assert_eq!(line["trace.id"], id.replace('-', "").as_str(), "{line}");
    }
}
