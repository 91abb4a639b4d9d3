//! Failures of one orchestrator only: a participant that it alone cannot reach, and a saga log that it alone cannot reach.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::{Answer, send},
    postgres_proxy::PostgresProxy,
    problem::assert_problem,
    proxy::Proxy,
    stack::{ORCHESTRATOR, with_json},
    transactions, wait_until, with_stack,
};

/// More purchases than failures that open a breaker.
const PURCHASES: usize = 6;

/// Short leases, and breakers that open soon. No purchase is given up by itself: it waits until the operation works.
fn options() -> StackOptions {
    StackOptions::default()
        .set("orchestrator.lease_ms", 1_000)
        .set("orchestrator.wait_limit_ms", 3_600_000)
        .set("orchestrator.deadline_ms", 3_600_000)
        .set("participants.timeout_ms", 1_000)
        .set("participants.breaker_failures", 2)
}

/// Buys at the first of the orchestrators.
async fn buy(stack: &Stack, key: &str) -> Answer {
    let request = stack.request_at(Method::POST, stack.address(ORCHESTRATOR), "/saga/transaction");
    let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    send(with_json(request.header("idempotency-key", key), order)).await
}

async fn status_at(stack: &Stack, replica: usize, id: &str) -> Answer {
    let address = stack.addresses_of(ORCHESTRATOR)[replica];
    send(stack.request_at(Method::GET, address, &format!("/saga/status/{id}"))).await
}

/// Adds a second orchestrator that calls payments past the proxy.
async fn add_able_node(stack: &Stack) {
    let payments = format!("http://{}", stack.address("payments"));
    stack
        .add_replica_with(ORCHESTRATOR, |settings| {
            settings.services.get_mut("payments").expect("a service").url = payments;
        })
        .await;
}

async fn takeovers(stack: &Stack) -> i64 {
    stack.database(ORCHESTRATOR).await.number("select count(*) from saga_takeover", &[]).await
}

