//! Connections to PostgreSQL that are cut again and again under load, without an aim: at begins, writes, claims, renewals
//! of leases, and at what participants write. One of two orchestrators dies meanwhile: the other one claims some hundred
//! purchases in small batches, and loses the answers to some of those claims.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions, cluster,
    database::Database,
    http::{Answer, try_send},
    postgres_proxy::PostgresProxy,
    stack::{ORCHESTRATOR, SERVICES, with_json},
    transactions, wait_until, with_stack,
};
use tokio_util::sync::CancellationToken;

use super::{all_ended, orphans::without_actor_are};

/// Interval of the cuts: shorter than a lease, a sweep and the way of a purchase.
const CUT_EVERY: Duration = Duration::from_millis(120);
/// How long connections are cut at least: longer than two leases.
const CUT_FOR: Duration = Duration::from_secs(14);
/// Purchases that are accepted before the orchestrator dies, at least, and after that.
const PURCHASES: usize = 300;
/// Clients that wait for the end of each purchase; as many others leave once it is accepted.
const CLIENTS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_purchase_ends_after_connections_were_cut_under_load() {
    let proxy = PostgresProxy::before(cluster::server_url().await);
    let options = StackOptions::default()
        .on_server(&proxy.url)
        .set("inventory.initial_stock", 1_000_000)
        .set("orchestrator.lease_ms", 1_000)
        .set("orchestrator.takeover_batch", 5);
    with_stack(options, async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        // Slow charges keep many purchases under way.
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 1_000, "max": 3_000 } } })).await;
        let (answers, end) = (Mutex::new(Vec::new()), CancellationToken::new());
        let accepted = || answers.lock().iter().filter(|a| is_accepted(a)).count();
        let attack = async {
            wait_until("purchases are accepted", PATIENCE, async || (accepted() >= CLIENTS).then_some(())).await;
            let cutting = SERVICES.map(|service| proxy.cut_every(&stack.settings.service(service).database, CUT_EVERY));
            let begun = Instant::now();
            let lasts = async |time: Duration, purchases: usize| {
                wait_until("connections were cut for long enough", PATIENCE * 2, async || {
                    (begun.elapsed() >= time && accepted() >= purchases).then_some(())
                })
                .await;
            };
            lasts(CUT_FOR / 3, PURCHASES).await;
            stack.crash(ORCHESTRATOR).await;
            lasts(CUT_FOR, 2 * PURCHASES).await;
            drop(cutting);
            end.cancel();
        };
        let clients = join_all((0..2 * CLIENTS).map(|number| client(stack, number, &answers, &end)));
        futures::join!(attack, clients);
        stack.start_again(ORCHESTRATOR).await;

        // A session past the proxy: the ones through it are cut.
        let saga_log = &stack.settings.service(ORCHESTRATOR).database;
        let saga_log = Database::connect(cluster::server_url().await, saga_log).await;
        all_ended(&saga_log).await;
        without_actor_are(stack, 0).await;
        let transactions = transactions::consistent(stack).await;
        let answers = answers.into_inner();
        let mut counts = BTreeMap::new();
        for answer in &answers {
            *counts.entry(answer.status).or_insert(0) += 1;
            assert_true(answer, &transactions);
        }
        let claimed = saga_log.number("select count(*) from saga where epoch > 1", &[]).await;
        println!("{counts:?}, {} sagas, {claimed} of them claimed", transactions.len());
    })
    .await;
}

/// Buys until the end: the first half of the clients waits for each purchase, the second leaves once it is accepted.
async fn client(stack: &Stack, number: usize, answers: &Mutex<Vec<Answer>>, end: &CancellationToken) {
    while !end.is_cancelled() {
        let request = stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction");
        let request = if number < CLIENTS { request } else { request.header("prefer", "respond-async") };
        let order = json!({ "user_id": format!("client-{number}"), "product_id": 1, "amount": 5 });
        // The orchestrator that dies leaves its clients without an answer.
        if let Ok(answer) = try_send(with_json(request, order)).await {
            answers.lock().push(answer);
        }
    }
}

fn is_accepted(answer: &Answer) -> bool {
    matches!(answer.status, 200 | 202)
}

/// Checks that the log agrees with the answer to a client.
fn assert_true(answer: &Answer, transactions: &transactions::Transactions) {
    let id = answer.json()["transaction_id"].as_str().map(str::to_owned);
    let status = id.and_then(|id| transactions.get(&id)).map(|entry| entry.status.as_str());
    let is_true = match answer.status {
        200 => status == Some("COMPLETED"),
        202 => matches!(status, Some("COMPLETED" | "COMPENSATED")),
        // Nothing was done, or it is not known: then it may have begun.
        503 => status != Some(""),
        // A participant refused, or its answer stayed unknown.
        _ => status == Some("COMPENSATED"),
    };
    assert!(is_true, "the log holds {status:?}, the client was told {answer:?}");
}
