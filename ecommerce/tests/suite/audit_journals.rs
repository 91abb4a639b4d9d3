//! `audit` on sagas of any definition: with the journals of named participants, true and falsified ones.

use std::fs;

use common::config::ConfigSource;
use ecommerce::{
    embedded_postgres::running_url,
    facts::{self, Limits},
};
use orchestrator::invariants::Run;
use serde_json::{Value, json};
use tests::foreign_participant::{ForeignParticipant, REFUSED_CITY, journal_entry};
use tokio::runtime::Runtime;

use crate::{
    program::{Ran, Server, command, finish, run, up_command},
    support::Folder,
};

/// A flight, then a hotel, then a car, whose service offers no journal.
const TRIP: &str = r#"
name = "trip"
version = 1
input = { type = "object", required = ["hotel"], properties = { hotel = { type = "string" } } }
[[steps]]
name = "flight"
participant = "flights"
action = { method = "POST", path = "/bookings", body = { transaction_id = "{saga.id}", city = "Lima" } }
compensation = { method = "DELETE", path = "/bookings/{saga.id}" }
[[steps]]
name = "hotel"
participant = "hotels"
action = { method = "POST", path = "/bookings", body = { transaction_id = "{saga.id}", city = "{input.hotel}" } }
compensation = { method = "DELETE", path = "/bookings/{saga.id}" }
[[steps]]
name = "car"
participant = "cars"
uncompensated = true
action = { method = "POST", path = "/bookings", body = { transaction_id = "{saga.id}", city = "Lima" } }
"#;

/// Two payments of one saga, each with the key of its step.
const SPLIT: &str = r#"
name = "split"
version = 1
[[steps]]
name = "deposit"
participant = "payments"
action = { method = "POST", path = "/payments/", body = { user_id = "u", transaction_id = "{saga.step_key}", amount = 5 } }
compensation = { method = "POST", path = "/payments/by-transaction/{saga.step_key}/refund/", body = {} }
[[steps]]
name = "rest"
participant = "payments"
action = { method = "POST", path = "/payments/", body = { user_id = "u", transaction_id = "{saga.step_key}", amount = 7 } }
compensation = { method = "POST", path = "/payments/by-transaction/{saga.step_key}/refund/", body = {} }
"#;

const PARTICIPANTS: [&str; 3] = ["flights", "hotels", "cars"];
const SHOWN: &str = "the shown history agrees with the journals";
const LEFT: &str = "COMPENSATED has no action without its compensation";

/// A running `up`, its three participants, and a configuration that names them.
struct System {
    up: Server,
    folder: Folder,
    front: String,
    runtime: Runtime,
    participants: [ForeignParticipant; 3],
}

impl System {
    fn start() -> Self {
        let (runtime, folder) = (Runtime::new().unwrap(), Folder::new());
        let participants = [(); 3].map(|()| runtime.block_on(ForeignParticipant::start(None)));
        let mut command = up_command(&folder.path().join("data"));
        for (name, value) in variables(&participants) {
            command.env(name, value);
        }
        let mut up = Server::start(&mut command);
        let front = up.wait_until_up();
        for (name, text) in [("trip.toml", TRIP), ("split.toml", SPLIT)] {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            let mut put = self::command(&["sagas", "put", file.to_str().unwrap(), "--target", &front]);
            let put = finish(put.envs(variables(&participants)));
            assert_eq!(put.code, 0, "{put:?}");
        }
        Self { up, folder, front, runtime, participants }
    }

    /// Runs a saga to its end; returns its id.
    fn travel(&self, hotel: &str, status: &str) -> String {
        let input = self.folder.path().join("input.json");
        fs::write(&input, json!({ "hotel": hotel }).to_string()).unwrap();
        let input = input.to_str().unwrap();
        let ran = run(&["sagas", "run", "trip", "--input", input, "--json", "--target", &self.front]);
        let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        assert_eq!(answer["status"], status, "{answer}");
        answer["saga_id"].as_str().unwrap().to_owned()
    }