/// Waits until this number of nodes list the operation of a payment as broken.
async fn wait_until_listed_by(stack: &Stack, nodes: i64) {
    let database = stack.database(ORCHESTRATOR).await;
    let listing = "select count(*) from node_lease where 'payments.charge' = any(open_breakers)";
    wait_until("nodes list the open breaker", PATIENCE, async || {
        (database.number(listing, &[]).await == nodes).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_of_a_node_that_cannot_reach_payments_are_completed_by_one_that_can() {
    with_stack(options().through_proxy("payments"), async |stack: &Stack| {
        add_able_node(stack).await;
        stack.proxy("payments").hold();
        let keys: Vec<String> = (0..PURCHASES).map(|number| number.to_string()).collect();
        for answer in join_all(keys.iter().map(|key| buy(stack, key))).await {
            let id = answer.expect(200).json()["transaction_id"].as_str().expect("an id").to_owned();
            for replica in [0, 1] {
                let status = status_at(stack, replica, &id).await.json();
                assert_eq!(status["status"], "COMPLETED");
                assert_eq!(status["takeovers"].as_array().map(Vec::len), Some(1), "one other owner: {status}");
            }
        }
        let [listing, all] = ["where 'payments.charge' = any(open_breakers)", ""]
            .map(|which| format!("select count(*) from node_lease {which}"));
        let database = stack.database(ORCHESTRATOR).await;
        assert_eq!((database.number(&listing, &[]).await, database.number(&all, &[]).await), (1, 2));
        stack.proxy("payments").flow();
        // The breaker of the first node closes with its next call.
        wait_until("a purchase is paid by the first node", PATIENCE, async || {
            let answer = buy(stack, &uuid::Uuid::new_v4().to_string()).await;
            let id = answer.expect(200).json()["transaction_id"].as_str().expect("an id").to_owned();
            let status = status_at(stack, 0, &id).await.json();
            (status["takeovers"] == json!([])).then_some(())
        })
        .await;
        wait_until_listed_by(stack, 0).await;
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_stay_where_they_are_while_payments_fails_for_every_node() {
    with_stack(options().through_proxy("payments"), async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        stack.proxy("payments").hold();
        let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
        let buyers = join_all((0..2 * PURCHASES).map(|_| stack.post(ORCHESTRATOR, "/saga/transaction", &order)));
        let outage = async {
            wait_until_listed_by(stack, 2).await;
            let database = stack.database(ORCHESTRATOR).await;
            // Renewed four times since: longer than a lease.
            let lasted = "select count(*) from node_lease where expires_at > now() and registered_at < now()";
            for _ in 0..3 {
                let renewed = "select extract(epoch from min(expires_at))::bigint from node_lease";
                let before = database.number(renewed, &[]).await;
                wait_until("another second of leases", PATIENCE, async || {
                    (database.number(renewed, &[]).await > before).then_some(())
                })
                .await;
            }
            assert_eq!(database.number(lasted, &[]).await, 2);
            assert_eq!(takeovers(stack).await, 0);
            stack.proxy("payments").flow();
        };
        let (answers, ()) = futures::join!(buyers, outage);
        for answer in answers {
            answer.expect(200);
        }
        transactions::consistent(stack).await;
    })
    .await;
}

/// Returns the times of a purchase's takeovers.
async fn changes_of_owner(stack: &Stack, id: &str) -> Vec<DateTime<Utc>> {
    let status = status_at(stack, 0, id).await.json();
    assert_eq!(status["status"], "COMPLETED", "{status}");
    let takeovers = status["takeovers"].as_array().expect("a list").iter();
    takeovers.map(|one| one["at"].as_str().and_then(|at| at.parse().ok()).expect("a time")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_no_node_can_run_alone_changes_its_owner_once_in_the_time_of_a_lease() {
    let lease = Duration::from_millis(2_500);
    let options = options().through_proxy("payments").set("orchestrator.lease_ms", lease.as_millis());
    with_stack(options, async |stack: &Stack| {
        let inventory = Proxy::before(stack.address("inventory")).await;
        let payments = format!("http://{}", stack.address("payments"));
        stack
            .add_replica_with(ORCHESTRATOR, |settings| {
                let mut url = |service: &str, url| settings.services.get_mut(service).expect("a service").url = url;
                url("payments", payments);
                url("inventory", format!("http://{}", inventory.address));
            })
            .await;
        stack.proxy("payments").hold();
        inventory.hold();
        // A new owner asks for each step again, so no purchase completes before a node reaches all participants.
        let buyers = join_all((0..PURCHASES).map(async |number| buy(stack, &number.to_string()).await));
        let outage = async {
            let database = stack.database(ORCHESTRATOR).await;
            let moved = "select count(*) from saga s
                 where (select count(*) from saga_takeover t where t.saga_id = s.id) >= 3";
            wait_until("each has moved there and back", PATIENCE, async || {
                (database.number(moved, &[]).await == PURCHASES as i64).then_some(())
            })
            .await;
            stack.proxy("payments").flow();
            inventory.flow();
        };
        let (answers, ()) = futures::join!(buyers, outage);
        for answer in answers {
            let moved = changes_of_owner(stack, &transaction(&answer.expect(200))).await;
            let gaps = moved.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.min() >= TimeDelta::from_std(lease).ok(), "{moved:?}");
        }
        transactions::consistent(stack).await;
    })
    .await;
}

/// Undoes too: a purchase that turned back, and one that is FAILED and sleeps.
#[tokio::test(flavor = "multi_thread")]
async fn undos_of_a_node_that_cannot_reach_payments_are_done_by_one_that_can() {
    let options = options()
        .through_proxy("payments")
        .set("orchestrator.attention_after_attempts", 2)
        .set("retry.failed.backoff_min_ms", 3_600_000)
        .set("retry.failed.backoff_max_ms", 3_600_000)
        .set("faults.purchases.create.failure_rate", 1.0)
        .set("faults.purchases.create.latency_ms.min", 1_000)
        .set("faults.purchases.create.latency_ms.max", 1_000)
        .set("participants.breaker_failures", 1)
        .set("participants.timeout_ms", 3_000);
    with_stack(options, async |stack: &Stack| {
        add_able_node(stack).await;
        let buyers = join_all(["a", "b", "c"].map(|key| buy(stack, key)));
        let outage = async {
            let paid = "select count(*) from app_payment where status = 'success'";
            let payments = stack.database("payments").await;
            wait_until("all are paid", PATIENCE, async || (payments.number(paid, &[]).await == 3).then_some(())).await;
            stack.proxy("payments").hold();
        };
        let (answers, ()) = futures::join!(buyers, outage);
        let mut ids = BTreeSet::new();
        for answer in answers {
            assert!([409, 502].contains(&answer.status), "{}", answer.text);
            ids.insert(answer.json()["transaction_id"].as_str().expect("an id").to_owned());
        }
        for id in &ids {
            wait_until("it is undone", PATIENCE, async || {
                (status_at(stack, 1, id).await.json()["status"] == "COMPENSATED").then_some(())
            })
            .await;
        }
        stack.proxy("payments").flow();
        transactions::consistent(stack).await;
    })
    .await;
}

fn transaction(answer: &Answer) -> String {
    answer.json()["transaction_id"].as_str().expect("an id").to_owned()
}

fn accepted(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = transaction(answer);
    assert_eq!(answer.header("location"), Some(format!("/saga/status/{id}").as_str()));
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_node_without_a_database_are_answered_when_its_lease_has_run_out() {
    let server = tests::cluster::server_url().await;
    let proxy = PostgresProxy::before(server);
    let options = options()
        .through_proxy("payments")
        .set("participants.timeout_ms", 60_000)
        .set("services.orchestrator.database_url", &proxy.url);
    with_stack(options, async |stack: &Stack| {
        stack
            .add_replica_with(ORCHESTRATOR, |settings| {
                settings.services.get_mut(ORCHESTRATOR).expect("a service").database_url = SecretString::from("");
            })
            .await;
        stack.proxy("payments").hold();
        let begun = buy(stack, "begun");
        let waiting = stack.database(ORCHESTRATOR).await;
        let cut_off = async {
            let pending = "select count(*) from saga where status = 'PENDING'";
            wait_until("it has begun", PATIENCE, async || (waiting.number(pending, &[]).await == 1).then_some(()))
                .await;
            proxy.hold();
            // Without a key, so that its first request to the database is its begin.
            let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
            let request = stack.request_at(Method::POST, stack.address(ORCHESTRATOR), "/saga/transaction");
            send(with_json(request, order)).await
        };
        // Far sooner than their wait limit.
        let both = tokio::time::timeout(PATIENCE, async { futures::join!(begun, cut_off) }).await;
        let (begun, late) = both.expect("both are answered");
        let begun = accepted(&begun);
        assert_problem(&late, 503);
        let in_doubt = transaction(&late);
        assert!(late.json()["decided_by"].is_string() && late.header("retry-after").is_some(), "{}", late.text);
        // From now on nothing is begun here.
        let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
        let request = stack.request_at(Method::POST, stack.address(ORCHESTRATOR), "/saga/transaction");
        let refused = send(with_json(request, order)).await;
        assert_problem(&refused, 503);
        assert!(refused.json()["transaction_id"].is_null(), "{}", refused.text);
        assert!(refused.text.contains("nothing was done"), "{}", refused.text);
        let refused = buy(stack, "a new key").await;
        assert_problem(&refused, 503);
        assert!(refused.text.contains("nothing was done"), "{}", refused.text);

        stack.proxy("payments").flow();
        proxy.flow();
        wait_until("the accepted purchase ends", PATIENCE, async || {
            (status_at(stack, 1, &begun).await.json()["status"] == "COMPLETED").then_some(())
        })
        .await;
        let known: Value = wait_until("the other one ends too, if it has begun", PATIENCE, async || {
            let status = status_at(stack, 1, &in_doubt).await;
            match status.status {
                200 => (!status.json()["completed_at"].is_null()).then(|| status.json()),
                404 | 503 => Some(Value::Null),
                _ => None,
            }
        })
        .await;
        assert!(known.is_null() || known["status"] == "COMPLETED", "{known}");
        transactions::consistent(stack).await;
    })
    .await;
}
