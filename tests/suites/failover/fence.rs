//! A server that was replaced is not used again, however writable it is.

use common::{
    config::ConfigSource,
    db::{self, Pool},
};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::send,
    replicated_cluster::{ReplicatedCluster, Replication},
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};

const WHERE: &str = "select inet_server_port()::bigint";

/// Returns the port of the server to which a pool leads.
async fn port(pool: &Pool) -> Result<i64, String> {
    let mut connection = pool.writer().await.map_err(|error| error.to_string())?;
    let row = connection.query_one(WHERE, &[]).await.map_err(|error| error.to_string())?;
    Ok(row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_primary_is_refused_once_its_successor_was_seen() {
    let cluster = ReplicatedCluster::start(Replication::Asynchronous).await;
    let mut settings = ConfigSource::embedded("bench").load().expect("the built-in settings").database;
    settings.connect_timeout_ms = 2_000;
    let url = SecretString::from(cluster.url());
    let pool = db::pool(&url, "postgres", &settings).expect("the URL is valid");
    let first = port(&pool).await.expect("the primary answers");

    cluster.proxy(0).hold();
    cluster.promote(1).await;
    let second = wait_until("the successor is found", PATIENCE, async || port(&pool).await.ok()).await;
    assert_ne!(first, second);

    // The former primary is back, and its successor cannot be reached.
    cluster.proxy(0).flow();
    cluster.proxy(1).hold();
    let refused = wait_until("the former primary is asked", PATIENCE, async || {
        port(&pool).await.err().filter(|reason| reason.contains("has replaced it"))
    })
    .await;
    assert!(refused.contains("00000001") && refused.contains("00000002"), "{refused}");
    cluster.proxy(1).flow();
    assert_eq!(wait_until("the successor is back", PATIENCE, async || port(&pool).await.ok()).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_uses_the_successor_although_the_former_primary_is_back() {
    let cluster = ReplicatedCluster::start(Replication::Asynchronous).await;
    let settings = ConfigSource::embedded("bench").load().expect("the built-in settings").database;
    cluster.promote(1).await;
    let successor = cluster.connect(1, "postgres").await.number(WHERE, &[]).await;
    // The URL has not been used in this process, as in a new one. The former primary is its first host, and writable.
    let pool = db::pool(&SecretString::from(cluster.url_past_proxies()), "postgres", &settings).expect("a good URL");
    assert_eq!(port(&pool).await, Ok(successor));
    assert_eq!(port(&pool).await, Ok(successor));
}

async fn buy(stack: &Stack) -> Option<Value> {
    let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    let request = with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), order);
    let answer = send(request).await;
    (answer.status == 200).then(|| answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_only_its_former_primary_answers_hears_of_the_successor_from_the_orchestrator() {
    // Asynchronous, since a former primary without standbys would keep each commit waiting: here it would confirm them.
    let mut cluster = ReplicatedCluster::start(Replication::Asynchronous).await;
    let options = StackOptions::default()
        .on_server(&cluster.url())
        .set("services.payments.database_url", cluster.url_past_proxies())
        .set("database.connect_timeout_ms", 1_500)
        .set("database.statement_timeout_ms", 2_000);
    with_stack(options, async |stack: &Stack| {
        buy(stack).await.expect("a purchase");
        cluster.catch_up(&[1, 2]).await;
        // The primary is cut off from all but the payments.
        cluster.proxy(0).hold();
        let primary = cluster.fail_over(&[1, 2]).await;
        let bought = wait_until("purchases go on", PATIENCE, async || buy(stack).await).await;
        let id = bought["transaction_id"].as_str().expect("an id").to_owned();

        let payments = &stack.settings.service("payments").database;
        let paid = "select count(*) from app_payment where transaction_id = $1";
        assert_eq!(cluster.connect(primary, payments).await.number(paid, &[&id]).await, 1, "it is at the successor");
        assert_eq!(cluster.connect(0, payments).await.number(paid, &[&id]).await, 0, "nothing was paid elsewhere");
        cluster.kill(0);
        cluster.proxy(0).flow();
    })
    .await;
}
