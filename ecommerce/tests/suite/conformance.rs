//! `conformance` from the command line.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tests::{
    files::{TemporaryFolder, workspace},
    foreign_participant::{Fault, ForeignParticipant},
};
use tokio::runtime::Runtime;

use crate::program::{Ran, command, finish, run};

/// A participant that serves while commands run, and the file that describes it.
struct Setup {
    _runtime: Runtime,
    participant: ForeignParticipant,
    folder: TemporaryFolder,
}

impl Setup {
    fn new(fault: Option<Fault>) -> Self {
        let runtime = Runtime::new().unwrap();
        let participant = runtime.block_on(ForeignParticipant::start(fault));
        let setup = Self { _runtime: runtime, participant, folder: TemporaryFolder::new() };
        fs::write(setup.file("plan.toml"), setup.participant.plan()).unwrap();
        setup
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let plan = self.file("plan.toml");
        finish(command(&["conformance", "--config", plan.to_str().unwrap()]).args(arguments))
    }
}

#[test]
fn a_participant_that_conforms_is_a_line_per_rule_and_exit_code_0() {
    let setup = Setup::new(None);
    let ran = setup.run(&["--restart", "true"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("holds ")).count(), 15, "{}", ran.out);
    assert!(lines[0].ends_with("action POST /bookings, compensation DELETE /bookings/{saga.id}"), "{}", lines[0]);
    let repeated = lines.iter().find(|line| line.contains(" repeated-answer ")).unwrap();
    assert!(repeated.ends_with("; action again 3× → the same; effects → 1"), "{repeated}");
    assert_eq!(*lines.last().unwrap(), "15 of 15 rules hold");
}

#[test]
fn a_violation_is_named_with_what_was_sent_and_came_back_and_is_exit_code_1() {
    let setup = Setup::new(Some(Fault::IgnoresContents));
    let junit = setup.file("results.xml");
    let ran = setup.run(&["--junit", junit.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let line = ran.out.lines().find(|line| line.starts_with("violated")).unwrap();
    for expected in ["other-contents", "are answered 422", "action with other contents → the same", "(saga 0"] {
        assert!(line.contains(expected), "{expected}: {line}");
    }
    assert!(ran.out.contains("skipped   restart                    no --restart command is given"), "{}", ran.out);
    assert!(ran.out.ends_with("1 of 15 rules is violated, 1 not tested: docs/participants.md\n"), "{}", ran.out);
    let xml = fs::read_to_string(junit).unwrap();
    assert!(xml.contains(r#"tests="15" failures="1" errors="0" skipped="1""#), "{xml}");
    assert!(xml.contains(r#"<testcase classname="conformance" name="other-contents""#), "{xml}");
}

#[test]
fn the_results_are_json_for_machines() {
    let setup = Setup::new(Some(Fault::NoTombstone));
    let ran = setup.run(&["--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["conforms"], false);
    let rules = report["rules"].as_array().unwrap();
    let rule = |name: &str| rules.iter().find(|rule| rule["name"] == name).unwrap();
    assert_eq!(rule("tombstone")["outcome"], "violated");
    assert_eq!(rule("tombstone")["exchanges"][0]["sent"], "compensation");
    assert_eq!((&rule("compensation")["outcome"], &rule("restart")["outcome"]), (&"holds".into(), &"skipped".into()));
}

#[test]
fn a_restart_that_fails_is_a_violation_that_says_so() {
    let setup = Setup::new(None);
    let ran = setup.run(&["--restart", "exit 7"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("the restart failed: `exit 7` ended with exit status: 7"), "{}", ran.out);
}

#[test]
fn a_wrong_file_is_exit_code_2_with_all_problems() {
    let setup = Setup::new(None);
    let text = setup.participant.plan().replace("[refusal]", "[refusals]").replace("{saga.id}", "{key}");
    fs::write(setup.file("plan.toml"), text).unwrap();
    let ran = setup.run(&[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    for expected in
        ["is wrong in 4 places:", "refusals is unknown here", "action.body.transaction_id has the placeholder"]
    {
        assert!(ran.err.contains(expected), "{expected}: {}", ran.err);
    }
    let missing = finish(&mut command(&["conformance", "--config", "/nowhere.toml"]));
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.error().contains("/nowhere.toml"), "{missing:?}");
}

#[test]
fn a_participant_that_does_not_run_is_exit_code_3_and_an_unwritable_file_4() {
    let setup = Setup::new(None);
    let ran = setup.run(&["--junit", "/nowhere/results.xml"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.error().contains("--junit"), "{ran:?}");
    let address = setup.participant.address.to_string();
    // Port 1 of loopback is reserved.
    let text = setup.participant.plan().replace(&address, "127.0.0.1:1");
    fs::write(setup.file("plan.toml"), text).unwrap();
    let ran = setup.run(&[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.error().contains("Connection refused") && ran.error().contains("is url right?"), "{ran:?}");
}

#[test]
fn the_trip_of_the_examples_is_a_definition_and_its_services_can_be_tested() {
    let trip = workspace().join("examples/trip");
    let file = |name: &str| trip.join(name).to_str().unwrap().to_owned();
    let mut arguments = vec!["sagas".to_owned(), "check".to_owned(), file("trip.toml")];
    let participants = fs::read_to_string(file("participants.toml")).unwrap();
    let names = ["flights", "hotels", "cars"];
    for name in names {
        let (_, section) = participants.split_once(&format!("[participants.{name}]\nurl = ")).unwrap();
        let url = section.lines().next().unwrap();
        let plan = fs::read_to_string(file(&format!("{name}.toml"))).unwrap();
        assert!(plan.contains(&format!("\nurl = {url}\n")), "{name}: the two files name one address");
        ecommerce::conformance::Plan::parse(&plan).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        arguments.extend(["--participant".to_owned(), name.to_owned()]);
    }
    let ran = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.out.contains("warning"), "{ran:?}");
}
