//! An asynchronous standby is promoted that does not have all commits: the loss is found and reported, and puts the
//! hold.

use futures::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    events::Listener,
    http::send,
    replicated_cluster::{ReplicatedCluster, Replication},
    stack::{ORCHESTRATOR, SERVICES, with_json},
    wait_until, with_stack,
};

/// The services that confirm something with each purchase.
const WRITERS: [&str; 4] = ["payments", "inventory", "purchases", ORCHESTRATOR];

async fn buy(stack: &Stack) -> Option<String> {
    let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    let answer = stack.post(ORCHESTRATOR, "/saga/transaction", order).await;
    (answer.status == 200).then(|| answer.json()["transaction_id"].as_str().expect("an id").to_owned())
}

async fn checks(stack: &Stack, service: &str) -> Value {
    stack.get(service, "/health/").await.json()["checks"].take()
}

/// Returns the metrics of losses with their values.
async fn losses(stack: &Stack) -> Vec<String> {
    let metrics = stack.get(ORCHESTRATOR, "/metrics").await.expect(200).text;
    let of_this = |line: &&str| WRITERS.iter().any(|service| line.contains(&stack.settings.service(service).database));
    metrics
        .lines()
        .filter(|line| line.starts_with("ecommerce_lost_commits_total{"))
        .filter(of_this)
        .map(str::to_owned)
        .collect()
}

fn options(cluster: &ReplicatedCluster) -> StackOptions {
    StackOptions::default().on_server(&cluster.url()).set("database.connect_timeout_ms", 1_500)
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_a_failover_loses_are_found_and_put_the_hold_once() {
    let mut cluster = ReplicatedCluster::start(Replication::Asynchronous).await;
    with_stack(options(&cluster), async |stack: &Stack| {
        let kept = buy(stack).await.expect("a purchase");
        cluster.catch_up(&[1, 2]).await;
        cluster.detach(&[1, 2]).await;
        let mut listener = Listener::open(stack, "").await;
        let lost = buy(stack).await.expect("a purchase");
        listener.until(|event| event.data["ended"] == true && event.saga() == lost).await;
        cluster.kill(0);
        cluster.fail_over(&[1, 2]).await;

        for service in WRITERS {
            let loss = wait_until("the loss is found", PATIENCE, async || {
                checks(stack, service).await["lost_commits"].as_str().map(str::to_owned)
            })
            .await;
            let database = &stack.settings.service(service).database;
            assert!(loss.starts_with(&format!("{database}: ")) && loss.ends_with("/00000002"), "{loss}");
            let health = stack.get(service, "/health/").await;
            assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")), "{}", health.text);
        }
        let hold = wait_until("all sagas are on hold", PATIENCE, async || {
            checks(stack, ORCHESTRATOR).await["hold"].as_str().map(str::to_owned)
        })
        .await;
        assert!(hold.contains("commits lost at failover: "), "{hold}");
        assert!(losses(stack).await.iter().all(|line| line.ends_with(" 1")), "{:?}", losses(stack).await);
        assert_eq!(losses(stack).await.len(), WRITERS.len());
        assert_eq!(buy(stack).await, None, "nothing begins");
        assert_eq!(listener.next().await.expect("the stream goes on").name, "gap");

        // A release is final, though the services still report the loss, and also for a new orchestrator.
        let known = async || {
            let log = stack.database(ORCHESTRATOR).await;
            log.number("select count(*) from saga_lost_commits", &[]).await
        };
        wait_until("each loss has put its hold", PATIENCE, async || (known().await == 4).then_some(())).await;
        stack.post(ORCHESTRATOR, "/saga/release", "").await.expect(200);
        let new = wait_until("purchases go on", PATIENCE, async || buy(stack).await).await;
        let told = listener.until(|event| event.data["ended"] == true).await;
        assert!(told.iter().all(|event| event.saga() == new), "{told:#?}");
        stack.restart(ORCHESTRATOR).await;
        let looks = "select count(*) from saga_hold";
        wait_until("purchases go on", PATIENCE, async || buy(stack).await).await;
        assert_eq!(stack.database(ORCHESTRATOR).await.number(looks, &[]).await, 0);
        let log = stack.database(ORCHESTRATOR).await;
        let is_there = "select count(*) from saga where id = $1::text::uuid";
        assert_eq!((log.number(is_there, &[&kept]).await, log.number(is_there, &[&lost]).await), (1, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_saga_that_the_log_has_lost_is_undone() {
    let mut cluster = ReplicatedCluster::start(Replication::Asynchronous).await;
    with_stack(options(&cluster), async |stack: &Stack| {
        buy(stack).await.expect("a purchase");
        cluster.catch_up(&[1, 2]).await;
        cluster.detach(&[1, 2]).await;
        // The charge is made after the failover, for a saga that the new primary does not know.
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 10_000, "max": 10_000 } } })).await;
        let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
        let bought = send(with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), order));
        let failed_over = async {
            let log = stack.database(ORCHESTRATOR).await;
            wait_until("the saga has begun", PATIENCE, async || {
                (log.number("select count(*) from saga where ended_at is null", &[]).await == 1).then_some(())
            })
            .await;
            cluster.kill(0);
            cluster.fail_over(&[1, 2]).await
        };
        let (told, primary) = join(bought, failed_over).await;
        let told = told.expect(500).json();
        let id = told["transaction_id"].as_str().expect("an id").to_owned();

        let payments = cluster.connect(primary, &stack.settings.service("payments").database).await;
        let given_back = "select count(*) from app_payment where transaction_id = $1 and status = 'compensated'";
        wait_until("the payment is given back", PATIENCE, async || {
            (payments.number(given_back, &[&id]).await == 1).then_some(())
        })
        .await;
        let purchases = cluster.connect(primary, &stack.settings.service("purchases").database).await;
        let live = "select count(*) from app_purchase where transaction_id = $1 and status = 'success'";
        assert_eq!(purchases.number(live, &[&id]).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_failover_that_loses_nothing_puts_no_hold() {
    let mut cluster = ReplicatedCluster::start(Replication::Asynchronous).await;
    with_stack(options(&cluster), async |stack: &Stack| {
        buy(stack).await.expect("a purchase");
        cluster.catch_up(&[1, 2]).await;
        cluster.kill(0);
        cluster.fail_over(&[1, 2]).await;
        wait_until("purchases go on", PATIENCE, async || buy(stack).await).await;
        assert_no_loss(stack).await;
    })
    .await;
}

/// Asserts that no service has found a loss.
pub(crate) async fn assert_no_loss(stack: &Stack) {
    for service in SERVICES {
        let checks = checks(stack, service).await;
        assert!(checks["lost_commits"].is_null() && checks["hold"].is_null(), "{service}: {checks}");
    }
    assert!(losses(stack).await.iter().all(|line| line.ends_with(" 0")), "{:?}", losses(stack).await);
}
