//! The idempotent start, `Prefer: respond-async` and the wait limit.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::{Answer, send},
    problem::{assert_bad_fields, assert_problem},
    stack::{ORCHESTRATOR, with_json},
    transactions, wait_until, with_stack,
};

use super::status;

async fn buy_with(stack: &Stack, headers: &[(&str, &str)], body: Value) -> Answer {
    let mut request = with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

async fn buy_keyed(stack: &Stack, key: &str, body: Value) -> Answer {
    buy_with(stack, &[("idempotency-key", key)], body).await
}

fn id(answer: &Answer) -> String {
    answer.json()["transaction_id"].as_str().expect("a transaction id").to_owned()
}

async fn count(stack: &Stack) -> i64 {
    stack.database(ORCHESTRATOR).await.number("select count(*) from saga", &[]).await
}

/// Payments takes this long: long enough to look at a saga that waits for it.
fn slow_payments() -> StackOptions {
    StackOptions::default()
        .set("faults.payments.charge.latency_ms.min", 1500)
        .set("faults.payments.charge.latency_ms.max", 1500)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_fifty_times_at_once_is_one_saga_with_fifty_equal_answers() {
    for fate in ["0", "1"] {
        let options = StackOptions::default().set("faults.purchases.create.failure_rate", fate);
        with_stack(options, async |stack: &Stack| {
            let body = json!({ "user_id": "ada", "amount": 5 });
            let answers = join_all((0..50).map(|_| buy_keyed(stack, "once", body.clone()))).await;
            let texts: BTreeSet<(u16, &str)> =
                answers.iter().map(|answer| (answer.status, answer.text.as_str())).collect();
            assert_eq!(texts.len(), 1, "{texts:?}");
            assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1, "one of them started it");
            assert_eq!(count(stack).await, 1);
            transactions::consistent(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_stored_answer_also_after_a_restart() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let body = json!({ "user_id": "ada", "product_id": 3, "amount": "12.50" });
        let first = buy_keyed(stack, "k1", body).await.expect(200);
        assert!(!first.is_replayed());
        // The same contents in other words.
        let same = json!({ "amount": 12.5, "user_id": "ada", "product_id": "3", "note": "unknown fields say nothing" });
        for restarted in [false, true] {
            if restarted {
                stack.restart(ORCHESTRATOR).await;
            }
            let again = buy_keyed(stack, "k1", same.clone()).await.expect(200);
            assert!(again.is_replayed());
            assert_eq!(again.text, first.text);
        }
        // A key belongs to its user.
        let other = buy_keyed(stack, "k1", json!({ "user_id": "bob", "amount": 1 })).await.expect(200);
        assert_ne!(id(&other), id(&first));
        assert_eq!(count(stack).await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_other_contents_is_refused_and_starts_nothing() {
    with_stack(slow_payments(), async |stack: &Stack| {
        let started = buy_with(
            stack,
            &[("idempotency-key", "k"), ("prefer", "respond-async")],
            json!({ "user_id": "ada", "amount": 5 }),
        )
        .await
        .expect(202);
        for other in
            [json!({ "user_id": "ada", "amount": 6 }), json!({ "user_id": "ada", "amount": 5, "product_id": 1 })]
        {
            assert_problem(&buy_keyed(stack, "k", other).await, 422);
        }
        assert_eq!(count(stack).await, 1);
        let long = "k".repeat(256);
        for bad in [" ", long.as_str()] {
            let answer = buy_keyed(stack, bad, json!({ "user_id": "ada", "amount": 5 })).await;
            assert_bad_fields(&answer, 422, &["Idempotency-Key"]);
        }
        // One that comes while it runs waits for its end.
        let attached = buy_keyed(stack, "k", json!({ "user_id": "ada", "amount": 5 })).await.expect(200);
        assert!(attached.is_replayed());
        assert_eq!(id(&attached), id(&started));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_attaches_to_the_running_saga_from_any_replica() {
    with_stack(slow_payments(), async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        let body = json!({ "user_id": "ada", "amount": 5 });
        // The kit's clients take the replicas in turn.
        let answers = join_all((0..8).map(|_| buy_keyed(stack, "k", body.clone()))).await;
        let texts: BTreeSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert_eq!(count(stack).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_on_a_full_house_is_answered_all_the_same() {
    let options = slow_payments().set("orchestrator.max_running", 1);
    with_stack(options, async |stack: &Stack| {
        let body = json!({ "user_id": "ada", "amount": 5 });
        let (first, repeat) = tokio::join!(buy_keyed(stack, "k", body.clone()), async {
            wait_until("the saga is in the log", PATIENCE, async || (count(stack).await == 1).then_some(())).await;
            for headers in [&[][..], &[("prefer", "respond-async")]] {
                let refused = buy_with(stack, headers, json!({ "user_id": "bob", "amount": 5 })).await;
                assert_problem(&refused, 503);
                assert!(refused.text.contains("too many sagas are running; nothing was done"), "{}", refused.text);
            }
            buy_keyed(stack, "k", body.clone()).await
        });
        assert_eq!(first.expect(200).text, repeat.expect(200).text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prefers_not_to_wait_gets_202_and_the_place_to_look() {
    with_stack(slow_payments(), async |stack: &Stack| {
        let answer =
            buy_with(stack, &[("prefer", "respond-async")], json!({ "user_id": "ada", "amount": 5 })).await.expect(202);
        let id = id(&answer);
        assert_eq!(answer.header("location"), Some(format!("/saga/status/{id}").as_str()));
        assert_eq!(answer.header("preference-applied"), Some("respond-async"));
        assert_eq!(answer.json()["status"], "PENDING");
        // Accepted means that it is in the log.
        let rows = stack.database(ORCHESTRATOR).await;
        assert_eq!(rows.number("select count(*) from saga where id::text = $1", &[&id]).await, 1);
        wait_until("the saga ends", PATIENCE, async || {
            let status = status(stack, &json!(id)).await;
            (status["status"] == "COMPLETED").then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prefers_to_wait_briefly_is_let_go_and_an_unknown_product_still_ends_the_saga() {
    with_stack(slow_payments(), async |stack: &Stack| {
        let body = json!({ "user_id": "ada", "amount": 5 });
        buy_with(stack, &[("prefer", "wait=0")], body).await.expect(202);
        let body = json!({ "user_id": "ada", "amount": 5, "product_id": 4711 });
        let answer = buy_with(stack, &[("prefer", "respond-async")], body).await.expect(202);
        let ended = wait_until("the saga ends", PATIENCE, async || {
            let status = status(stack, &answer.json()["transaction_id"]).await;
            (status["status"] == "COMPENSATED").then_some(status)
        })
        .await;
        assert_eq!(ended["error_message"], "404: catalog conflict: Product 4711 not found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quoted_and_the_bare_form_are_one_key_and_a_list_is_none() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let body = json!({ "user_id": "ada", "amount": 5 });
        let first = buy_keyed(stack, "\"order, 1\"", body.clone()).await.expect(200);
        let bare = buy_keyed(stack, "order-2", body.clone()).await.expect(200);
        for (key, earlier) in [("\"order, 1\"", &first), ("\"order-2\"", &bare), (" order-2", &bare)] {
            let again = buy_keyed(stack, key, body.clone()).await.expect(200);
            assert!(again.is_replayed(), "{key}");
            assert_eq!(again.text, earlier.text, "{key}");
        }
        assert_eq!(count(stack).await, 2);
        for list in [&["a", "b"][..], &["a", "a"], &["a, b"], &["\"a\", \"b\""], &["\"a\",b"], &["order-2,"]] {
            let headers: Vec<(&str, &str)> = list.iter().map(|key| ("idempotency-key", *key)).collect();
            let answer = buy_with(stack, &headers, body.clone()).await;
            assert_bad_fields(&answer, 422, &["Idempotency-Key"]);
        }
        assert_bad_fields(&buy_keyed(stack, "\"half", body).await, 422, &["Idempotency-Key"]);
        assert_eq!(count(stack).await, 2);
    })
    .await;
}
