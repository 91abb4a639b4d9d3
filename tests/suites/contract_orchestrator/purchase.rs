//! `POST /saga/transaction`: every way in which a purchase ends.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, assert_shape, http::send, shape::is_time, stack::ORCHESTRATOR, stack::with_json,
    transactions, wait_until, with_stack,
};
use uuid::Uuid;

use super::{buy, status};

/// A step that was done at once.
fn step_done(name: &str, participant: &str) -> Value {
    json!({
        "step": name, "participant": participant, "state": "done", "action": "done", "attempts": 1,
        "started_at": "<time>", "finished_at": "<time>", "error": null,
    })
}

fn states(status: &Value) -> Vec<&str> {
    let steps = status["steps"].as_array().expect("a list of steps");
    steps.iter().filter_map(|step| step["state"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_goes_through_is_completed_with_all_its_ids() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let answer = buy(stack, json!({ "user_id": "user-123", "product_id": 1, "amount": 99.9 })).await;
        let body = answer.clone().expect(200).json();
        let expected = json!({
            "transaction_id": "<uuid>", "status": "COMPLETED",
            "message": "Transaction completed successfully",
            "details": { "user_id": "user-123", "product_id": "1", "payment_id": "<id>", "amount": 99.9 },
            "timestamp": "<time>",
        });
        assert_shape(&body, &expected);
        assert!(answer.text.contains(r#""amount":99.90"#), "exact to the cent: {}", answer.text);
        let id = &body["transaction_id"];
        assert_eq!(Uuid::parse_str(id.as_str().unwrap()).unwrap().get_version_num(), 7);

        let shape = json!({
            "transaction_id": id, "cell": 0, "status": "COMPLETED", "definition": "checkout", "version": 1,
            "user_id": "user-123", "product_id": "1",
            "payment_id": body["details"]["payment_id"], "inventory_updated": true,
            "purchase_registered": true, "amount": 99.9, "created_at": "<time>", "completed_at": "<time>",
            "error_message": null, "purchase_id": "<id>",
            "turned_back_because": null, "stuck_because": null, "resolution": null, "takeovers": [],
            "steps": [
                step_done("choose", "catalog"), step_done("charge", "payments"),
                step_done("decrease", "inventory"), step_done("create", "purchases"),
            ],
        });
        let status = status(stack, id).await;
        assert_shape(&status, &shape);
        let path = format!("/purchases/{}/", status["purchase_id"].as_str().unwrap());
        let purchase = stack.get("purchases", &path).await.expect(200).json();
        assert_eq!(&purchase["transaction_id"], id);
        assert_eq!(purchase["payment_id"], body["details"]["payment_id"]);
        assert_eq!(purchase["amount"], "99.90");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_product_the_catalog_chooses_one() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for body in
            [json!({ "user_id": "u", "amount": 1 }), json!({ "user_id": "u", "amount": "1", "product_id": null })]
        {
            let answer = buy(stack, body).await.expect(200).json();
            let product: i64 = answer["details"]["product_id"].as_str().unwrap().parse().unwrap();
            assert!((1..=20).contains(&product), "{answer}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_any_step_reverts_the_purchase_and_says_who_refused_and_why() {
    let refusals = [
        ("payments", "charge", "Error processing payment", ["done", "refused", "pending", "pending"]),
        (
            "inventory",
            "decrease",
            "Insufficient stock for product 3 (random failure)",
            ["done", "compensated", "refused", "pending"],
        ),
        // The stock stays taken: that is the product owner's rule.
        ("purchases", "create", "CONFLICT", ["done", "compensated", "done", "refused"]),
    ];
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (service, operation, reason, expected_states) in refusals {
            let error = format!("409: {service} conflict: {reason}");
            stack.set_faults(service, json!({ operation: { "failure_rate": 1 } })).await;
            let answer = buy(stack, json!({ "user_id": "user-123", "product_id": "3", "amount": 5 })).await;
            stack.set_faults(service, json!({ operation: { "failure_rate": 0 } })).await;
            let payment = if service == "payments" { json!(null) } else { json!("<id>") };
            let body = answer.expect(409).json();
            let expected = json!({
                "transaction_id": "<uuid>", "status": "COMPENSATED",
                "message": "Transaction failed and was reverted",
                "details": { "user_id": "user-123", "product_id": "3", "payment_id": payment, "error": error },
                "timestamp": "<time>",
            });
            assert_shape(&body, &expected);
            let status = status(stack, &body["transaction_id"]).await;
            assert_eq!(status["status"], "COMPENSATED");
            assert_eq!(status["error_message"], error);
            assert_eq!(status["payment_id"], body["details"]["payment_id"]);
            assert_eq!(status["purchase_registered"], false);
            assert!(is_time(status["completed_at"].as_str().unwrap()));
            assert_eq!(states(&status), expected_states, "{status:#}");
        }
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_product_is_refused_by_the_catalog_and_nothing_else_is_asked() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let body = buy(stack, json!({ "user_id": "u", "product_id": 77, "amount": 5 })).await.expect(409).json();
        let expected = json!({
            "transaction_id": "<uuid>", "status": "COMPENSATED",
            "message": "Transaction failed and was reverted",
            "details": {
                "user_id": "u", "product_id": null, "payment_id": null,
                "error": "404: catalog conflict: Product 77 not found",
            },
            "timestamp": "<time>",
        });
        assert_shape(&body, &expected);
        assert_eq!(status(stack, &body["transaction_id"]).await["status"], "COMPENSATED");
        let payments = stack.database("payments").await;
        assert_eq!(payments.number("select count(*) from journal", &[]).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_stays_away_is_named_and_its_own_words_do_not_leak() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let rows = [("catalog", "product"), ("payments", "charge"), ("inventory", "decrease"), ("purchases", "create")];
        for (service, operation) in rows {
            stack.set_faults(service, json!({ operation: { "unavailable_rate": 1 } })).await;
            let body = buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 })).await.expect(409).json();
            stack.set_faults(service, json!({ operation: { "unavailable_rate": 0 } })).await;
            assert_eq!(body["status"], "COMPENSATED");
            let error = format!("503: Service {service} unavailable");
            assert_eq!(body["details"]["error"], error);
        }
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_does_not_answer_in_time_is_named() {
    let options = StackOptions::default()
        .set("participants.connect_timeout_ms", 200)
        .set("participants.timeout_ms", 200)
        .set("retry.action.attempts", 2);
    with_stack(options, async |stack: &Stack| {
        let slow = json!({ "charge": { "latency_ms": { "min": 2000, "max": 2000 } } });
        stack.set_faults("payments", slow).await;
        let body = buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 })).await.expect(409).json();
        assert_eq!(body["details"]["error"], "504: Timeout while communicating with payments");
        // The request may still arrive, and must find its tombstone.
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 0, "max": 0 } } })).await;
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_undone_yet_is_failed_and_is_undone_in_the_end() {
    let options = StackOptions::default().set("orchestrator.attention_after_attempts", 3);
    with_stack(options, async |stack: &Stack| {
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        stack.set_faults("payments", json!({ "refund": { "failure_rate": 1 } })).await;
        let body = buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 })).await.expect(502).json();
        assert_eq!(body["status"], "FAILED");
        assert_eq!(body["details"]["user_id"], "u");
        let id = &body["transaction_id"];
        let failed = status(stack, id).await;
        assert_eq!((&failed["status"], &failed["completed_at"]), (&json!("FAILED"), &json!(null)));
        stack.set_faults("payments", json!({ "refund": { "failure_rate": 0 } })).await;
        wait_until("the saga is compensated", PATIENCE, async || {
            (status(stack, id).await["status"] == "COMPENSATED").then_some(())
        })
        .await;
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_outlasts_the_wait_limit_is_accepted_and_goes_on() {
    let options = StackOptions::default().set("orchestrator.wait_limit_ms", 100);
    with_stack(options, async |stack: &Stack| {
        for (service, operation) in [("catalog", "product"), ("purchases", "create")] {
            let latency = |ms: u32| json!({ operation: { "latency_ms": { "min": ms, "max": ms } } });
            stack.set_faults(service, latency(1_500)).await;
            let request = stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction");
            let body = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
            let request = with_json(request, body).header("X-Forwarded-Prefix", "/orchestrator");
            let answer = send(request).await.expect(202);
            let body = answer.json();
            assert_eq!(body["status"], "PENDING", "{service}");
            let id = body["transaction_id"].as_str().unwrap();
            let location = format!("/orchestrator/saga/status/{id}");
            assert_eq!(answer.header("location"), Some(location.as_str()));
            let pending = status(stack, &body["transaction_id"]).await;
            assert_eq!((&pending["status"], &pending["completed_at"]), (&json!("PENDING"), &json!(null)));
            assert_eq!(states(&pending).len(), 4, "steps to come included");
            stack.set_faults(service, latency(0)).await;
            wait_until("the saga is completed", PATIENCE, async || {
                (status(stack, &body["transaction_id"]).await["status"] == "COMPLETED").then_some(())
            })
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_no_number_is_not_found_without_asking_for_it() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        // It would be asked in vain.
        stack.stop("catalog").await;
        for product in ["random", ".", "..", "1/../random", "1?x", "-1", "1.0", "\u{661}", "9223372036854775808"] {
            let answer = buy(stack, json!({ "user_id": "u", "product_id": product, "amount": 5 })).await.expect(409);
            let body = answer.json();
            assert_eq!(body["status"], "COMPENSATED", "{product}");
            let expected = format!("404: catalog conflict: Product {product} not found");
            assert_eq!(
                body["details"],
                json!({ "user_id": "u", "product_id": null, "payment_id": null, "error": expected })
            );
            let status = status(stack, &body["transaction_id"]).await;
            assert_eq!((&status["status"], &status["error_message"]), (&json!("COMPENSATED"), &json!(expected)));
        }
        let payments = stack.database("payments").await;
        assert_eq!(payments.number("select count(*) from app_payment", &[]).await, 0);
    })
    .await;
}
