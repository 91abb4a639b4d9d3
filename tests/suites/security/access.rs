//! Tokens on whole purchases. Every route with every token, in each profile: the suite of the binary, `routes`.

use reqwest::Method;
use serde_json::json;
use tests::{
    Stack,
    http::send,
    problem::assert_problem,
    stack::{ORCHESTRATOR, with_json},
    with_stack,
};

use super::{API, OPERATOR, in_production, with_all_tokens};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_the_api_token_buys_and_cannot_write_past_the_saga() {
    with_stack(with_all_tokens(), async |stack: &Stack| {
        let buy = || {
            with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), r#"{"user_id":"u","amount":5}"#)
        };
        assert_problem(&send(buy()).await, 401);
        assert_problem(&send(buy().bearer_auth("wrong")).await, 403);
        let bought = send(buy().bearer_auth(API)).await.expect(200).json();
        assert_eq!(bought["status"], "COMPLETED");
        for operation in &tests::operations::OPERATIONS {
            let id = tests::stack::new_transaction();
            for request in [operation.action(stack, &id), operation.compensation(stack, &id)] {
                assert_problem(&send(request.bearer_auth(API)).await, 403);
            }
            assert_eq!(operation.rows(stack, &id).await, 0);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_failure_settings_change_only_where_that_is_enabled() {
    for (enabled, status) in [(false, 403), (true, 200)] {
        let options = in_production().set("faults.enabled", enabled).set("ui.services", true);
        with_stack(options, async |stack: &Stack| {
            let put = async |service: &str, path: &str, change: serde_json::Value| {
                let request = with_json(stack.request(Method::PUT, service, path), change);
                send(request.bearer_auth(OPERATOR)).await
            };
            let change = json!({ "charge": { "failure_rate": 1.0 } });
            let direct = put("payments", "/debug/faults", change.clone()).await.expect(status);
            let from_page = put(ORCHESTRATOR, "/ui/api/faults", json!({ "payments": change })).await.expect(status);
            for answer in [direct, from_page].into_iter().filter(|_| !enabled) {
                assert_problem(&answer, 403);
                assert!(answer.text.contains("faults.enabled"), "{}", answer.text);
            }
            let shown = stack.request(Method::GET, "payments", "/debug/faults").bearer_auth(OPERATOR);
            let rate = send(shown).await.expect(200).json()["charge"]["failure_rate"].as_f64();
            assert_eq!(rate, Some(if enabled { 1.0 } else { 0.0 }));
        })
        .await;
    }
}
