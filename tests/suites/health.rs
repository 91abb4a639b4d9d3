//! `GET /health/` is 200 only where the service can do its work, and says why it cannot.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    database::Database,
    http::{Answer, send},
    private_cluster::PrivateCluster,
    stack::{ORCHESTRATOR, SERVICES, new_transaction, with_json},
    wait_until, with_stack,
};

/// Waits until the health of a service has this status, and a check of this name says this.
async fn wait_for_health(stack: &Stack, service: &str, status: u16, check: &str, words: &str) {
    let what = format!("{service} is {status} and {check} says {words:?}");
    wait_until(&what, PATIENCE, async || {
        let answer = stack.get(service, "/health/").await;
        let says = answer.json()["checks"][check].as_str().is_some_and(|said| said.contains(words));
        (answer.status == status && says).then_some(())
    })
    .await;
}

async fn wait_until_all_are_healthy(stack: &Stack) {
    for service in SERVICES {
        wait_until(&format!("{service} is healthy"), PATIENCE, async || stack.is_healthy(service).await.then_some(()))
            .await;
    }
}

fn purchase() -> Value {
    json!({ "user_id": "u", "amount": 10 })
}

async fn buy(stack: &Stack) -> Answer {
    stack.post(ORCHESTRATOR, "/saga/transaction", purchase()).await
}

/// Makes all five databases read-only, or writable again, for sessions that are opened from now on, and ends the others.
async fn set_read_only(stack: &Stack, value: &str) {
    for service in SERVICES {
        let database = stack.new_connection(service).await;
        database.run("set default_transaction_read_only = off").await;
        let name: String = database.rows("select current_database()::text", &[]).await[0].get(0);
        database.run(&format!("alter database {name} set default_transaction_read_only = {value}")).await;
        let end_others = "select pg_terminate_backend(pid) from pg_stat_activity
                          where datname = current_database() and pid <> pg_backend_pid()";
        database.rows(end_others, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_on_read_only_databases_are_unhealthy_answer_lists_and_go_on_by_themselves() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let bought = buy(stack).await.expect(200).json();
        let id = bought["transaction_id"].as_str().expect("a purchase has an id").to_owned();
        set_read_only(stack, "on").await;
        for participant in SERVICES.into_iter().filter(|service| *service != ORCHESTRATOR) {
            wait_for_health(stack, participant, 503, "database", "read-only").await;
        }
        wait_for_health(stack, ORCHESTRATOR, 503, "saga_log", "read-only").await;
        wait_for_health(stack, ORCHESTRATOR, 503, "lease", "read-only").await;
        let refused = buy(stack).await.expect(503).json();
        let detail = refused["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("read-only") && detail.contains("nothing was done"), "{refused}");
        for service in SERVICES {
            stack.get(service, "/health/live/").await.expect(200);
        }
        assert_eq!(
            stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json()["status"],
            "COMPLETED"
        );
        let list = stack.get(ORCHESTRATOR, "/saga/transactions").await.expect(200).json();
        assert_eq!(list["transactions"][0]["transaction_id"], id);
        assert_eq!(
            stack.get("purchases", "/purchases/").await.expect(200).json()["purchases"][0]["transaction_id"],
            id
        );

        set_read_only(stack, "off").await;
        wait_until_all_are_healthy(stack).await;
        buy(stack).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_standby_that_is_gone_makes_a_service_unhealthy() {
    let cluster = PrivateCluster::start().await;
    let options = StackOptions::default()
        .on_server(&cluster.url)
        .set("health.writer_stalled_ms", 300)
        .set("database.statement_timeout_ms", 60_000);
    with_stack(options, async |stack: &Stack| {
        buy(stack).await.expect(200);
        let administrator = Database::connect(&cluster.url, "postgres").await;
        administrator.run("alter system set synchronous_standby_names = 'gone'").await;
        administrator.run("select pg_reload_conf()").await;
        let charge = async {
            let body = json!({ "user_id": "u", "transaction_id": new_transaction(), "amount": 10 });
            stack.post("payments", "/payments/", body).await
        };
        let look = async {
            wait_for_health(stack, "payments", 503, "writer", "under way").await;
            wait_for_health(stack, ORCHESTRATOR, 503, "lease", "").await;
            administrator.run("alter system reset synchronous_standby_names").await;
            administrator.run("select pg_reload_conf()").await;
        };
        let (charged, ()) = futures::join!(charge, look);
        charged.expect(200);
        wait_until_all_are_healthy(stack).await;
        buy(stack).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_whose_batches_failed_is_tried_again_without_traffic() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let database = stack.database("payments").await;
        // Every write of the ledger fails, while the database itself is well.
        database.run("alter table app_payment rename to app_payment_away").await;
        let charge = || json!({ "user_id": "u", "transaction_id": new_transaction(), "amount": 10 });
        for _ in 0..3 {
            stack.post("payments", "/payments/", charge()).await.expect(503);
        }
        wait_for_health(stack, "payments", 503, "writer", "failed").await;
        database.run("alter table app_payment_away rename to app_payment").await;
        wait_until_all_are_healthy(stack).await;
        stack.post("payments", "/payments/", charge()).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_without_a_lease_is_unhealthy_and_says_why_it_takes_no_purchase() {
    let options = StackOptions::default().set("orchestrator.node_id", "one");
    with_stack(options, async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        let addresses = stack.addresses_of(ORCHESTRATOR);
        let waiting = *addresses.last().expect("there are two");
        let health = send(stack.request_at(Method::GET, waiting, "/health/")).await.expect(503).json();
        let lease = health["checks"]["lease"].as_str().unwrap_or_default();
        assert!(lease.contains("another process with this node id is alive"), "{health}");
        let order = with_json(stack.request_at(Method::POST, waiting, "/saga/transaction"), purchase());
        let refused = send(order).await.expect(503).json();
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("another process")), "{refused}");
        send(stack.request_at(Method::GET, addresses[0], "/health/")).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_whose_participant_is_away_is_degraded_and_names_the_operation() {
    with_stack(StackOptions::default().set("participants.breaker_pause_ms", 60_000), async |stack: &Stack| {
        stack.stop("payments").await;
        wait_until("the breaker of charges has opened", PATIENCE, async || {
            buy(stack).await;
            let answer = stack.get(ORCHESTRATOR, "/health/").await.expect(200).json();
            let names_it =
                answer["checks"]["breakers"].as_str().is_some_and(|open| open.contains("payments/charge: open"));
            (answer["status"] == "degraded" && names_it).then_some(())
        })
        .await;
        assert_eq!(stack.get("inventory", "/health/").await.expect(200).json()["status"], "healthy");
    })
    .await;
}
