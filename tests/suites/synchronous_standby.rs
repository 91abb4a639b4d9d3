//! Commits wait for a synchronous standby, which is cut off, and an administrator cancels a wait. The row is visible then
//! and lost if the standby takes over, so no answer rests on it.

use std::{fs, panic::AssertUnwindSafe};

use futures::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    database::Database,
    http::{Answer, send},
    operations::{OPERATIONS, Operation, Outcome},
    private_cluster::PrivateCluster,
    problem::assert_problem,
    stack::{ORCHESTRATOR, SERVICES, new_transaction, with_json},
    standby::Standby,
    wait_until, with_stack,
};

/// Limit of a statement, and of a barrier: a commit that waits for longer is in doubt.
const STATEMENT_TIMEOUT_MS: u64 = 2_000;

const WAITING: &str = "select pid from pg_stat_activity where wait_event = 'SyncRep' and datname = $1";
const CANCEL: &str =
    "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and datname = $1";

/// A primary whose commits wait for its standby.
struct Pair {
    primary: PrivateCluster,
    standby: Standby,
    server: Database,
    access_rules: String,
}

impl Pair {
    async fn start() -> Self {
        let primary = PrivateCluster::start().await;
        let standby = Standby::of(&primary).await;
        let server = Database::connect(&primary.url, "postgres").await;
        let access_rules = fs::read_to_string(access_file(&server).await).expect("the test's own server");
        Self { primary, standby, server, access_rules }
    }

    async fn set_standbys(&self, names: &str) {
        self.server.run(&format!("alter system set synchronous_standby_names = '{names}'")).await;
        self.server.run("select pg_reload_conf()").await;
    }

    async fn standbys(&self) -> i64 {
        self.server.number("select count(*) from pg_stat_replication where sync_state = 'sync'", &[]).await
    }

    async fn wait_for_standby(&self) {
        wait_until("the standby is connected", PATIENCE, async || (self.standbys().await == 1).then_some(())).await;
    }

    /// Cuts the standby off from its primary.
    async fn cut_off(&self) {
        let refused = format!("local replication all reject\n{}", self.access_rules);
        fs::write(access_file(&self.server).await, refused).expect("the test's own server");
        self.server.run("select pg_reload_conf()").await;
        wait_until("the standby is cut off", PATIENCE, async || {
            self.server.rows("select pg_terminate_backend(pid) from pg_stat_replication", &[]).await;
            (self.standbys().await == 0).then_some(())
        })
        .await;
    }

    /// Lets the standby come back.
    async fn rejoin(&self) {
        fs::write(access_file(&self.server).await, &self.access_rules).expect("the test's own server");
        self.server.run("select pg_reload_conf()").await;
        self.wait_for_standby().await;
    }

    async fn promote(&self) {
        let standby = Database::connect(&self.standby.url, "postgres").await;
        let promoted: bool = standby.rows("select pg_promote(true, 60)", &[]).await[0].get(0);
        assert!(promoted, "the standby does not become a primary");
    }

    /// Cancels every wait for the standby in a database until the work is done.
    async fn cancelling<T>(&self, database: &str, work: impl Future<Output = T>) -> T {
        let cancel = wait_until("the work is done", 2 * PATIENCE, async || {
            self.server.rows(CANCEL, &[&database]).await;
            None::<()>
        });
        tokio::select! {
            biased;
            done = work => done,
            () = cancel => unreachable!(),
        }
    }

    /// Connects to the database of a service on the standby.
    async fn on_standby(&self, stack: &Stack, service: &str) -> Database {
        Database::connect(&self.standby.url, &stack.settings.service(service).database).await
    }
}

async fn access_file(server: &Database) -> String {
    server.rows("select current_setting('hba_file')", &[]).await[0].get(0)
}

