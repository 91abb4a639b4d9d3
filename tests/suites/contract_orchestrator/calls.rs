//! Tokens and marks: the callers of the orchestrator, and how the orchestrator calls the others.

use reqwest::Method;
use serde_json::json;
use tests::{
    Stack, StackOptions, http::send, problem::assert_problem, stack::ORCHESTRATOR, stack::with_json, transactions,
    with_stack,
};

use super::buy;

#[tokio::test(flavor = "multi_thread")]
async fn where_an_api_token_is_set_clients_need_it() {
    let options = StackOptions::default().set("auth.api_token", "client");
    with_stack(options, async |stack: &Stack| {
        let buy = || {
            let request = stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction");
            with_json(request, json!({ "user_id": "u", "product_id": 1, "amount": 5 }))
        };
        assert_problem(&send(buy()).await, 401);
        assert_problem(&send(buy().bearer_auth("other")).await, 403);
        send(buy().bearer_auth("client")).await.expect(200);
        stack.get(ORCHESTRATOR, "/health/").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_service_token_is_set_the_orchestrator_sends_it() {
    let options = StackOptions::default().set("auth.service_token", "service");
    with_stack(options, async |stack: &Stack| {
        buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 })).await.expect(200);
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 })).await.expect(409);
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_saga_are_marked_in_the_journals() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let body = buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 })).await.expect(200).json();
        let id = body["transaction_id"].as_str().unwrap();
        for (service, step) in [("payments", "charge"), ("inventory", "decrease"), ("purchases", "create")] {
            let journal = stack.get(service, &format!("/journal/{id}/")).await.expect(200).json();
            let entry = &journal["entries"][0];
            assert_eq!(
                (&entry["from_saga"], &entry["step"], &entry["attempt"]),
                (&json!(true), &json!(step), &json!(1))
            );
        }
    })
    .await;
}
