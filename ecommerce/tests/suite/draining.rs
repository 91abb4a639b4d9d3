//! A stop that is announced before it begins, so that load balancers choose another replica in time.

use rustix::process::Signal;
use serde_json::json;
use tests::{
    http::{Answer, client, send},
    stack::with_json,
};
use tokio::runtime::Runtime;

use crate::{
    program::{Server, run, up_command},
    signals::slow,
    support::{self, Folder},
};

/// A variable for [`common::config::HttpSettings::drain_delay_ms`].
const DRAIN_DELAY: &str = "ECOMMERCE__HTTP__DRAIN_DELAY_MS";

/// Starts a purchase on a new connection, without waiting for its end.
fn buy(front: &str) -> Answer {
    Runtime::new().unwrap().block_on(async {
        let request = client().post(format!("{front}/saga/transaction")).header("prefer", "respond-async");
        send(with_json(request, json!({ "user_id": "u", "amount": 5 }))).await
    })
}

#[test]
fn a_stop_is_announced_and_everything_is_served_until_a_second_signal_begins_it() {
    let folder = Folder::new();
    let mut command = up_command(&folder.path().join("data"));
    let mut up = Server::start(slow(command.env(DRAIN_DELAY, "3600000")));
    let addresses = ["catalog", "payments", "inventory", "purchases"].map(|service| up.wait_for_line(service));
    let front = up.wait_until_up();
    assert_eq!(buy(&front).status, 202);
    for address in addresses.iter().chain([&front]) {
        assert_eq!(run(&["health", address]).code, 0, "{address}");
    }

    up.signal(Signal::TERM);
    up.wait_for_notice("a stop begins in 3600000 ms");
    for address in addresses.iter().chain([&front]) {
        let health = run(&["health", address]);
        assert!(health.code == 1 && health.out.contains("the service is stopping"), "{address}: {health:?}");
        assert_eq!(run(&["health", &format!("{address}/health/live/")]).code, 0, "{address}");
    }
    assert_eq!(buy(&front).status, 202, "purchases begin");

    up.signal(Signal::TERM);
    up.wait_for_notice("stopping: ");
    support::wait_until("purchases are refused while the running ones may end", || {
        let answer = buy(&front);
        answer.status == 503 && answer.text.contains("the service is stopping; nothing was done")
    });
    up.signal(Signal::TERM);
    up.wait_for_notice("stopping at once");
    assert_eq!(up.wait().0, 130);
}

#[test]
fn a_stop_that_was_announced_begins_by_itself() {
    let folder = Folder::new();
    let mut up = Server::start(up_command(&folder.path().join("data")).env(DRAIN_DELAY, "200"));
    let front = up.wait_until_up();
    assert_eq!(buy(&front).status, 202);
    up.signal(Signal::TERM);
    up.wait_for_notice("a stop begins in 200 ms");
    up.wait_for_notice("stopping: ");
    let (code, errors) = up.wait();
    assert_eq!(code, 0, "{errors}");
}