    fn falsify(&self, participant: usize, saga: &str, change: impl FnOnce(&mut Vec<Value>)) {
        self.runtime.block_on(self.participants[participant].falsify(saga, change));
    }

    fn audit(&self, more: &[&str]) -> Ran {
        let mut command = command(&["audit", "--profile", "bench", "--data-dir"]);
        finish(command.arg(self.folder.path().join("data")).args(more).envs(variables(&self.participants)))
    }

    fn report(&self) -> Value {
        let ran = self.audit(&["--settled", "--json"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
    }
}

fn variables(participants: &[ForeignParticipant; 3]) -> Vec<(String, String)> {
    let names = PARTICIPANTS.map(str::to_uppercase);
    let key = |name: &str, key: &str| format!("ECOMMERCE__PARTICIPANTS__{name}__{key}");
    let urls = names
        .iter()
        .zip(participants)
        .map(|(name, participant)| (key(name, "URL"), format!("http://{}", participant.address)));
    let journals = names[..2].iter().map(|name| (key(name, "JOURNAL"), "true".to_owned()));
    urls.chain(journals).collect()
}

/// Returns the violations of a report: invariant, id and reason.
fn violations(report: &Value) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let verdicts = report["invariants"].as_array().unwrap().iter();
    let findings = verdicts.flat_map(|verdict| {
        let findings = verdict["findings"].as_array().unwrap().iter();
        findings.map(|finding| [text(&verdict["name"]), text(&finding["id"]), text(&finding["why"])])
    });
    findings.collect()
}

fn violation(name: &str, id: &str, why: &str) -> [String; 3] {
    [name, id, why].map(str::to_owned)
}

#[test]
fn sagas_of_any_definition_are_compared_with_the_journals_of_their_participants() {
    let mut system = System::start();
    let completed = system.travel("Lima", "COMPLETED");
    let reverted = system.travel(REFUSED_CITY, "COMPENSATED");
    let (completed, reverted) = (completed.as_str(), reverted.as_str());

    let report = system.report();
    assert_eq!((&report["clean"], &report["complete"]), (&json!(true), &json!(true)), "{report}");
    let covered = |sagas: u64, skipped: u64, without: u64| {
        json!({
            "sagas": sagas, "steps": sagas, "failed": 0, "reason": null, "skipped": skipped, "without_journal": without
        })
    };
    let expected = json!({ "flights": covered(2, 0, 0), "hotels": covered(2, 0, 0), "cars": covered(0, 0, 2) });
    assert_eq!(report["journals"], expected);
    let ran = system.audit(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("offers no journal") && ran.out.contains("every invariant holds\n"), "{ran:?}");

    // Each falsified journal, and the invariant that finds it.
    type Change = fn(&mut Vec<Value>);
    let flight = |why: &str| format!("flight {why}");
    let cases: [(usize, &str, Change, Vec<[String; 3]>); 5] = [
        (
            0,
            completed,
            |journal| journal.clear(),
            vec![violation(SHOWN, completed, &flight("is shown as done, but was not done"))],
        ),
        (
            0,
            completed,
            |journal| journal.push(journal_entry("compensation", 200, false)),
            vec![violation(SHOWN, completed, &flight("is shown as done, but was undone"))],
        ),
        (
            0,
            reverted,
            |journal| journal.truncate(1),
            vec![
                violation(SHOWN, reverted, &flight("is shown as compensated, but was not undone")),
                violation(LEFT, reverted, "flight was done at flights and not undone"),
            ],
        ),
        (
            1,
            reverted,
            |journal| *journal = vec![journal_entry("action", 200, false)],
            vec![
                violation(SHOWN, reverted, "hotel is shown as refused, but was not refused"),
                violation(LEFT, reverted, "hotel was done at hotels and not undone"),
            ],
        ),
        // A confirmation that was never recorded, of an action that a tombstone has forbidden.
        (
            0,
            reverted,
            |journal| *journal = vec![journal_entry("action", 409, true)],
            vec![violation(SHOWN, reverted, &flight("is shown as compensated, but was not done"))],
        ),
    ];
    for (participant, saga, change, expected) in cases {
        let mut truth = Vec::new();
        system.falsify(participant, saga, |journal| {
            truth.clone_from(journal);
            change(journal);
        });
        let report = system.report();
        assert_eq!(violations(&report), expected, "{report}");
        assert_eq!((&report["clean"], &report["complete"]), (&json!(false), &json!(true)));
        system.falsify(participant, saga, |journal| *journal = truth);
    }
    assert_eq!(violations(&system.report()), Vec::<[String; 3]>::new(), "all journals are true again");

    // Calls of other clients are listed, not judged.
    system.falsify(0, completed, |journal| {
        let mut by_hand = journal_entry("compensation", 200, false);
        by_hand["from_saga"] = json!(false);
        journal.push(by_hand);
    });
    let ran = system.audit(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(&format!("{completed}  flights compensation, under the id of a saga")), "{ran:?}");
    system.up.stop();
}

#[test]
fn payments_of_one_saga_with_the_keys_of_its_steps_are_found_in_whatever_parts_the_books_are_read() {
    let mut system = System::start();
    for _ in 0..3 {
        let ran = run(&["sagas", "run", "split", "--target", &system.front]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let url = running_url(&system.folder.path().join("data")).unwrap();
    let settings = ConfigSource::embedded("bench").with("database.url", &url).load().unwrap();
    for part in [1, 2, 100] {
        let limits = Limits { part, ..Limits::default() };
        let report = system.runtime.block_on(facts::audit(&settings, Run::Over, limits)).unwrap();
        assert!(report.is_clean(), "in parts of {part}: {report:?}");
        for (name, looked_at) in [(SHOWN, 3), ("no payment, purchase or decrement without its saga", 6)] {
            let verdict = report.verdicts.iter().find(|verdict| verdict.name == name).unwrap();
            assert_eq!(verdict.looked_at, looked_at, "in parts of {part}: {report:?}");
        }
    }
    system.up.stop();
}

#[test]
fn an_audit_says_which_journals_it_could_not_read_and_is_then_no_success() {
    let mut system = System::start();
    let older = system.travel("Lima", "COMPLETED");
    system.travel("Lima", "COMPLETED");
    // Beyond the limit is no failure.
    let ran = system.audit(&["--settled", "--json", "--journals", "1"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!((ran.code, &report["complete"]), (0, &json!(true)), "{report}");
    assert_eq!(
        (&report["journals"]["flights"]["sagas"], &report["journals"]["flights"]["skipped"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(system.audit(&["--settled", "--json", "--journals", "0"]).code, 0);

    system.falsify(1, &older, |journal| *journal = vec![journal_entry("book", 200, false)]);
    let ran = system.audit(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains(r#"could not be read: the operation "book""#), "{ran:?}");

    // The participant is gone: nothing listens at its address.
    let gone = system.runtime.block_on(ForeignParticipant::start(None)).address;
    system.participants[1].address = gone;
    for _ in 0..8 {
        system.travel("Lima", "COMPLETED");
    }
    let ran = system.audit(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for text in ["hotels", "could not be read: ", "as far as the journals could be read: the audit is incomplete"] {
        assert!(ran.out.contains(text), "{text}: {ran:?}");
    }
    assert!(!ran.out.contains("every invariant holds\n"), "{ran:?}");
    let report = system.report();
    assert_eq!((&report["clean"], &report["complete"]), (&json!(true), &json!(false)), "{report}");
    let failed = &report["journals"]["hotels"];
    assert_eq!((&failed["sagas"], &failed["failed"]), (&json!(0), &json!(10)), "{report}");
    assert!(failed["reason"].as_str().unwrap().contains("refused"), "{failed}");
    system.up.stop();
}