async fn with_pair(test: impl AsyncFnOnce(&Stack, &Pair)) {
    let pair = Pair::start().await;
    let options =
        StackOptions::default().on_server(&pair.primary.url).set("database.statement_timeout_ms", STATEMENT_TIMEOUT_MS);
    with_stack(options, async |stack: &Stack| {
        pair.set_standbys("*").await;
        pair.wait_for_standby().await;
        let outcome = AssertUnwindSafe(test(stack, &pair)).catch_unwind().await;
        // The end of the stack commits as well.
        pair.set_standbys("").await;
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_may_be_lost_is_not_repeated_from_the_journal() {
    with_pair(async |stack, pair| {
        let database = |operation: &Operation| &stack.settings.service(operation.service).database;
        let ids = || OPERATIONS.each_ref().map(|operation| (operation, new_transaction()));
        let (told, late, lost) = (ids(), ids(), ids());
        for (operation, id) in &told {
            operation.assert_outcome(&operation.act(stack, id).await, id, Outcome::Done);
        }
        pair.cut_off().await;
        for (operation, id) in &late {
            let doubt = pair.cancelling(database(operation), operation.act(stack, id)).await;
            assert_problem(&doubt, 503);
            assert_eq!(operation.rows(stack, id).await, 1, "the row is visible");
            // The barrier is not confirmed, whether its wait is cancelled or lasts for too long.
            assert_problem(&pair.cancelling(database(operation), operation.act(stack, id)).await, 503);
            let again = operation.act(stack, id).await;
            assert_problem(&again, 503);
            assert_eq!(again.json()["transaction_id"], *id);
        }
        pair.rejoin().await;
        for (operation, id) in &late {
            let again = operation.act(stack, id).await;
            operation.assert_outcome(&again, id, Outcome::Done);
            assert!(again.is_replayed());
        }
        pair.cut_off().await;
        for (operation, id) in &lost {
            for _ in 0..2 {
                assert_problem(&pair.cancelling(database(operation), operation.act(stack, id)).await, 503);
            }
        }
        pair.promote().await;
        for (index, operation) in OPERATIONS.iter().enumerate() {
            let standby = pair.on_standby(stack, operation.service).await;
            let journal = "select count(*) from journal where transaction_id = $1";
            let mut rows = Vec::new();
            for (_, id) in [&told[index], &late[index], &lost[index]] {
                rows.push(standby.number(journal, &[id]).await);
            }
            assert_eq!(rows, [1, 1, 0], "{}: the standby has what was told", operation.service);
        }
    })
    .await;
}

/// Makes the commits of the participants wait for no standby, so that only those of the saga log are in doubt.
async fn wait_in_the_saga_log_only(stack: &Stack, pair: &Pair) {
    for service in SERVICES.into_iter().filter(|service| *service != ORCHESTRATOR) {
        let database = &stack.settings.service(service).database;
        pair.server.run(&format!("alter database {database} set synchronous_commit = local")).await;
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        pair.server.rows(end, &[database]).await;
    }
}

/// Buys at the first node with a key, without waiting for the end if `prefer` says so.
async fn buy(stack: &Stack, key: &str, prefer: &str) -> Answer {
    buy_at(stack, 0, key, prefer).await
}

async fn buy_at(stack: &Stack, node: usize, key: &str, prefer: &str) -> Answer {
    let address = stack.addresses_of(ORCHESTRATOR)[node];
    let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    let request = stack.request_at(Method::POST, address, "/saga/transaction");
    send(with_json(request.header("idempotency-key", key).header("prefer", prefer), order)).await
}

async fn status(stack: &Stack, node: usize, id: &str) -> Answer {
    let address = stack.addresses_of(ORCHESTRATOR)[node];
    send(stack.request_at(Method::GET, address, &format!("/saga/status/{id}"))).await
}

fn id_of(body: &Value) -> String {
    body["transaction_id"].as_str().unwrap_or_else(|| panic!("{body} has no id")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_may_be_lost_is_neither_accepted_nor_shown_nor_ended() {
    with_pair(async |stack, pair| {
        stack.add_replica(ORCHESTRATOR).await;
        wait_in_the_saga_log_only(stack, pair).await;
        let database = &stack.settings.service(ORCHESTRATOR).database;
        let log = stack.database(ORCHESTRATOR).await;
        let told = id_of(
            &wait_until("purchases go on", PATIENCE, async || {
                let answer = buy(stack, "told", "wait=20").await;
                (answer.status == 200).then(|| answer.json())
            })
            .await,
        );

        // Its begin is visible, and its repeat changes nothing.
        pair.cut_off().await;
        let late = pair
            .cancelling(database, async {
                let doubt = buy(stack, "late", "respond-async").await;
                assert_problem(&doubt, 503);
                let late = id_of(&doubt.json());
                let rows = log.number("select count(*) from saga where id = $1::text::uuid", &[&late]).await;
                assert_eq!(rows, 1, "the row is visible");
                for node in [0, 1] {
                    assert_problem(&status(stack, node, &late).await, 503);
                    let again = buy_at(stack, node, "late", "respond-async").await;
                    assert_problem(&again, 503);
                    assert_eq!(id_of(&again.json()), late);
                }
                late
            })
            .await;
        pair.rejoin().await;
        wait_until("the purchase has ended", PATIENCE, async || {
            (status(stack, 1, &late).await.json()["status"] == "COMPLETED").then_some(())
        })
        .await;
        assert_eq!(id_of(&buy_at(stack, 1, "late", "wait=20").await.expect(200).json()), late);

        // Its end is visible.
        stack.set_faults("purchases", json!({ "create": { "latency_ms": { "min": 3000, "max": 3000 } } })).await;
        let first = buy(stack, "lost", "wait=30");
        let others = async {
            let running = "select id::text from saga where ended_at is null";
            let lost: String = wait_until("the purchase has begun", PATIENCE, async || {
                log.rows(running, &[]).await.first().map(|row| row.get(0))
            })
            .await;
            pair.cut_off().await;
            pair.cancelling(database, async {
                let ended = "select count(*) from saga where id = $1::text::uuid and status = 'COMPLETED'";
                wait_until("the end is visible", PATIENCE, async || {
                    (log.number(ended, &[&lost]).await == 1).then_some(())
                })
                .await;
                assert_problem(&status(stack, 1, &lost).await, 503);
                assert_problem(&buy_at(stack, 1, "lost", "wait=1").await, 503);
                let cancel = stack.request_at(
                    Method::POST,
                    stack.addresses_of(ORCHESTRATOR)[1],
                    &format!("/saga/{lost}/cancel"),
                );
                assert_problem(&send(cancel).await, 503);
                // A renewal whose wait was cancelled does not count.
                wait_until("no lease is renewed", PATIENCE, async || {
                    let health = stack.get(ORCHESTRATOR, "/health/").await;
                    (health.status == 503 && health.json()["checks"]["lease"] != "ok").then_some(())
                })
                .await;
            })
            .await;
            wait_until("a commit waits", PATIENCE, async || {
                (!pair.server.rows(WAITING, &[database]).await.is_empty()).then_some(())
            })
            .await;
            pair.promote().await;
            let standby = pair.on_standby(stack, ORCHESTRATOR).await;
            let state = "select id::text, status from saga order by id";
            let states: Vec<(String, String)> =
                standby.rows(state, &[]).await.iter().map(|row| (row.get(0), row.get(1))).collect();
            let expected = [(told, "COMPLETED"), (late, "COMPLETED"), (lost, "PENDING")];
            assert_eq!(states, expected.map(|(id, status)| (id, status.to_owned())));
        };
        let (answer, ()) = futures::join!(first, others);
        // The lease ran out: its client gets only what is certain.
        assert!(matches!(answer.status, 202 | 503), "{}", answer.text);
    })
    .await;
}
