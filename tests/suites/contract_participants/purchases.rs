//! Purchases (contract, section 2.4), apart from the common clauses.

use serde_json::{Value, json};
use tests::{Stack, StackOptions, assert_shape, problem::assert_problem, stack::new_transaction, with_stack};

/// Registers a purchase and returns its id.
async fn purchase(stack: &Stack, user: &str, transaction: &str) -> i64 {
    let body = json!({
        "user_id": user, "transaction_id": transaction, "product_id": 1, "payment_id": 42, "amount": 99.99,
    });
    let answer = stack.post("purchases", "/purchases/", body).await.expect(200).json();
    answer["purchase_id"].as_i64().expect("a purchase id is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_shown_by_its_id() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let id = new_transaction();
        let purchase_id = purchase(stack, "user-1", &id).await;
        let row = json!({
            "purchase_id": purchase_id, "status": "success", "user_id": "user-1", "transaction_id": id,
            "product_id": "1", "payment_id": "42", "amount": "99.99", "created_at": "<time>",
            "cancelled_at": null,
        });
        for path in [format!("/purchases/{purchase_id}/"), format!("/purchases/{purchase_id}")] {
            assert_shape(&stack.get("purchases", &path).await.expect(200).json(), &row);
        }
        for path in ["/purchases/999999/", "/purchases/99999999999999999999/", "/purchases/x/"] {
            assert_problem(&stack.get("purchases", path).await, 404);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_cancelled_by_its_id_or_its_transaction_and_it_is_one_cancellation() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        // A numeric transaction id works only in the longer path.
        for id in [new_transaction(), "txn-456".to_owned()] {
            let purchase_id = purchase(stack, "user-1", &id).await;
            let expected = json!({
                "status": "success", "message": "Purchase cancelled successfully", "transaction_id": id,
            });
            let paths = [
                format!("/purchases/{purchase_id}/cancel/"),
                format!("/purchases/{id}/cancel/"),
                format!("/purchases/by-transaction/{id}/cancel/"),
                format!("/purchases/{purchase_id}/cancel"),
            ];
            for path in &paths {
                assert_eq!(stack.delete("purchases", path).await.expect(200).json(), expected, "{path}");
            }
            let row = stack.get("purchases", &format!("/purchases/{purchase_id}/")).await.expect(200).json();
            assert_eq!(row["status"], "cancelled");
            assert!(tests::shape::is_time(row["cancelled_at"].as_str().unwrap()));
        }
        let numeric = purchase(stack, "user-1", "77777777").await;
        assert_problem(&stack.delete("purchases", "/purchases/77777777/cancel/").await, 404);
        let path = "/purchases/by-transaction/77777777/cancel/";
        stack.delete("purchases", path).await.expect(200);
        let row = stack.get("purchases", &format!("/purchases/{numeric}/")).await.expect(200).json();
        assert_eq!(row["status"], "cancelled");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_an_unknown_transaction_by_the_short_path_leaves_a_tombstone_too() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let id = new_transaction();
        stack.delete("purchases", &format!("/purchases/{id}/cancel/")).await.expect(200);
        let body = json!({
            "user_id": "user-1", "transaction_id": id, "product_id": 1, "payment_id": 42, "amount": 1,
        });
        let late = stack.post("purchases", "/purchases/", body).await.expect(409);
        assert!(late.is_recorded_refusal());
        assert_problem(&stack.delete("purchases", "/purchases/999999/cancel/").await, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_newest_first_in_parts_and_of_one_user_if_asked() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut ids = Vec::new();
        for number in 0..6 {
            let user = format!("user-{}", number % 2);
            ids.push(purchase(stack, &user, &new_transaction()).await);
        }
        ids.reverse();
        let listed = async |query: &str| {
            let mut listed = Vec::new();
            let mut cursor = String::new();
            loop {
                let path = format!("/purchases/?{query}{cursor}");
                let part: Value = stack.get("purchases", &path).await.expect(200).json();
                let purchases = part["purchases"].as_array().expect("a list");
                listed.extend(purchases.iter().filter_map(|purchase| purchase["purchase_id"].as_i64()));
                let Some(next) = part["next_cursor"].as_str() else {
                    break;
                };
                cursor = format!("&cursor={next}");
            }
            listed
        };
        assert_eq!(listed("").await, ids);
        assert_eq!(listed("limit=4").await, ids);
        let odd: Vec<i64> = ids.iter().copied().step_by(2).collect();
        assert_eq!(listed("user_id=user-1&limit=1").await, odd);
        assert_eq!(listed("user_id=nobody").await, [] as [i64; 0]);
    })
    .await;
}
