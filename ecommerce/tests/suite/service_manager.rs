//! The messages of `serve` to systemd: ready, signs of life, stop; and the build that a running service reports.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    program::{Server, command, run},
    support::{Folder, PATIENCE},
};

/// Messages to systemd are short.
const LONGEST_MESSAGE: usize = 4096;

#[test]
fn systemd_learns_that_a_service_is_ready_lives_and_stops() {
    let folder = Folder::new();
    let mut up = Server::up(&folder.path().join("data"));
    up.wait_until_up();
    let database = up.said.lines().find_map(|line| line.trim().strip_prefix("database")).unwrap().trim().to_owned();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut bytes = [0; LONGEST_MESSAGE];
        let length = manager.recv(&mut bytes).expect("the service tells its state");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };

    let mut serve = command(&["serve", "payments", "--port", "0", "--profile", "bench"]);
    serve.env("ECOMMERCE_DATABASE_URL", &database).env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "900000");
    let mut served = Server::start(serve.env("ECOMMERCE__HTTP__DRAIN_DELAY_MS", "1000"));
    let address = served.wait_for_line("payments");
    let ready = next();
    assert!(ready.contains("READY=1\n") && ready.contains("STATUS=payments on "), "{ready}");
    for _ in 0..2 {
        assert_eq!(next(), "WATCHDOG=1\n");
    }
    let health: Value = serde_json::from_str(&run(&["health", &address]).out).unwrap();
    let version = run(&["--version"]).out;
    let revision = health["build"]["revision"].as_str().unwrap();
    assert!(version.contains(revision) && version.contains(health["version"].as_str().unwrap()), "{version} {health}");

    served.signal(Signal::TERM);
    let mut told = next();
    while told == "WATCHDOG=1\n" {
        told = next();
    }
    assert!(told.contains("STOPPING=1\n"), "{told}");
    assert_eq!(next(), "WATCHDOG=1\n", "a stop shows life too");
    assert_eq!(served.wait().0, 0);
    up.stop();
}
