//! A participant's entries of a transaction: `GET /journal/{transaction_id}/`.

use domain_services::PARTICIPANTS;
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions, assert_shape, http::send, operations::OPERATIONS, stack::new_transaction, with_stack,
};

async fn journal(stack: &Stack, service: &str, id: &str) -> Value {
    stack.get(service, &format!("/journal/{id}/")).await.expect(200).json()
}

/// The entry of a request that did not come from a saga.
fn entry(operation: &str, status: u16, reply: &Value) -> Value {
    json!({
        "operation": operation, "status": status, "reply": reply, "decided_at": "<time>",
        "from_saga": false, "step": null, "attempt": null, "epoch": null, "tombstone": false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_shows_decisions_in_their_order_with_the_exact_replies() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let id = new_transaction();
            let done = operation.act(stack, &id).await.expect(200).json();
            let undone = operation.compensate(stack, &id).await.expect(200).json();
            let expected = json!({ "transaction_id": id, "entries": [
                entry(operation.action, 200, &done),
                entry(operation.compensation, 200, &undone),
            ]});
            assert_shape(&journal(stack, operation.service, &id).await, &expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_shows_a_tombstone_for_what_was_compensated_before_it_came() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let id = new_transaction();
            let undone = operation.compensate(stack, &id).await.expect(200).json();
            let journal = journal(stack, operation.service, &id).await;
            let entries = journal["entries"].as_array().expect("a list");
            let found = |name| entries.iter().find(|entry| entry["operation"] == name);
            let tombstone = found(operation.action).expect("the action is there");
            assert_eq!((&tombstone["tombstone"], &tombstone["status"]), (&json!(true), &json!(409)));
            let compensation = found(operation.compensation).expect("the compensation is there");
            assert_shape(compensation, &entry(operation.compensation, 200, &undone));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_tells_which_saga_step_asked() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let id = new_transaction();
            let request = operation.action(stack, &id);
            let request = request.header("Saga-Id", &id).header("Saga-Step", operation.action);
            send(request.header("Saga-Attempt", "2")).await.expect(200);
            let journal = journal(stack, operation.service, &id).await;
            let entry = &journal["entries"][0];
            assert_eq!(entry["from_saga"], true);
            assert_eq!(entry["step"], operation.action);
            assert_eq!(entry["attempt"], 2);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_nobody_heard_of_has_an_empty_journal() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for service in PARTICIPANTS {
            let id = new_transaction();
            let expected = json!({ "transaction_id": id, "entries": [] });
            assert_eq!(journal(stack, service, &id).await, expected, "{service}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_service_token_is_set_journals_and_writes_need_it() {
    let options = StackOptions::default().set("auth.service_token", "the-service-token");
    with_stack(options, async |stack: &Stack| {
        for operation in &OPERATIONS {
            let id = new_transaction();
            let journal = format!("/journal/{id}/");
            let requests = || {
                [
                    operation.action(stack, &id),
                    operation.compensation(stack, &id),
                    stack.request(reqwest::Method::GET, operation.service, &journal),
                ]
            };
            for request in requests() {
                let answer = send(request).await;
                tests::problem::assert_problem(&answer, 401);
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            }
            for request in requests() {
                tests::problem::assert_problem(&send(request.bearer_auth("another")).await, 403);
            }
            assert_eq!(operation.rows(stack, &id).await, 0);
            for request in requests() {
                send(request.bearer_auth("the-service-token")).await.expect(200);
            }
        }
    })
    .await;
}
