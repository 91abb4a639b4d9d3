//! `up` and `serve` with an embedded PostgreSQL: started, used, stopped, killed, restarted.

use std::{fs, path::Path, process::Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    program::{Server, command, finish, run, send, up_command},
    support::{self, Folder},
};

/// Makes a purchase and returns its transaction id.
fn buy(front: &str) -> String {
    let ran = run(&["order", "--user", "user-1", "--amount", "12.50", "--json", "--target", front]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["status"], "COMPLETED");
    answer["transaction_id"].as_str().unwrap().to_owned()
}

fn status_of(front: &str, id: &str) -> Value {
    let ran = run(&["status", id, "--json", "--target", front]);
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn postmaster(data_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

#[test]
fn what_was_bought_is_there_after_a_stop_and_a_start() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut up = Server::up(&data_dir);
    let front = up.wait_until_up();
    assert!(up.said.contains("curl -X POST"), "{}", up.said);
    assert!(up.said.contains(&format!("{front}/ui/")), "the dashboard: {}", up.said);
    assert!(up.said.contains(&data_dir.display().to_string()), "its data: {}", up.said);
    assert!(up.said.contains(&format!("process {}", up.pid())), "{}", up.said);
    assert!(!up.said.contains("on purpose"), "nothing refuses: {}", up.said);
    assert_eq!(run(&["health", &front]).code, 0);
    let id = buy(&front);
    let before = status_of(&front, &id);
    let list = run(&["list", "--user", "user-1", "--target", &front]);
    assert!(list.out.contains(&id) && list.out.contains("12.5") && list.out.contains("1 of 1"), "{list:?}");
    let table = run(&["status", &id, "--target", &front]);
    assert!(table.out.contains("payments") && table.out.contains("COMPLETED"), "{table:?}");

    let server = postmaster(&data_dir).unwrap();
    up.stop();
    assert!(!support::is_alive(server), "PostgreSQL stops too");

    let mut up = Server::up(&data_dir);
    let front = up.wait_until_up();
    assert_eq!(status_of(&front, &id), before);
    buy(&front);
    up.signal(Signal::INT);
    let (code, err) = up.wait();
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_purchase_says_what_it_waits_for_and_what_became_of_the_money_and_the_stock() {
    let folder = Folder::new();
    let mut command = up_command(&folder.path().join("data"));
    command.env("ECOMMERCE__FAULTS__PURCHASES__CREATE__FAILURE_RATE", "1");
    command.env("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__LATENCY_MS__MIN", "3000");
    command.env("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__LATENCY_MS__MAX", "3000");
    let mut up = Server::start(&mut command);
    let front = up.wait_until_up();
    assert!(up.said.contains("refuses requests on purpose (purchases 100 %)"), "{}", up.said);
    assert!(up.said.contains(&format!("{front}/ui/#/lab")), "the way out: {}", up.said);
    let ran = run(&["order", "--user", "ada", "--amount", "9.99", "--product", "8", "--target", &front]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("waiting for payments, charge (attempt 1)"), "{ran:?}");
    let effects = ran.out.lines().last().unwrap();
    assert!(effects.starts_with("9.99 was taken at ") && effects.contains("Z and given back at "), "{effects}");
    assert!(effects.ends_with("; one unit of product 8 stays taken (the shop's rule)"), "{effects}");
    let list = run(&["list", "--json", "--target", &front]);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(list["total"], 1, "asked twice, bought once");
    let status = run(&["status", list["transactions"][0]["transaction_id"].as_str().unwrap(), "--target", &front]);
    assert_eq!(status.out.lines().last(), Some(effects));
}

#[test]
fn a_purchase_can_be_looked_into_and_what_has_ended_cannot_be_changed() {
    let folder = Folder::new();
    let mut up = Server::up(&folder.path().join("data"));
    let front = up.wait_until_up();
    let id = buy(&front);
    let target = ["--target", front.as_str()];
    let ran = |arguments: &[&str]| run(&[arguments, &target[..]].concat());

    let inspected = ran(&["inspect", &id]);
    assert_eq!(inspected.code, 0, "{inspected:?}");
    for word in ["COMPLETED", "forward", "owner_node", "charge", "decrease", "create", "attempt 1, epoch 1"] {
        assert!(inspected.out.contains(word), "{word}: {}", inspected.out);
    }
    for refused in [&["cancel", &id][..], &["retry", &id], &["resolve", &id, "--note", "n"]] {
        let refused = ran(refused);
        assert_eq!(refused.code, 4, "{refused:?}");
        assert!(refused.err.contains("409") && refused.err.contains("COMPLETED"), "{refused:?}");
    }
    let unknown = ran(&["inspect", "01890000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.err.contains("404"), "{unknown:?}");
    assert!(ran(&["attention"]).out.contains("no purchase needs attention"));
    assert!(ran(&["retry", "--all"]).out.contains("0 purchases"));
    assert_eq!(ran(&["retry"]).code, 2, "an id or --all");
    up.stop();
}

#[test]
fn a_second_up_on_a_data_folder_is_refused_and_harms_nothing() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut up = Server::up(&data_dir);
    let front = up.wait_until_up();
    let second = finish(&mut up_command(&data_dir));
    assert_eq!(second.code, 4, "{second:?}");
    assert!(second.error().contains(&format!("in use by process {}", up.pid())), "{second:?}");
    buy(&front);
    up.stop();
}

#[test]
fn a_killed_postgresql_is_started_again_under_running_services() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut up = Server::up(&data_dir);
    let front = up.wait_until_up();
    let id = buy(&front);
    let killed = postmaster(&data_dir).unwrap();
    send(killed, Signal::KILL);
    support::wait_until("PostgreSQL was restarted", || postmaster(&data_dir).is_some_and(|pid| pid != killed));
    support::wait_until("the services are healthy", || run(&["health", &front]).code == 0);
    support::wait_until("orders are accepted again", || {
        run(&["order", "--user", "user-1", "--amount", "1", "--target", &front]).code == 0
    });
    assert_eq!(status_of(&front, &id)["status"], "COMPLETED");
    up.stop();
}

#[test]
fn an_up_that_was_killed_is_followed_by_one_that_takes_over_its_postgresql() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut up = Server::up(&data_dir);
    let front = up.wait_until_up();
    let id = buy(&front);
    let server = postmaster(&data_dir).unwrap();
    up.signal(Signal::KILL);
    up.wait();
    assert!(support::is_alive(server));

    let mut up = Server::up(&data_dir);
    let front = up.wait_until_up();
    assert_eq!(postmaster(&data_dir), Some(server));
    assert_eq!(status_of(&front, &id)["status"], "COMPLETED");
    up.stop();
    assert!(!support::is_alive(server));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_a_purchase_but_for_postgresql() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut slow = up_command(&data_dir);
    for bound in ["MIN", "MAX"] {
        slow.env(format!("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__LATENCY_MS__{bound}"), "60000");
    }
    slow.env("ECOMMERCE__PARTICIPANTS__TIMEOUT_MS", "90000");
    let mut up = Server::start(&mut slow);
    let front = up.wait_until_up();
    let mut order = command(&["order", "--user", "u", "--amount", "1", "--target", &front]);
    let mut order = order.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    support::wait_until("the purchase runs", || {
        run(&["list", "--status", "pending", "--target", &front]).out.contains("1 of 1")
    });
    let server = postmaster(&data_dir).unwrap();
    up.signal(Signal::INT);
    up.wait_for_notice("stopping:");
    up.signal(Signal::INT);
    assert_eq!(up.wait().0, 130);
    assert!(!support::is_alive(server));
    let _ = order.kill();
    order.wait().unwrap();
}

#[test]
fn one_service_is_served_only_on_a_database_that_is_migrated() {
    let folder = Folder::new();
    let options = ecommerce::embedded_postgres::Options::new(folder.path());
    let server = ecommerce::embedded_postgres::EmbeddedPostgres::start(options).unwrap();
    let url = server.url();
    let with_database = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("ECOMMERCE_DATABASE_URL", &url).env("ECOMMERCE_PROFILE", "bench");
        command
    };
    let unmigrated = finish(&mut with_database(&["serve", "payments", "--port", "0"]));
    assert_eq!(unmigrated.code, 4, "{unmigrated:?}");
    assert!(unmigrated.error().contains("ms_payments"), "{unmigrated:?}");
    assert!(unmigrated.error().contains("ecommerce migrate"), "{unmigrated:?}");

    let migrated = finish(&mut with_database(&["migrate"]));
    assert_eq!(migrated.code, 0, "{migrated:?}");
    assert!(migrated.out.contains("ms_orchestrator"), "{migrated:?}");

    let misplaced = finish(&mut with_database(&["serve", "payments", "--port", "0", "--node-id", "n"]));
    assert_eq!(misplaced.code, 2, "{misplaced:?}");

    for service in ["payments", "orchestrator"] {
        let mut served = Server::start(&mut with_database(&["serve", service, "--port", "0"]));
        let address = served.wait_for_line(service);
        assert_eq!(run(&["health", &address]).code, 0, "{service}");
        served.stop();
    }
    server.stop().unwrap();
}

#[test]
fn machines_are_told_where_everything_is_as_one_line_of_json() {
    let folder = Folder::new();
    let mut up = Server::start(crate::program::up_command(&folder.path().join("data")).arg("--json"));
    crate::support::wait_until("the address is printed", || up.has_said("\n"));
    let document: serde_json::Value = serde_json::from_str(&up.said).unwrap();
    assert_eq!(document["profile"], "bench");
    let front = document["services"]["orchestrator"].as_str().unwrap();
    assert_eq!(crate::program::run(&["health", front]).code, 0);
    up.stop();
}
