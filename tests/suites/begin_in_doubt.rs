//! It is not known whether a purchase was accepted. The answer names the time by which that is decided; until then its
//! status is 503 or its present state, at every replica, and a 404 is final.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use saga_engine::SagaId;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, cluster,
    database::Database,
    http::{Answer, send},
    postgres_proxy::PostgresProxy,
    problem::assert_problem,
    stack::{ORCHESTRATOR, unknown_saga, with_json},
    wait_until, with_stack,
};
use uuid::Uuid;

/// A piece of the statement that puts a saga into the log.
const BEGIN: &str = "insert into saga (id";

/// Long enough for a begin on a busy machine, short enough to be waited for.
const BEGIN_LIMIT: Duration = Duration::from_secs(4);

async fn with_two_nodes(test: impl AsyncFnOnce(&Stack, &PostgresProxy)) {
    let proxy = PostgresProxy::before(cluster::server_url().await);
    let options = StackOptions::default()
        .on_server(&proxy.url)
        .set("orchestrator.begin_limit_ms", BEGIN_LIMIT.as_millis())
        .set("database.statement_timeout_ms", 30_000);
    with_stack(options, async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        test(stack, &proxy).await;
    })
    .await;
}

/// A session on the saga log that no proxy stands before.
async fn past_the_proxy(stack: &Stack) -> Database {
    Database::connect(cluster::server_url().await, &stack.settings.service(ORCHESTRATOR).database).await
}

/// Buys without waiting for the end.
async fn leave(stack: &Stack, key: &str) -> Answer {
    let request = stack.request_at(Method::POST, stack.address(ORCHESTRATOR), "/saga/transaction");
    let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    send(with_json(request.header("prefer", "respond-async").header("idempotency-key", key), order)).await
}

/// Asks both replicas for the status, and returns what they answer.
async fn statuses(stack: &Stack, id: &str) -> Vec<u16> {
    let path = format!("/saga/status/{id}");
    let mut statuses = Vec::new();
    for address in stack.addresses_of(ORCHESTRATOR) {
        let answer = send(stack.request_at(Method::GET, address, &path)).await;
        if answer.status == 503 {
            assert_problem(&answer, 503);
            assert_eq!(answer.json()["transaction_id"], id);
            assert!(answer.header("retry-after").is_some());
        }
        statuses.push(answer.status);
    }
    statuses
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

/// Returns the id of a purchase that is in doubt, and when it is decided.
fn doubt(answer: &Answer) -> (String, DateTime<Utc>) {
    assert_problem(answer, 503);
    let body = answer.json();
    let id: Uuid = body["transaction_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let decided_by = time(&body["decided_by"]);
    assert_eq!(SagaId(id).decided_by(BEGIN_LIMIT), Some(decided_by));
    assert!(answer.header("retry-after").is_some());
    (id.to_string(), decided_by)
}

/// Asks again and again until a time is over; every answer must be one of these.
async fn until(stack: &Stack, id: &str, time: DateTime<Utc>, allowed: &[u16]) {
    wait_until("the time is over", PATIENCE, async || {
        let is_over = Utc::now() > time;
        let statuses = statuses(stack, id).await;
        assert!(statuses.iter().all(|status| allowed.contains(status)), "{statuses:?}, is it over: {is_over}");
        is_over.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_whose_begin_arrives_too_late_never_happens_and_its_404_is_final() {
    with_two_nodes(async |stack, proxy| {
        let database = &stack.settings.service(ORCHESTRATOR).database;
        let delayed = proxy.delay_statement(database, BEGIN, 0);
        let (id, decided_by) = doubt(&leave(stack, "k").await);
        until(stack, &id, decided_by, &[503]).await;
        delayed.release();
        until(stack, &id, decided_by + TimeDelta::seconds(2), &[404]).await;
        let sagas = past_the_proxy(stack).await.number("select count(*) from saga", &[]).await;
        assert_eq!(sagas, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_in_a_transaction_that_stays_open_keeps_its_status_undecided_until_it_shows() {
    with_two_nodes(async |stack, proxy| {
        let database = &stack.settings.service(ORCHESTRATOR).database;
        let first = leave(stack, "first").await.expect(202).json();
        // Another session takes the key, and does not say yet whether it keeps it: the begin waits for that.
        let other = past_the_proxy(stack).await;
        let copy = format!(
            "begin; insert into saga_key
             select 'user', user_id, 'k', gen_random_uuid(), null, 1 from saga where id = '{}'",
            first["transaction_id"].as_str().unwrap()
        );
        other.run(&copy).await;
        let (id, decided_by) = doubt(&leave(stack, "k").await);
        // Its node receives nothing more of it; the server continues with the request.
        proxy.cut(database);
        until(stack, &id, decided_by + TimeDelta::seconds(2), &[503]).await;
        other.run("rollback").await;
        wait_until("the purchase shows", PATIENCE, async || {
            let statuses = statuses(stack, &id).await;
            assert!(!statuses.contains(&404), "{statuses:?}");
            (statuses == [200, 200]).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_waits_for_every_transaction_that_began_before_it_could_be_known() {
    with_two_nodes(async |stack, _| {
        let open = past_the_proxy(stack).await;
        open.run("begin; select 1").await;
        let id = tests::stack::new_transaction();
        let decided_by = Utc::now() + BEGIN_LIMIT;
        until(stack, &id, decided_by + TimeDelta::seconds(2), &[503]).await;
        open.run("rollback").await;
        // The sessions of the services are done with theirs in a moment.
        wait_until("it is certain", PATIENCE, async || (statuses(stack, &id).await == [404, 404]).then_some(())).await;
        until(stack, &id, Utc::now() + TimeDelta::milliseconds(500), &[404]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_no_node_can_have_made_just_now_is_unknown_at_once_and_a_young_one_is_undecided_everywhere() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let ahead = common::ids::uuid_v7(Utc::now() + TimeDelta::days(365));
        let ids = [(unknown_saga(), 404), (ahead, 404), (Uuid::new_v4(), 404), (Uuid::now_v7(), 503)];
        for (id, status) in ids {
            let answers = [
                stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await,
                stack.get(ORCHESTRATOR, &format!("/saga/{id}/inspect")).await,
                stack.get(ORCHESTRATOR, &format!("/saga/events?saga={id}")).await,
                stack.post(ORCHESTRATOR, &format!("/saga/{id}/cancel"), "").await,
                stack.post(ORCHESTRATOR, &format!("/saga/{id}/retry"), "").await,
                stack.post(ORCHESTRATOR, &format!("/saga/{id}/resolve"), r#"{"note":"n"}"#).await,
            ];
            for answer in answers {
                assert_problem(&answer, status);
                assert_eq!(answer.json()["decided_by"].is_null(), status == 404, "{}", answer.text);
            }
        }
    })
    .await;
}
