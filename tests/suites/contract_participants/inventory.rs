//! Inventory (contract, section 2.3), apart from the common clauses.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions, assert_shape,
    http::{Answer, send},
    problem::{assert_bad_fields, assert_problem},
    stack::{new_transaction, with_json},
    with_stack,
};

async fn decrease(stack: &Stack, body: Value) -> Answer {
    stack.post("inventory", "/inventory/decrease/", body).await
}

async fn quantity(stack: &Stack, product: &str) -> Value {
    stack.get("inventory", &format!("/inventory/{product}/")).await.expect(200).json()["quantity"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unseen_product_starts_with_the_initial_stock() {
    let options = StackOptions::default().set("inventory.initial_stock", 7);
    with_stack(options, async |stack: &Stack| {
        assert_problem(&stack.get("inventory", "/inventory/1/").await, 404);
        let answer = decrease(stack, json!({ "product_id": 1, "quantity": 2 })).await.expect(200);
        let expected = json!({
            "status": "success", "message": "Inventory decreased successfully", "product_id": "1",
            "remaining_quantity": 5,
        });
        assert_eq!(answer.json(), expected);
        let stock = json!({ "product_id": "1", "quantity": 5, "last_updated": "<time>" });
        assert_shape(&stack.get("inventory", "/inventory/1").await.expect(200).json(), &stock);
        // The default quantity is one.
        let answer = decrease(stack, json!({ "product_id": "1" })).await.expect(200).json();
        assert_eq!(answer["remaining_quantity"], 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_shortage_says_what_there_is_and_takes_nothing() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        decrease(stack, json!({ "product_id": "1", "quantity": 6 })).await.expect(200);
        let id = new_transaction();
        let body = json!({ "product_id": "1", "quantity": 1000, "transaction_id": id });
        let short = decrease(stack, body.clone()).await.expect(409);
        let message = "Insufficient stock for product 1. Available: 94, requested: 1000";
        assert_eq!(short.json(), json!({ "status": "error", "message": message }));
        assert!(short.is_recorded_refusal());
        assert_eq!(quantity(stack, "1").await, 94);
        // A refused transaction stays refused, although the stock suffices now.
        let restock = json!({ "product_id": "1", "quantity": 1_000_000 });
        stack.post("inventory", "/inventory/restock/", restock).await.expect(200);
        let again = decrease(stack, body).await.expect(409);
        assert_eq!(again.text, short.text);
        assert!(again.is_replayed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_item_can_be_taken_and_no_more() {
    let options = StackOptions::default().set("inventory.initial_stock", 1);
    with_stack(options, async |stack: &Stack| {
        let answer = decrease(stack, json!({ "product_id": "last" })).await.expect(200).json();
        assert_eq!(answer["remaining_quantity"], 0);
        let short = decrease(stack, json!({ "product_id": "last" })).await.expect(409).json();
        assert_eq!(short["message"], "Insufficient stock for product last. Available: 0, requested: 1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_took_meanwhile_is_not_sold_again() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.add_replica("inventory").await;
        let replicas = stack.addresses_of("inventory");
        let decrease_at = async |replica: usize, quantity: i32| {
            let request = stack.request_at(Method::POST, replicas[replica], "/inventory/decrease/");
            send(with_json(request, json!({ "product_id": "1", "quantity": quantity }))).await
        };
        // Its hint says 99 now, until a statement fails on it.
        decrease_at(0, 1).await.expect(200);
        decrease_at(1, 95).await.expect(200);
        let short = decrease_at(0, 5).await.expect(409).json();
        assert_eq!(short["message"], "Insufficient stock for product 1. Available: 4, requested: 5");
        assert_eq!(decrease_at(0, 3).await.expect(200).json()["remaining_quantity"], 1);
        assert_eq!(decrease_at(1, 1).await.expect(200).json()["remaining_quantity"], 0);
        assert_eq!(quantity(stack, "1").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_at_once_is_told_what_is_left_behind_it() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let take = async |product: &str, quantity: i32| {
            let answer = decrease(stack, json!({ "product_id": product, "quantity": quantity })).await.expect(200);
            answer.json()["remaining_quantity"].as_i64().expect("a number")
        };
        assert_eq!((take("1", 1).await, take("2", 2).await), (99, 98));
        let (ones, twos) = futures::join!(
            futures::future::join_all((0..40).map(|_| take("1", 1))),
            futures::future::join_all((0..40).map(|_| take("2", 2))),
        );
        let sorted = |mut left: Vec<i64>| {
            left.sort_unstable();
            left
        };
        assert_eq!(sorted(ones), (59..99).collect::<Vec<_>>());
        assert_eq!(sorted(twos), (9..49).map(|half| 2 * half).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_is_given_back_can_be_taken_again() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let id = new_transaction();
        let body = json!({ "product_id": "1", "quantity": 100, "transaction_id": id });
        decrease(stack, body).await.expect(200);
        let path = format!("/inventory/restore/by-transaction/{id}/");
        for _ in 0..2 {
            let answer = send(stack.request(Method::POST, "inventory", &path)).await.expect(200).json();
            assert_eq!((&answer["product_id"], &answer["quantity"]), (&json!("1"), &json!(100)));
            assert_eq!(quantity(stack, "1").await, 100);
        }
        decrease(stack, json!({ "product_id": "1", "quantity": 100 })).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restock_with_a_key_counts_once() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let restock = async |quantity: i32, key: &str| {
            let request = stack.request(Method::POST, "inventory", "/inventory/restock/");
            let body = json!({ "product_id": 1, "quantity": quantity });
            send(with_json(request, body).header("Idempotency-Key", key)).await
        };
        let first = restock(50, "monday").await.expect(200);
        assert_eq!((&first.json()["product_id"], &first.json()["quantity"]), (&json!("1"), &json!(150)));
        let again = restock(50, "monday").await.expect(200);
        assert_eq!(again.text, first.text);
        assert!(again.is_replayed());
        assert_problem(&restock(51, "monday").await, 422);
        restock(50, "tuesday").await.expect(200);
        assert_eq!(quantity(stack, "1").await, 200);
        // A restock and a decrease with the same key are different transactions.
        let request = stack.request(Method::POST, "inventory", "/inventory/decrease/");
        let body = json!({ "product_id": 1, "quantity": 50 });
        send(with_json(request, body).header("Idempotency-Key", "monday")).await.expect(200);
        assert_eq!(quantity(stack, "1").await, 150);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restocking_is_for_operators() {
    let options = StackOptions::default().set("auth.operator_token", "operator");
    with_stack(options, async |stack: &Stack| {
        let restock = || {
            let request = stack.request(Method::POST, "inventory", "/inventory/restock/");
            with_json(request, json!({ "product_id": 1, "quantity": 1 }))
        };
        assert_problem(&send(restock()).await, 401);
        send(restock().bearer_auth("operator")).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quantities_have_bounds() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let million = json!({ "product_id": "1", "quantity": 1_000_000 });
        stack.post("inventory", "/inventory/restock/", &million).await.expect(200);
        decrease(stack, million).await.expect(200);
        for bad in ["0", "-1", "1000001", "1.5", "\"1\"", "1e3", "99999999999999999999", "true"] {
            let body = format!(r#"{{"product_id":"1","quantity":{bad}}}"#);
            for path in ["/inventory/decrease/", "/inventory/restock/"] {
                let answer = stack.post("inventory", path, &body).await;
                assert_bad_fields(&answer, 400, &["quantity"]);
            }
        }
        assert_eq!(quantity(stack, "1").await, 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_may_be_called_like_a_word_of_a_route() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (word, status) in [("restock", 404), ("decrease", 404), ("restore", 404)] {
            let path = format!("/inventory/{word}/");
            assert_problem(&stack.get("inventory", &path).await, status);
            let body = json!({ "product_id": word, "quantity": 1 });
            stack.post("inventory", "/inventory/restock/", body).await.expect(200);
            let stock = stack.get("inventory", &path).await.expect(200).json();
            assert_eq!((&stock["product_id"], &stock["quantity"]), (&json!(word), &json!(101)));
            let deleted = stack.delete("inventory", &path).await;
            assert_problem(&deleted, 405);
            let allow = if word == "restore" { "GET, HEAD" } else { "GET, HEAD, POST" };
            assert_eq!(deleted.header("allow"), Some(allow), "{word}");
        }
    })
    .await;
}
