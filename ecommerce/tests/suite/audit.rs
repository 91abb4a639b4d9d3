//! `audit` on the databases of a running system: clean, and with each database falsified in turn.

use common::config::{ConfigSource, Settings};
use ecommerce::facts::{self, Limits};
use orchestrator::invariants::{Report, Run};
use serde_json::Value;
use tokio_postgres::{NoTls, types::ToSql};

use crate::{
    program::{Ran, Server, command, finish, run},
    support::Folder,
};

/// A running `up` and its database.
struct System {
    up: Server,
    folder: Folder,
    payments: String,
    front: String,
    url: String,
}

impl System {
    fn start() -> Self {
        let folder = Folder::new();
        let mut up = Server::up(&folder.path().join("data"));
        let payments = up.wait_for_line("payments");
        let front = up.wait_for_line("orchestrator");
        let url = up.wait_for_line("database");
        up.wait_for_line("Ctrl-C");
        Self { up, folder, payments, front, url }
    }

    /// Makes a purchase and returns its transaction id.
    fn buy(&self) -> String {
        let ran = run(&["order", "--user", "user-1", "--amount", "12.50", "--json", "--target", &self.front]);
        let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        answer["transaction_id"].as_str().unwrap().to_owned()
    }

    /// Charges at the participant directly, bypassing the orchestrator.
    fn pay(&self, transaction: &str) {
        self.post("payments/", format!(r#"{{"user_id":"u","transaction_id":"{transaction}","amount":5}}"#));
    }

    /// Posts to payments, which does as it is asked.
    fn post(&self, path: &str, body: String) {
        let request = tests::http::client()
            .post(format!("{}/{path}", self.payments))
            .header("content-type", "application/json")
            .body(body);
        let status = in_runtime(async { request.send().await.unwrap().status() });
        assert_eq!(status, 200);
    }

    /// Changes rows in the database directly, and checks the number of changed rows.
    fn falsify(&self, database: &str, sql: &str, parameters: &[&(dyn ToSql + Sync)], rows: u64) {
        let mut config: tokio_postgres::Config = self.url.parse().unwrap();
        let changed = in_runtime(async {
            let (client, connection) = config.dbname(database).connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            client.execute(sql, parameters).await.unwrap()
        });
        assert_eq!(changed, rows, "{sql}");
    }

    fn audit(&self, more: &[&str]) -> Ran {
        finish(command(&["audit", "--profile", "bench", "--database-url", &self.url]).args(more))
    }

    fn settings(&self) -> Settings {
        ConfigSource::embedded("bench").with("database.url", &self.url).load().unwrap()
    }

    fn report(&self, part: i64) -> Report {
        let settings = self.settings();
        in_runtime(facts::audit(&settings, Run::Over, Limits { part, findings: 100, ..Limits::default() })).unwrap()
    }
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

/// Returns a verdict of a JSON report by the beginning of its name.
fn verdict<'a>(report: &'a Value, list: &str, beginning: &str) -> &'a Value {
    let mut verdicts = report[list].as_array().unwrap().iter();
    verdicts.find(|verdict| verdict["name"].as_str().unwrap().starts_with(beginning)).unwrap()
}

#[test]
fn an_audit_of_a_running_system_is_clean_until_somebody_falsifies_its_books() {
    let mut system = System::start();
    let bought: Vec<String> = (0..3).map(|_| system.buy()).collect();
    system.pay("txn-1");
    // Leaves a tombstone, which counts nowhere.
    system.post("payments/by-transaction/txn-0/refund/", "{}".to_owned());

    let data_dir = system.folder.path().join("data");
    let found = finish(command(&["audit", "--data-dir"]).arg(&data_dir));
    assert_eq!(found.code, 0, "the PostgreSQL of `up` is found: {found:?}");
    assert!(found.out.contains("every invariant holds"), "{found:?}");
    assert!(found.out.contains("37.50 charged, 0.00 refunded, 37.50 in purchases in force"), "{found:?}");
    assert!(found.out.contains("txn-1  payments action"), "reported, not counted as a violation: {found:?}");

    let ran = system.audit(&["--json", "--settled"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = json(&ran);
    assert_eq!((&report["clean"], &report["run"]), (&Value::Bool(true), &"over".into()));
    assert_eq!(report["cell"], 0);
    assert_eq!(report["invariants"].as_array().unwrap().len(), 11);
    for verdict in report["invariants"].as_array().unwrap() {
        // No purchase was compensated.
        let looks = verdict["name"].as_str().unwrap().to_lowercase().contains("compensat");
        assert_eq!(verdict["looked_at"] == 0, looks, "{verdict}");
    }

    // The change that falsifies a database, the change that reverts it, and the invariant that must detect it.
    let id: &str = &bought[1];
    let cases: [(&str, &str, &str, &str, &str); 8] = [
        (
            "ms_purchases",
            "update app_purchase set status = 'cancelled', cancelled_at = now() where transaction_id = $1",
            "update app_purchase set status = 'success', cancelled_at = null where transaction_id = $1",
            "COMPLETED",
            id,
        ),
        (
            "ms_payments",
            "update app_payment set amount = amount + 0.01 where transaction_id = $1",
            "update app_payment set amount = amount - 0.01 where transaction_id = $1",
            "money charged",
            id,
        ),
        (
            "ms_payments",
            "update app_payment set amount = null where transaction_id = $1",
            "update app_payment set amount = 12.50 where transaction_id = $1",
            "money charged",
            id,
        ),
        (
            "ms_purchases",
            "update app_purchase set amount = null where transaction_id = $1",
            "update app_purchase set amount = 12.50 where transaction_id = $1",
            "money charged",
            id,
        ),
        (
            "ms_inventory",
            "update inventory_inventory set quantity = quantity - 1 where product_id =
                (select product_id from stock_movement where transaction_id = $1)",
            "update inventory_inventory set quantity = quantity + 1 where product_id =
                (select product_id from stock_movement where transaction_id = $1)",
            "first stock",
            "",
        ),
        (
            "ms_inventory",
            "insert into stock_movement (transaction_id, kind, product_id, quantity, status)
             select transaction_id, 'restore', product_id, quantity, status
               from stock_movement where transaction_id = $1",
            "delete from stock_movement where kind = 'restore' and transaction_id = $1",
            "nothing ran twice",
            id,
        ),
        (
            "ms_orchestrator",
            "update saga set status = 'FAILED' where id::text = $1",
            "update saga set status = 'COMPLETED' where id::text = $1",
            "the end of each saga",
            id,
        ),
        (
            "ms_orchestrator",
            "update saga set status = 'PENDING', ended_at = null where id::text = $1",
            "update saga set status = 'COMPLETED', ended_at = now() where id::text = $1",
            "every accepted",
            id,
        ),
    ];
    for (database, harm, mend, invariant, offender) in cases {
        system.falsify(database, harm, &[&id], 1);
        let ran = system.audit(&["--json", "--settled"]);
        assert_eq!(ran.code, 1, "{harm}: {ran:?}");
        let report = json(&ran);
        let broken = verdict(&report, "invariants", invariant);
        assert!(broken["offending"].as_u64() > Some(0), "{harm}: {report}");
        let named = broken["findings"].as_array().unwrap().iter().any(|finding| finding["id"] == offender);
        assert!(named || offender.is_empty(), "{harm}: {broken}");
        system.falsify(database, mend, &[&id], 1);
    }
    assert_eq!(system.audit(&["--settled"]).code, 0, "all changes were reverted");

    // A running saga is listed, and judged only with --settled.
    let pending = "update saga set status = 'PENDING', ended_at = null, wake_at = 'infinity' where id::text = $1";
    system.falsify("ms_orchestrator", pending, &[&id], 1);
    let live = system.audit(&[]);
    assert_eq!(live.code, 0, "{live:?}");
    assert!(live.out.contains(&format!("{id}  PENDING")), "{live:?}");

    system.falsify("ms_payments", "update app_payment set from_saga = true where transaction_id = $1", &[&"txn-1"], 1);
    let ran = system.audit(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("txn-1  1 payments, 0 purchases, 0 movements of stock, and no saga"), "{ran:?}");
    assert!(ran.out.contains("1 of 11 invariants are broken"), "{ran:?}");
    system.up.stop();
}

#[test]
fn books_read_in_parts_come_to_the_same() {
    let mut system = System::start();
    for number in 0..4 {
        system.buy();
        // These ids sort before, after and between those of the sagas.
        for prefix in ["0", "x", "txn"] {
            system.pay(&format!("{prefix}-{number}"));
        }
        system.pay(&format!("{}-own", system.buy()));
    }
    let id = system.buy();
    let harm = "update app_payment set status = 'compensated', compensated_at = now() where transaction_id = $1";
    system.falsify("ms_payments", harm, &[&id], 1);
    let whole = system.report(1_000_000);
    assert_eq!(whole.verdicts[0].looked_at, 9);
    assert!(!whole.is_clean());
    for part in [1, 2, 3, 4, 100] {
        assert_eq!(system.report(part), whole, "in parts of {part}");
    }
    system.up.stop();
}

#[test]
fn an_audit_without_a_system_says_what_is_missing() {
    let folder = Folder::new();
    let ran = finish(command(&["audit", "--data-dir"]).arg(folder.path()));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.error().contains("no `ecommerce up` runs on"), "{ran:?}");
}
