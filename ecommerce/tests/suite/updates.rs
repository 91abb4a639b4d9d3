//! Programs of several versions on one database: an update, a rollback, and a version that is too old.

use std::process::Command;

use tests::{database::Database, private_cluster::PrivateCluster};
use tokio::runtime::Runtime;

use crate::program::{Ran, Server, command, finish};

const ADD: &str = "insert into refinery_schema_history (version, name, applied_on, checksum) \
    values ($1::int8::int4, $2, '2026-01-02T03:04:05Z', '1')";
const REMOVE: &str = "delete from refinery_schema_history where version = $1::int8::int4 returning name";

#[test]
fn a_service_that_waits_for_its_database_may_start_once_it_is_migrated() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(PrivateCluster::start());
    let wait = || Server::start(&mut command(&["wait", "payments", "--database-url", &server.url]));
    let mut stopped = wait();
    stopped.wait_for_notice("waiting: payments (database.url): ");
    stopped.stop();

    let mut waits = wait();
    waits.wait_for_notice("waiting: payments (database.url): ");
    let ran = finish(&mut command(&["migrate", "--database-url", &server.url]));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(waits.wait_for_line("the"), "database");
    assert_eq!(waits.wait().0, 0);

    // A database of the previous version is waited for, too.
    let migrated = Migrated { runtime, server };
    let known = migrated.applied();
    let name = migrated.remove(known);
    let mut waits = Server::start(&mut command(&["wait", "payments", "--database-url", &migrated.server.url]));
    waits.wait_for_notice("waiting: payments (database.url): database ms_payments");
    migrated.add(known, &name);
    assert_eq!(waits.wait().0, 0);
}

/// A server whose databases this program has migrated.
struct Migrated {
    runtime: Runtime,
    server: PrivateCluster,
}

impl Migrated {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(PrivateCluster::start());
        let migrated = Self { runtime, server };
        let ran = migrated.migrate(&[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        migrated
    }

    fn migrate(&self, arguments: &[&str]) -> Ran {
        finish(command(&["migrate", "--database-url", &self.server.url]).args(arguments))
    }

    fn serve(&self) -> Command {
        command(&["serve", "payments", "--port", "0", "--database-url", &self.server.url])
    }

    /// Adds a migration to the history of payments, as if a newer version had applied it.
    fn add(&self, version: i64, name: &str) {
        self.runtime.block_on(async {
            let payments = Database::connect(&self.server.url, "ms_payments").await;
            payments.rows(ADD, &[&version, &name]).await;
        });
    }

    /// Removes a migration from that history; returns its name.
    fn remove(&self, version: i64) -> String {
        self.runtime.block_on(async {
            let payments = Database::connect(&self.server.url, "ms_payments").await;
            payments.rows(REMOVE, &[&version]).await[0].get(0)
        })
    }

    fn applied(&self) -> i64 {
        self.runtime.block_on(async {
            let payments = Database::connect(&self.server.url, "ms_payments").await;
            payments.number("select max(version)::int8 from refinery_schema_history", &[]).await
        })
    }
}

#[test]
fn the_previous_version_runs_on_a_newer_schema_and_says_so() {
    let migrated = Migrated::new();
    let known = migrated.applied();
    migrated.add(known + 1, &format!("more_needs_{known}"));
    let ran = migrated.migrate(&[]);
    let notice = format!("ms_payments is at V{}, of a newer program: accepted; this one knows V{known}", known + 1);
    assert!(ran.code == 0 && ran.out.lines().any(|line| line == notice), "{ran:?}");
    let ran = migrated.migrate(&["--json"]);
    let printed: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let payments = printed["databases"].as_array().unwrap().iter().find(|one| one["service"] == "payments").unwrap();
    assert_eq!(payments["newer"], serde_json::json!({ "applied": known + 1, "known": known }));

    let mut payments = Server::start(&mut migrated.serve());
    payments.wait_for_log("the database has migrations of a newer program, which are accepted");
    payments.wait_for_line("payments");
    payments.stop();
}

#[test]
fn a_version_that_the_schema_calls_too_old_is_refused_and_both_versions_are_named() {
    let migrated = Migrated::new();
    let known = migrated.applied();
    migrated.add(known + 2, &format!("drop_something_needs_{}", known + 1));
    let waited = finish(&mut command(&["wait", "payments", "--database-url", &migrated.server.url]));
    for ran in [migrated.migrate(&[]), migrated.migrate(&["--stopped"]), finish(&mut migrated.serve()), waited] {
        let said = ran.error();
        assert_eq!(ran.code, 5, "{ran:?}");
        for part in [
            "database ms_payments",
            &format!("V{} needs one that knows V{}", known + 2, known + 1),
            &format!("version {} knows V{known}", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn a_hole_in_the_history_is_an_error_of_every_command() {
    let migrated = Migrated::new();
    let known = migrated.applied();
    migrated.add(known + 1, "more");
    migrated.remove(known);
    let hole = format!("has V{} but lacks migration V{known}", known + 1);
    for ran in [migrated.migrate(&[]), finish(&mut migrated.serve())] {
        assert!(ran.code == 4 && ran.error().contains(&hole), "{ran:?}");
    }
    // The newest alone is no hole: it is applied, or the service says what to do.
    migrated.remove(known + 1);
    let ran = finish(&mut migrated.serve());
    let behind = format!("is behind this program: it lacks migration V{known}: `ecommerce migrate`");
    assert!(ran.code == 4 && ran.error().contains(&behind), "{ran:?}");
}

#[test]
fn a_wrong_password_ends_migrate_at_once_with_the_reason() {
    let migrated = Migrated::new();
    migrated.runtime.block_on(async {
        let postgres = Database::connect(&migrated.server.url, "postgres").await;
        postgres.rows("create role administrator superuser login password 'right'", &[]).await;
        let hba: String = postgres.rows("show hba_file", &[]).await[0].get(0);
        std::fs::write(hba, "local all postgres trust\nlocal all all scram-sha-256\n").unwrap();
        postgres.rows("select pg_reload_conf()", &[]).await;
    });
    let (_, server) = migrated.server.url.split_once('@').unwrap();
    let mut ran = None;
    // The server takes a moment to read its rules.
    crate::support::wait_until("passwords are checked", || {
        let url = format!("postgres://administrator:mistaken@{server}");
        let one = finish(&mut command(&["migrate", "--database-url", &url]));
        let is_refused = one.code != 0;
        ran = Some(one);
        is_refused
    });
    let ran = ran.unwrap();
    assert_eq!(ran.code, 4, "{ran:?}");
    let said = ran.error();
    assert!(said.contains("password authentication failed for user \"administrator\""), "{said}");
    assert!(!said.contains("mistaken"), "a password is not shown: {said}");
}
