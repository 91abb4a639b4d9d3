//! Output that cannot be written, to /dev/full: a command that only reads ends with exit code 4, a command that changed
//! something keeps its own.

use std::{collections::BTreeSet, fs::File, process::Command};

use serde_json::Value;
use tests::{files::workspace, foreign_participant::ForeignParticipant};
use tokio::runtime::Runtime;

use crate::{
    cli::answering,
    program::{Server, command, run, up_command},
    support::Folder,
};

const ID: &str = "0190a2f0-0000-7000-8000-000000000000";

/// Runs a command whose standard output is full; returns its exit code and its errors.
fn on_full_disk(command: &mut Command) -> (i32, String) {
    let ran = command.stdout(File::options().write(true).open("/dev/full").unwrap()).output().unwrap();
    (ran.status.code().unwrap_or(-1), String::from_utf8(ran.stderr).unwrap())
}

/// Returns the commands that `--help` lists, without `up` and `serve`, which run until they are stopped.
fn listed() -> BTreeSet<String> {
    let help = run(&["--help"]).out;
    let groups = help.split_once("Run the services:").unwrap().1.split("\nOptions:").next().unwrap().to_owned();
    let of_line = |line: &str| {
        let rest = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    groups.lines().filter_map(of_line).filter(|name| !["up", "serve"].contains(&name.as_str())).collect()
}

#[test]
fn output_that_cannot_be_written_has_the_documented_exit_code_in_every_command() {
    let (folder, runtime) = (Folder::new(), Runtime::new().unwrap());
    let data = folder.path().join("data");
    let mut up = Server::start(up_command(&data).env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "100"));
    let services = ["catalog", "payments", "inventory", "purchases", "orchestrator"];
    let addresses = services.map(|service| (service, up.wait_for_line(service)));
    let database = up.wait_for_line("database");
    up.wait_for_line("Ctrl-C");
    let front = &addresses[4].1;
    let bought = run(&["order", "--user", "u", "--amount", "5", "--json", "--target", front]);
    let bought: Value = serde_json::from_str(&bought.out).unwrap();
    let id = bought["transaction_id"].as_str().unwrap();

    let participant = runtime.block_on(ForeignParticipant::start(None));
    let file = |name: &str, text: &str| folder.file(name, text);
    let plan = file("plan.toml", &participant.plan());
    let trip = workspace().join("examples/trip/trip.toml").to_str().unwrap().to_owned();
    let steps = r#"[[steps]]
name = "pay"
participant = "payments"
action = { method = "POST", path = "/payments/", body = { user_id = "u", transaction_id = "{saga.id}", amount = 5 } }
compensation = { method = "POST", path = "/payments/refund/by-transaction/{saga.id}/" }
"#;
    let payment = file("payment.toml", &format!("name = \"payment\"\nversion = 1\n{steps}"));
    let data = data.to_str().unwrap();
    let at_front = |arguments: &[&'static str]| [arguments, &["--target"]].concat();

    let cases: Vec<(i32, Vec<&str>, Option<&str>)> = vec![
        (4, at_front(&["list"]), Some(front)),
        (4, at_front(&["list", "--json"]), Some(front)),
        (4, at_front(&["attention"]), Some(front)),
        (4, vec!["status", id, "--target"], Some(front)),
        (4, vec!["inspect", id, "--target"], Some(front)),
        (4, vec!["watch", id, "--target"], Some(front)),
        (4, at_front(&["sagas", "list"]), Some(front)),
        (4, vec!["sagas", "show", id, "--target"], Some(front)),
        (4, at_front(&["sagas", "show", "checkout/1"]), Some(front)),
        (4, vec!["sagas", "check", &payment], None),
        (4, vec!["sagas", "check", &payment, "--json"], None),
        (4, vec!["sagas", "check", &trip], None),
        (4, vec!["audit", "--data-dir", data], None),
        (4, vec!["audit", "--json", "--data-dir", data], None),
        (4, vec!["simulate", "--seeds", "0..2"], None),
        (4, vec!["simulate", "--seeds", "0..2", "--json"], None),
        (4, vec!["simulate", "--seeds", "0..1", "--trace"], None),
        (4, vec!["conformance", "--config", &plan], None),
        (4, vec!["conformance", "--json", "--config", &plan], None),
        (4, vec!["completions", "bash"], None),
        (4, vec!["help"], None),
        (4, vec!["--help"], None),
        (4, vec!["list", "--help"], None),
        (4, vec!["--version"], None),
        // These changed something, or have an exit code with a meaning of its own.
        (0, at_front(&["order", "--user", "u", "--amount", "5"]), Some(front)),
        (0, at_front(&["order", "--user", "u", "--amount", "5", "--json"]), Some(front)),
        (0, at_front(&["load", "--sagas", "2", "--no-report", "--no-restock"]), Some(front)),
        (0, at_front(&["restock", "--add", "5", "--product", "7"]), Some(front)),
        (0, vec!["sagas", "put", &payment, "--target"], Some(front)),
        (0, at_front(&["retry", "--all"]), Some(front)),
        (0, vec!["migrate", "--database-url", &database], None),
        (0, vec!["wait", "payments", "--database-url", &database], None),
        (0, vec!["hold", "--data-dir", data], None),
        (0, vec!["release", "--data-dir", data], None),
        (0, vec!["health"], Some(front)),
        (0, vec!["health", "--json"], Some(front)),
    ];
    let mut looked_at: BTreeSet<String> = cases.iter().map(|(_, arguments, _)| arguments[0].to_owned()).collect();
    for (code, arguments, target) in cases {
        let mut command = command(&arguments);
        for (service, address) in &addresses {
            command.env(format!("ECOMMERCE__SERVICES__{}__URL", service.to_uppercase()), address);
        }
        let (ended, err) = on_full_disk(command.args(target));
        assert_eq!(ended, code, "{arguments:?}: {err}");
        assert!(err.contains("cannot write the output"), "{arguments:?}: {err}");
    }
    up.stop();

    let said = r#"{"transaction_id":"t","status":"FAILED","message":"done"}"#;
    let done = r#"{"saga_id":"s","status":"COMPENSATED"}"#;
    for (code, status, body, arguments) in [
        (0, "202 Accepted", said, &["cancel", ID][..]),
        (0, "202 Accepted", said, &["retry", ID]),
        (0, "200 OK", said, &["resolve", ID, "--note", "n", "--json"]),
        (1, "409 Conflict", done, &["sagas", "run", "trip"]),
    ] {
        looked_at.insert(arguments[0].to_owned());
        let (target, _) = answering(status, body);
        let (ended, err) = on_full_disk(command(arguments).args(["--target", &target]));
        assert_eq!(ended, code, "{arguments:?}: {err}");
        assert!(err.contains("cannot write the output"), "{arguments:?}: {err}");
    }
    let missing: Vec<_> = listed().difference(&looked_at).cloned().collect();
    assert_eq!(missing, [] as [String; 0], "every command is looked at");
}
