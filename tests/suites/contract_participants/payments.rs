//! Payments (contract, section 2.2), apart from the common clauses.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions, assert_shape,
    http::{Answer, send},
    problem::{assert_bad_fields, assert_problem},
    stack::{new_transaction, with_json},
    with_stack,
};

async fn charge(stack: &Stack, body: Value) -> Answer {
    stack.post("payments", "/payments/", body).await
}

async fn payment(stack: &Stack, body: Value) -> i64 {
    let answer = charge(stack, body).await.expect(200).json();
    answer["payment_id"].as_i64().expect("a payment id is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_shown_by_its_id_and_by_its_transaction() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let id = new_transaction();
        let body = json!({ "user_id": "user-1", "transaction_id": id, "amount": 0.5 });
        let payment_id = payment(stack, body).await;
        let row = json!({
            "payment_id": payment_id, "status": "success", "transaction_id": id, "user_id": "user-1",
            "product_id": null, "amount": "0.50", "created_at": "<time>", "compensated_at": null,
        });
        let by_id = format!("/payments/{payment_id}/");
        let by_transaction = format!("/payments/by-transaction/{id}/");
        for path in [&by_id, &by_transaction, by_id.trim_end_matches('/')] {
            assert_shape(&stack.get("payments", path).await.expect(200).json(), &row);
        }
        stack.post("payments", &format!("/payments/{payment_id}/refund/"), "{}").await.expect(200);
        let after = stack.get("payments", &by_id).await.expect(200).json();
        assert_eq!(after["status"], "compensated");
        assert!(tests::shape::is_time(after["compensated_at"].as_str().unwrap()));
        for path in ["/payments/999999/", "/payments/x/", "/payments/99999999999999999999/"] {
            assert_problem(&stack.get("payments", path).await, 404);
        }
        let unknown = format!("/payments/by-transaction/{}/", new_transaction());
        assert_problem(&stack.get("payments", &unknown).await, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_payment_keeps_a_row_with_status_error_and_has_nothing_to_give_back() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.set_faults("payments", json!({ "charge": { "failure_rate": 1 } })).await;
        let id = new_transaction();
        let body = json!({ "user_id": "user-1", "transaction_id": id, "amount": 7 });
        let refused = charge(stack, body).await.expect(409).json();
        let expected = json!({
            "payment_id": "<integer>", "status": "error", "message": "Error processing payment",
            "transaction_id": id, "user_id": "user-1", "product_id": null,
        });
        assert_shape(&refused, &expected);
        let payment_id = refused["payment_id"].as_i64().unwrap();
        let path = format!("/payments/{payment_id}/");
        assert_eq!(stack.get("payments", &path).await.expect(200).json()["status"], "error");
        let refund = stack.post("payments", &format!("{path}refund/"), "{}").await;
        // Not a recorded refusal, since nothing was decided.
        assert_problem(&refund, 409);
        assert_eq!(stack.get("payments", &path).await.expect(200).json()["status"], "error");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_by_payment_id_and_one_by_transaction_are_the_same_refund() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (first, then) in [(true, false), (false, true)] {
            let id = new_transaction();
            let body = json!({ "user_id": "user-1", "transaction_id": id, "amount": "99.99" });
            let payment_id = payment(stack, body).await;
            let path = |by_payment: bool| {
                if by_payment {
                    format!("/payments/{payment_id}/refund/")
                } else {
                    format!("/payments/by-transaction/{id}/refund/")
                }
            };
            let refund = stack.post("payments", &path(first), json!({ "reason": "changed my mind" })).await;
            let expected = json!({
                "status": "compensated", "message": "Payment refunded successfully",
                "payment_id": payment_id, "transaction_id": id, "user_id": "user-1", "amount": "99.99",
            });
            assert_eq!(refund.clone().expect(200).json(), expected);
            // The same answer for the other route, for another body and without a body.
            let without_body = stack.request(Method::POST, "payments", &path(then));
            assert_eq!(send(without_body).await.expect(200).text, refund.text);
            let again = stack.post("payments", &path(first), json!({ "reason": null })).await;
            assert_eq!(again.expect(200).text, refund.text);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_an_unknown_payment_id_is_not_found() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for unknown in ["999999", "x", "-1", "99999999999999999999"] {
            let path = format!("/payments/{unknown}/refund/");
            assert_problem(&stack.post("payments", &path, "{}").await, 404);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_transaction_id_every_payment_is_another_one() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let body = json!({ "user_id": "user-1", "transaction_id": null, "amount": 1 });
        let first = charge(stack, body.clone()).await.expect(200).json();
        let second = charge(stack, body).await.expect(200).json();
        assert_ne!(first["transaction_id"], second["transaction_id"]);
        assert_ne!(first["payment_id"], second["payment_id"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_stands_for_a_transaction_of_its_user() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let charge = async |user: &str, amount: i32, key: &str| {
            let request = stack.request(Method::POST, "payments", "/payments/");
            let body = json!({ "user_id": user, "amount": amount });
            send(with_json(request, body).header("Idempotency-Key", key)).await
        };
        let first = charge("user-1", 5, "key").await.expect(200);
        let again = charge("user-1", 5, "key").await.expect(200);
        assert_eq!(again.text, first.text);
        assert!(again.is_replayed());
        assert_problem(&charge("user-1", 6, "key").await, 422);
        for (user, key) in [("user-2", "key"), ("user-1", "another")] {
            let other = charge(user, 5, key).await.expect(200);
            assert_ne!(other.json()["transaction_id"], first.json()["transaction_id"]);
        }
        // A transaction id takes precedence over a key.
        let request = stack.request(Method::POST, "payments", "/payments/");
        let id = new_transaction();
        let body = json!({ "user_id": "user-1", "amount": 5, "transaction_id": id });
        let given = send(with_json(request, &body).header("Idempotency-Key", "key")).await;
        assert_eq!(given.expect(200).json()["transaction_id"], id);
        // An invalid key is reported, even if it is not needed.
        assert_bad_fields(&charge("user-1", 5, " ").await, 400, &["Idempotency-Key"]);
        let request = stack.request(Method::POST, "payments", "/payments/");
        let blank = send(with_json(request, &body).header("Idempotency-Key", "")).await;
        assert_bad_fields(&blank, 400, &["Idempotency-Key"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_are_exact_from_the_smallest_to_the_largest() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let amounts = [
            ("0.01", "0.01"),
            ("0.1", "0.10"),
            ("\"0.10\"", "0.10"),
            ("1", "1.00"),
            ("99999999.99", "99999999.99"),
            ("\"99999999.99\"", "99999999.99"),
            // Exact, without rounding by binary floating point.
            ("90071992.55", "90071992.55"),
        ];
        for (given, shown) in amounts {
            let body = format!(r#"{{"user_id":"user-1","amount":{given}}}"#);
            let answer = stack.post("payments", "/payments/", body).await.expect(200).json();
            assert_eq!(answer["amount"], shown, "{given}");
            let path = format!("/payments/{}/", answer["payment_id"]);
            assert_eq!(stack.get("payments", &path).await.expect(200).json()["amount"], shown);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_may_have_a_hundred_characters_of_any_script() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let long = "ж".repeat(100);
        let body =
            json!({ "user_id": long, "transaction_id": "ü".repeat(100), "amount": 1, "product_id": "品".repeat(100) });
        let answer = charge(stack, body).await.expect(200).json();
        assert_eq!(answer["user_id"], long);
        assert_eq!(answer["product_id"], "品".repeat(100));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quoted_and_the_bare_form_of_a_key_are_one_transaction() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let charge = async |keys: &[&str]| {
            let request = stack.request(Method::POST, "payments", "/payments/");
            let body = json!({ "user_id": "user-1", "amount": 5 });
            send(keys.iter().fold(with_json(request, body), |request, key| request.header("Idempotency-Key", *key)))
                .await
        };
        let first = charge(&["\"k\""]).await.expect(200);
        // The id of this key in every version; other clients may have kept it.
        assert_eq!(first.json()["transaction_id"], QUOTED_K);
        for key in ["k", "\"k\""] {
            let again = charge(&[key]).await.expect(200);
            assert_eq!((again.is_replayed(), &again.text), (true, &first.text), "{key}");
        }
        // A bare key of an earlier version had another id; its transactions are found.
        let body = json!({ "user_id": "user-1", "amount": 5, "transaction_id": BARE_L });
        let earlier = stack.post("payments", "/payments/", body).await.expect(200);
        for key in ["l", "\"l\""] {
            let again = charge(&[key]).await.expect(200);
            assert_eq!((again.is_replayed(), &again.text), (true, &earlier.text), "{key}");
        }
        for list in [&["a", "b"][..], &["a, b"], &["\"a\", \"b\""]] {
            assert_bad_fields(&charge(list).await, 422, &["Idempotency-Key"]);
        }
        let payments = stack.database("payments").await;
        assert_eq!(payments.number("select count(*) from app_payment", &[]).await, 2);
    })
    .await;
}

/// The ids of two keys of user-1, as derived by earlier versions.
const QUOTED_K: &str = "f436c521-dbf2-5290-970b-0cbbc456483d";
const BARE_L: &str = "d179cf1c-20a5-5832-9944-fa59d956eb3a";
