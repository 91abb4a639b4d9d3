//! Refusals and tombstones are rows of the participants' tables, and no read shows or counts them as effects.

use serde_json::{Value, json};
use tests::{
    Stack, StackOptions,
    operations::{OPERATIONS, Operation},
    stack::new_transaction,
    with_stack,
};

fn of(service: &str) -> &'static Operation {
    OPERATIONS.iter().find(|operation| operation.service == service).expect("a participant")
}

/// Leaves a refusal and a tombstone; returns their transactions.
async fn refusal_and_tombstone(stack: &Stack, operation: &Operation) -> [String; 2] {
    let ids = [new_transaction(), new_transaction()];
    stack.set_faults(operation.service, json!({ operation.action: { "failure_rate": 1.0 } })).await;
    operation.act(stack, &ids[0]).await.expect(409);
    stack.set_faults(operation.service, json!({ operation.action: { "failure_rate": 0.0 } })).await;
    operation.compensate(stack, &ids[1]).await.expect(200);
    ids
}

/// Returns the number of the row of a transaction, which no answer has told.
async fn number_of(stack: &Stack, operation: &Operation, id: &str) -> i64 {
    let number = format!("select id from {} where transaction_id = $1", operation.table);
    stack.database(operation.service).await.number(&number, &[&id]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_is_no_payment() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let [refused, tombstone] = refusal_and_tombstone(stack, of("payments")).await;
        // A refused payment is kept, and shown.
        let path = format!("/payments/by-transaction/{refused}/");
        assert_eq!(stack.get("payments", &path).await.expect(200).json()["status"], "error");
        let number = number_of(stack, of("payments"), &tombstone).await;
        for path in [format!("/payments/{number}/"), format!("/payments/by-transaction/{tombstone}/")] {
            stack.get("payments", &path).await.expect(404);
        }
        stack.post("payments", &format!("/payments/{number}/refund/"), "{}").await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_a_tombstone_are_no_purchases() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let [first, last] = [new_transaction(), new_transaction()];
        of("purchases").act(stack, &first).await.expect(200);
        let without_effect = refusal_and_tombstone(stack, of("purchases")).await;
        of("purchases").act(stack, &last).await.expect(200);
        for id in without_effect {
            let number = number_of(stack, of("purchases"), &id).await;
            for path in [format!("/purchases/{number}/"), format!("/purchases/{id}/")] {
                stack.get("purchases", &path).await.expect(404);
            }
            stack.delete("purchases", &format!("/purchases/{number}/cancel/")).await.expect(404);
        }
        let list = async |query: &str| {
            let page = stack.get("purchases", &format!("/purchases/?{query}")).await.expect(200).json();
            let of = |purchase: &Value| purchase["transaction_id"].as_str().expect("an id").to_owned();
            let ids: Vec<String> = page["purchases"].as_array().expect("a list").iter().map(of).collect();
            (ids, page["next_cursor"].clone())
        };
        for query in ["limit=10", "user_id=user-1&limit=10"] {
            assert_eq!(list(query).await, (vec![last.clone(), first.clone()], Value::Null), "{query}");
        }
        let (ids, cursor) = list("limit=1").await;
        assert_eq!(ids, [last]);
        let cursor = cursor.as_str().expect("there are more").to_owned();
        assert_eq!(list(&format!("limit=1&cursor={cursor}")).await, (vec![first], Value::Null));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_a_tombstone_move_no_stock() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let inventory = of("inventory");
        inventory.act(stack, &new_transaction()).await.expect(200);
        let quantity = async || stack.get("inventory", "/inventory/1/").await.expect(200).json()["quantity"].clone();
        let before = quantity().await;
        for id in refusal_and_tombstone(stack, inventory).await {
            inventory.compensate(stack, &id).await.expect(200);
            let moved = "select count(*) from stock_movement where transaction_id = $1 and quantity is not null";
            assert_eq!(stack.database("inventory").await.number(moved, &[&id]).await, 0);
        }
        assert_eq!(quantity().await, before);
        let differences = "select count(*) from stock_difference";
        assert_eq!(stack.database("inventory").await.number(differences, &[]).await, 0);
    })
    .await;
}
