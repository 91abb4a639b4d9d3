//! Every operation of a transaction is decided once (contract, section 2.5).

use reqwest::RequestBuilder;
use serde_json::json;
use tests::{
    Stack, StackOptions,
    http::send,
    operations::{OPERATIONS, Operation, Outcome},
    problem::assert_problem,
    stack::new_transaction,
    with_stack,
};

/// Runs a test on each operation, all on one stack.
async fn each_operation(test: impl AsyncFn(&Stack, &Operation)) {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            test(stack, operation).await;
        }
    })
    .await;
}

async fn refuse(stack: &Stack, operation: &Operation, failure_rate: f64) {
    let faults = json!({ operation.action: { "failure_rate": failure_rate } });
    stack.set_faults(operation.service, faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_action_gives_the_first_answer_again_and_happens_once() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        let first = operation.act(stack, &id).await;
        operation.assert_outcome(&first, &id, Outcome::Done);
        assert!(!first.is_replayed());
        for _ in 0..2 {
            let again = operation.act(stack, &id).await;
            assert_eq!((again.status, &again.text), (first.status, &first.text));
            assert!(again.is_replayed());
        }
        assert_eq!(operation.rows(stack, &id).await, 1);
    })
    .await;
}

/// Marks a request as the first attempt of a saga, for which normally nothing is recorded.
fn as_first_attempt(request: RequestBuilder, id: &str) -> RequestBuilder {
    request.header("saga-id", id).header("saga-attempt", "1").header("saga-epoch", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_attempt_that_comes_twice_or_too_late_is_found_out() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        let deliver = async || send(as_first_attempt(operation.action(stack, &id), &id)).await;
        let (first, at_once) = futures::join!(deliver(), deliver());
        let later = deliver().await;
        for answer in [&first, &at_once, &later] {
            operation.assert_outcome(answer, &id, Outcome::Done);
            assert_eq!(answer.text, first.text);
        }
        assert!(later.is_replayed() && first.is_replayed() != at_once.is_replayed());
        assert_eq!((operation.rows(stack, &id).await, operation.live(stack, &id).await), (1, 1));

        let id = new_transaction();
        let undone = operation.compensate(stack, &id).await;
        assert_eq!(undone.status, 200, "{}", undone.text);
        let late = send(as_first_attempt(operation.action(stack, &id), &id)).await;
        assert_eq!(late.status, 409, "{}", late.text);
        assert_eq!(operation.live(stack, &id).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_repeated_too_although_the_coin_would_fall_otherwise_now() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        refuse(stack, operation, 1.0).await;
        let first = operation.act(stack, &id).await;
        operation.assert_outcome(&first, &id, Outcome::Refused);
        assert!(!first.is_replayed());
        refuse(stack, operation, 0.0).await;
        let again = operation.act(stack, &id).await;
        operation.assert_outcome(&again, &id, Outcome::Refused);
        assert_eq!(again.text, first.text);
        assert!(again.is_replayed());
        assert_eq!(operation.live(stack, &id).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_contents_in_other_words_are_a_repeat() {
    each_operation(async |stack, operation| {
        for first_body in operation.same() {
            let id = new_transaction();
            let first = send(operation.action_with(stack, &id, first_body)).await;
            operation.assert_outcome(&first, &id, Outcome::Done);
            for body in operation.same() {
                let again = send(operation.action_with(stack, &id, body)).await;
                assert_eq!((again.status, &again.text), (200, &first.text), "{body}");
                assert!(again.is_replayed());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_contents_under_the_same_transaction_are_422_and_nothing_happens() {
    each_operation(async |stack, operation| {
        for failure_rate in [0.0, 1.0] {
            refuse(stack, operation, failure_rate).await;
            let id = new_transaction();
            let first = operation.act(stack, &id).await;
            for body in operation.other() {
                let other = send(operation.action_with(stack, &id, body)).await;
                assert_problem(&other, 422);
            }
            let again = operation.act(stack, &id).await;
            assert_eq!((again.status, again.text), (first.status, first.text));
            assert_eq!(operation.live(stack, &id).await, 1 - failure_rate as i64);
        }
        refuse(stack, operation, 0.0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_undoes_once_and_is_confirmed_every_time() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        operation.act(stack, &id).await.expect(200);
        assert_eq!(operation.live(stack, &id).await, 1);
        let first = operation.compensate(stack, &id).await;
        operation.assert_outcome(&first, &id, Outcome::Compensated);
        assert_eq!(operation.live(stack, &id).await, 0);
        for _ in 0..2 {
            let again = operation.compensate(stack, &id).await;
            assert_eq!((again.status, &again.text), (200, &first.text));
        }
        assert_eq!(operation.live(stack, &id).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_after_its_compensation_is_refused_whatever_its_contents() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        let done = operation.act(stack, &id).await.expect(200).json();
        operation.compensate(stack, &id).await.expect(200);
        for body in operation.same().iter().chain(operation.other()) {
            let late = send(operation.action_with(stack, &id, body)).await;
            assert_eq!(late.status, 409, "{body}: {}", late.text);
            assert!(late.is_recorded_refusal(), "{body}");
            assert_eq!(late.json()["status"], "error");
            if operation.service == "payments" {
                assert_eq!(late.json()["payment_id"], done["payment_id"], "{body}");
            }
        }
        assert_eq!(operation.live(stack, &id).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_that_comes_first_forbids_the_action_for_ever() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        let first = operation.compensate(stack, &id).await;
        operation.assert_outcome(&first, &id, Outcome::NothingToCompensate);
        for body in operation.same().iter().chain(operation.other()) {
            let late = send(operation.action_with(stack, &id, body)).await;
            assert_eq!(late.status, 409, "{body}: {}", late.text);
            assert!(late.is_recorded_refusal(), "{body}");
            assert!(late.json()["payment_id"].is_null(), "{body}");
        }
        let again = operation.compensate(stack, &id).await;
        assert_eq!((again.status, again.text), (200, first.text));
        assert_eq!(operation.rows(stack, &id).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_of_a_refused_action_is_confirmed_and_changes_nothing() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        refuse(stack, operation, 1.0).await;
        operation.act(stack, &id).await.expect(409);
        refuse(stack, operation, 0.0).await;
        let rows = operation.rows(stack, &id).await;
        let compensated = operation.compensate(stack, &id).await;
        operation.assert_outcome(&compensated, &id, Outcome::NothingToCompensate);
        assert_eq!(operation.rows(stack, &id).await, rows);
        let late = operation.act(stack, &id).await.expect(409);
        assert!(late.is_recorded_refusal());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_that_fails_is_503_and_can_be_tried_again() {
    each_operation(async |stack, operation| {
        let id = new_transaction();
        operation.act(stack, &id).await.expect(200);
        let broken = json!({ operation.compensation: { "failure_rate": 1.0 } });
        stack.set_faults(operation.service, broken).await;
        let failed = operation.compensate(stack, &id).await;
        assert_problem(&failed, 503);
        assert!(failed.header("retry-after").is_some());
        assert_eq!(operation.live(stack, &id).await, 1);
        let mended = json!({ operation.compensation: { "failure_rate": 0.0 } });
        stack.set_faults(operation.service, mended).await;
        let compensated = operation.compensate(stack, &id).await;
        operation.assert_outcome(&compensated, &id, Outcome::Compensated);
        assert_eq!(operation.live(stack, &id).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_outlive_a_restart_of_the_service() {
    each_operation(async |stack, operation| {
        let [done, refused, undone, tombstone] = std::array::from_fn(|_| new_transaction());
        let answers = [operation.act(stack, &done).await.expect(200), {
            refuse(stack, operation, 1.0).await;
            operation.act(stack, &refused).await.expect(409)
        }];
        refuse(stack, operation, 0.0).await;
        operation.act(stack, &undone).await.expect(200);
        let compensations = [
            operation.compensate(stack, &undone).await.expect(200),
            operation.compensate(stack, &tombstone).await.expect(200),
        ];
        let service = domain_services::PARTICIPANTS.into_iter().find(|name| *name == operation.service);
        stack.restart(service.expect("the operation belongs to a participant")).await;

        for (id, before) in [&done, &refused].into_iter().zip(answers) {
            let again = operation.act(stack, id).await;
            assert_eq!((again.status, &again.text), (before.status, &before.text));
            assert!(again.is_replayed());
            assert_eq!(again.is_recorded_refusal(), before.is_recorded_refusal());
        }
        for (id, before) in [&undone, &tombstone].into_iter().zip(compensations) {
            let again = operation.compensate(stack, id).await;
            assert_eq!((again.status, again.text), (200, before.text));
            assert!(operation.act(stack, id).await.expect(409).is_recorded_refusal());
        }
        for (id, live) in [(&done, 1), (&refused, 0), (&undone, 0), (&tombstone, 0)] {
            assert_eq!(operation.live(stack, id).await, live, "{}", operation.service);
        }
    })
    .await;
}
