//! A service that is asked to stop: it finishes requests at work within its grace period, and then ends.

use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    database::Database,
    http::{send, try_send},
    operations::{OPERATIONS, Outcome},
    stack::new_transaction,
    wait_until, with_stack,
};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_finishes_what_is_at_work() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let database = &stack.settings.service(operation.service).database;
            let server = tests::cluster::server_url().await;
            let (blocker, watcher) =
                (Database::connect(server, database).await, Database::connect(server, database).await);
            // Holds the request in the ledger, in a state that the test can observe.
            blocker.run(&format!("begin; lock table {} in access exclusive mode", operation.table)).await;
            let id = new_transaction();
            let stop = async {
                wait_until("the request waits for the lock", PATIENCE, async || {
                    let blocked = "select count(*) from pg_stat_activity
                                    where datname = current_database() and wait_event_type = 'Lock'";
                    (watcher.number(blocked, &[]).await > 0).then_some(())
                })
                .await;
                let release = async {
                    wait_until("the service is stopping", PATIENCE, async || {
                        (!stack.is_healthy(operation.service).await).then_some(())
                    })
                    .await;
                    blocker.run("rollback").await;
                };
                futures::join!(stack.stop(operation.service), release);
            };
            let (answer, ()) = futures::join!(send(operation.action(stack, &id)), stop);
            operation.assert_outcome(&answer, &id, Outcome::Done);
            assert_eq!(operation.live(stack, &id).await, 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_cuts_what_outlasts_its_grace() {
    let options = StackOptions::default().set("http.drain_grace_ms", 100);
    with_stack(options, async |stack: &Stack| {
        for operation in &OPERATIONS {
            let endless = json!({ operation.action: { "latency_ms": { "min": 600_000, "max": 600_000 } } });
            stack.set_faults(operation.service, endless).await;
            let id = new_transaction();
            let request = timeout(PATIENCE, try_send(operation.action(stack, &id)));
            let (answer, ()) = futures::join!(request, stack.stop(operation.service));
            let answer = answer.unwrap_or_else(|_| panic!("{} left a client waiting", operation.service));
            // A 503 is as good as a cut connection: neither confirms the action.
            assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 503));
            assert_eq!(operation.rows(stack, &id).await, 0);
        }
    })
    .await;
}
