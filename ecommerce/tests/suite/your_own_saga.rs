//! The tutorial `docs/your-own-saga.md`, with the files and commands that it shows.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tests::files::workspace;

use crate::{
    program::{Ran, Server, command, finish, up_with},
    support::{Folder, wait_until},
};

/// Returns the blocks of a language in a document.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect()
}

/// A booking service; it ends when dropped.
struct Service(Child);

impl Service {
    fn start(folder: &Path, port: u16, refused_city: &str, variables: &[(&str, &str)]) -> Self {
        let mut program = Command::new("python3");
        program.arg(folder.join("booking.py")).args([&port.to_string(), refused_city]).envs(variables.iter().copied());
        let service = Self(program.stderr(Stdio::null()).spawn().unwrap());
        wait_until("the service listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    let page = fs::read_to_string(workspace().join("docs/your-own-saga.md")).unwrap();
    let folder = Folder::new();
    let [python, toml] = ["python", "toml"].map(|language| blocks(&page, language));
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [flights, hotels] = ports.map(|listener| listener.local_addr().unwrap().port());
    let at_these_ports = |text: &str| text.replace("9001", &flights.to_string()).replace("9002", &hotels.to_string());
    fs::create_dir(folder.path().join("sagas")).unwrap();
    for (name, text) in
        [("booking.py", python[0]), ("mine.toml", toml[0]), ("sagas/trip.toml", toml[1]), ("hotels.toml", toml[2])]
    {
        fs::write(folder.path().join(name), at_these_ports(text)).unwrap();
    }
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let configuration = ["--config-dir", folder.path().to_str().unwrap(), "--profile", "mine"];

    let _flights = Service::start(folder.path(), flights, "Atlantis", &[]);
    let working = Service::start(folder.path(), hotels, "Pompeii", &[]);
    let check = finish(command(&["sagas", "check", &path("sagas/trip.toml")]).args(configuration));
    assert!(check.code == 0 && check.out.ends_with("trip 1 can be used\n"), "{check:?}");
    let data = folder.path().join("data");
    let mut up = Server::start(up_with("mine", &data).args(&configuration[..2]));
    let front = up.wait_until_up();
    let ran = |arguments: &[&str]| finish(command(arguments).args(["--target", &front]));
    let trip = |city: &str, more: &[&str]| -> Ran {
        let input = path("input.json");
        fs::write(&input, format!("{{ \"city\": \"{city}\" }}")).unwrap();
        ran(&[&["saga", "run", "trip", "--input", &input], more].concat())
    };
    let started = |city: &str| {
        let accepted = trip(city, &["--no-wait", "--json"]);
        let accepted: Value = serde_json::from_str(&accepted.out).unwrap();
        accepted["saga_id"].as_str().unwrap().to_owned()
    };
    let shows = |id: &str, words: &[&str]| {
        wait_until("sagas show has these words", || {
            let shown = ran(&["sagas", "show", id]).out;
            words.iter().all(|word| shown.contains(word))
        });
    };

    let done = trip("Lima", &[]);
    assert!(done.code == 0 && done.out.contains("│ hotel    room     1     │"), "{done:?}");
    let refused = trip("Pompeii", &[]);
    assert!(refused.code == 1 && refused.out.contains("409: hotels conflict: Pompeii is full"), "{refused:?}");
    let tested = finish(&mut command(&["conformance", "--config", &path("hotels.toml")]));
    assert!(tested.code == 0 && tested.out.contains("14 of 15 rules hold"), "{tested:?}");

    drop(working);
    let mut crashing = Service::start(folder.path(), hotels, "Pompeii", &[("CRASH", "1")]);
    let id = started("Cusco");
    crashing.0.wait().unwrap();
    shows(&id, &["PENDING", "backing_off"]);
    let working = Service::start(folder.path(), hotels, "Pompeii", &[]);
    shows(&id, &["COMPLETED"]);

    // A saga that is cancelled meanwhile undoes the booking that may have been made.
    drop(working);
    let mut crashing = Service::start(folder.path(), hotels, "Pompeii", &[("CRASH", "1")]);
    let id = started("Quito");
    crashing.0.wait().unwrap();
    shows(&id, &["backing_off"]);
    assert_eq!(ran(&["cancel", &id]).code, 0);
    shows(&id, &["COMPENSATING", "compensating"]);
    let _working = Service::start(folder.path(), hotels, "Pompeii", &[]);
    shows(&id, &["COMPENSATED"]);
    up.stop();
}
