//! The connection is lost while a commit is on its way: it may have happened, or not. No client is told either outcome,
//! and a client that asks again learns the truth.

use serde_json::json;
use tests::{
    Stack, StackOptions, cluster,
    operations::{OPERATIONS, Outcome},
    postgres_proxy::{
        Loss::{self, CommitLost, ReplyLost},
        PostgresProxy,
    },
    problem::assert_problem,
    stack::{ORCHESTRATOR, new_transaction},
    transactions, with_stack,
};

async fn with_proxy(test: impl AsyncFnOnce(&Stack, &PostgresProxy)) {
    let proxy = PostgresProxy::before(cluster::server_url().await);
    with_stack(StackOptions::default().on_server(&proxy.url), async |stack: &Stack| test(stack, &proxy).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_whose_commit_is_in_doubt_says_so_and_tells_the_truth_when_asked_again() {
    with_proxy(async |stack, proxy| {
        for operation in &OPERATIONS {
            let database = &stack.settings.service(operation.service).database;
            for loss in [CommitLost, ReplyLost] {
                let id = new_transaction();
                proxy.lose(database, loss, 0);
                let doubt = operation.act(stack, &id).await;
                assert_problem(&doubt, 503);
                assert_eq!(doubt.json()["transaction_id"], id);
                let detail = doubt.json()["detail"].to_string();
                assert!(detail.contains("not known whether"), "{detail}");
                let again = operation.act(stack, &id).await;
                operation.assert_outcome(&again, &id, Outcome::Done);
                assert_eq!(again.is_replayed(), loss == ReplyLost, "{} {loss:?}", operation.service);
                assert_eq!((operation.live(stack, &id).await, operation.rows(stack, &id).await), (1, 1));

                proxy.lose(database, loss, 0);
                assert_problem(&operation.compensate(stack, &id).await, 503);
                let again = operation.compensate(stack, &id).await;
                operation.assert_outcome(&again, &id, Outcome::Compensated);
                assert_eq!(operation.live(stack, &id).await, 0);
            }
        }
    })
    .await;
}

/// Buys once for each commit of a saga that can be lost, in both ways, and checks answers and databases.
async fn buy_with_losses(status: &str, commits: usize, proxy: &PostgresProxy, stack: &Stack) {
    let database = &stack.settings.service(ORCHESTRATOR).database;
    let losses = (0..commits).flat_map(|pass| [(CommitLost, pass), (ReplyLost, pass)]);
    for (loss, pass) in losses {
        proxy.lose(database, loss, pass);
        let body = json!({ "user_id": format!("{loss:?}-{pass}"), "product_id": 1, "amount": 10 });
        let answer = stack.post(ORCHESTRATOR, "/saga/transaction", body).await;
        assert!(!proxy.is_armed(database), "a saga that is {status} has no commit number {pass}");
        // Written again until it is known, so the client waits, and gets the end.
        assert_eq!(answer.json()["status"], status, "{loss:?} of commit {pass}: {}", answer.text);
    }
    let transactions = transactions::consistent(stack).await;
    assert!(transactions.values().all(|entry| entry.status == status), "{transactions:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_completed_once_whichever_commit_of_its_saga_is_lost() {
    // The saga, and its end.
    with_proxy(async |stack, proxy| buy_with_losses("COMPLETED", 2, proxy, stack).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_reverted_once_whichever_commit_of_its_saga_is_lost() {
    // The saga, its turn, and its end.
    with_proxy(async |stack, proxy| {
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        buy_with_losses("COMPENSATED", 3, proxy, stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_ends_well_whichever_commit_of_a_participant_is_lost() {
    with_proxy(async |stack, proxy| {
        let mut purchases = 0;
        for operation in &OPERATIONS {
            for loss in [CommitLost, ReplyLost] as [Loss; 2] {
                proxy.lose(&stack.settings.service(operation.service).database, loss, 0);
                let body = json!({ "user_id": format!("{loss:?}"), "product_id": 1, "amount": 10 });
                stack.post(ORCHESTRATOR, "/saga/transaction", body).await.expect(200);
                purchases += 1;
            }
        }
        let transactions = transactions::consistent(stack).await;
        assert_eq!(transactions::with_status(&transactions, "COMPLETED").len(), purchases);
    })
    .await;
}
