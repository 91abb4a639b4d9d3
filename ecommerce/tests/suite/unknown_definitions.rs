//! Sagas in flight whose definition no node knows any more after a restart.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    files::workspace,
    foreign_participant::ForeignParticipant,
    interposer::{Act, Interposer},
};
use tokio::runtime::Runtime;

use crate::{
    program::{Ran, Server, command, finish, up_with},
    support::{Folder, wait_until},
};

const TRIP: &str = r#"
name = "trip"
version = 1
deadline_ms = 600000
[[steps]]
name = "flight"
participant = "flights"
attempts = 1000
action = { method = "POST", path = "/bookings", body = { transaction_id = "{saga.id}", city = "Lima" } }
compensation = { method = "DELETE", path = "/bookings/{saga.id}" }
"#;

/// Starts `up` on the folder's data, with these settings beside those of the profile bench.
fn start(folder: &Path, settings: &str) -> (Server, String) {
    let bench = fs::read_to_string(workspace().join("config/bench.toml")).unwrap();
    fs::write(folder.join("mine.toml"), format!("{bench}\n{settings}")).unwrap();
    let mut command = up_with("mine", &folder.join("data"));
    command.arg("--config-dir").arg(folder).env("ECOMMERCE__ORCHESTRATOR__SWEEP_MS", "500");
    let mut up = Server::start(&mut command);
    let front = up.wait_until_up();
    (up, front)
}

fn die(up: &mut Server) {
    up.signal(Signal::KILL);
    up.wait();
}

#[test]
fn a_saga_whose_definition_no_node_knows_waits_by_name_and_ends_once_one_knows_it_again() {
    let (runtime, folder) = (Runtime::new().unwrap(), Folder::new());
    let flights = runtime.block_on(ForeignParticipant::start(None));
    let interposer = runtime.block_on(Interposer::start());
    interposer.before(flights.address);
    interposer.next(usize::MAX, "/bookings", Act::Answer(503, "text/plain", ""));
    let settings = format!("[participants.flights]\nurl = '{}'\n", interposer.url);
    let ran = |front: &str, arguments: &[&str]| -> Ran { finish(command(arguments).args(["--target", front])) };

    let sagas = folder.path().join("sagas");
    fs::create_dir(&sagas).unwrap();
    fs::write(sagas.join("trip.toml"), TRIP).unwrap();
    let (mut up, front) = start(folder.path(), &settings);
    let accepted = ran(&front, &["sagas", "run", "trip", "--no-wait", "--json"]);
    let accepted: Value = serde_json::from_str(&accepted.out).unwrap_or_else(|_| panic!("{accepted:?}"));
    let id = accepted["saga_id"].as_str().unwrap();
    wait_until("the flight is asked for", || interposer.arrived("/bookings") > 0);
    die(&mut up);

    // Without the file: the database has the definition, as every node that was given one.
    fs::remove_dir_all(&sagas).unwrap();
    let before = interposer.arrived("/bookings");
    let (mut up, front) = start(folder.path(), &settings);
    wait_until("the flight is asked for again", || interposer.arrived("/bookings") > before);
    let shown = ran(&front, &["sagas", "show", "trip/1"]);
    assert!(shown.code == 0 && shown.out.contains("sagas/trip.toml"), "{shown:?}");
    assert!(!ran(&front, &["attention"]).out.contains(id));
    die(&mut up);

    // Without the participant no node can run it.
    let (mut up, front) = start(folder.path(), "");
    let reason = "definition trip/1 is not known to any live node";
    wait_until("it stands in attention by name", || {
        let listed = ran(&front, &["attention"]).out;
        listed.contains(id) && listed.contains("trip/1") && listed.contains(reason)
    });
    let inspected = ran(&front, &["inspect", id, "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.out).unwrap_or_else(|_| panic!("{inspected:?}"));
    assert_eq!((&inspected["log"]["status"], &inspected["log"]["attention"]), (&"PENDING".into(), &reason.into()));
    assert_eq!(ran(&front, &["sagas", "show", "trip/1"]).code, 4);
    let bought = ran(&front, &["order", "--user", "u", "--amount", "1"]);
    assert_eq!(bought.code, 0, "other sagas run: {bought:?}");
    let asked = interposer.arrived("/bookings");
    die(&mut up);
    assert_eq!(interposer.arrived("/bookings"), asked, "nothing was sent");

    let (mut up, front) = start(folder.path(), &settings);
    interposer.let_pass();
    wait_until("it has ended", || ran(&front, &["sagas", "show", id]).out.contains("COMPLETED"));
    assert!(!ran(&front, &["attention"]).out.contains(id));
    up.stop();
}
