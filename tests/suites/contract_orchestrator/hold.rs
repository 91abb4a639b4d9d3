//! A hold on all sagas: nothing begins, nothing is recovered, everything else is answered, at every node, until it is
//! released.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::{Answer, send},
    problem::assert_problem,
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};

use super::{buy, status};

const HELD: &str = "insert into saga_hold (reason) values ('restored from last night')";

fn order() -> Value {
    json!({ "user_id": "user-1", "product_id": 1, "amount": 10 })
}

/// Asks every node how it is.
async fn health(stack: &Stack) -> Vec<Answer> {
    let ask = |address| send(stack.request_at(Method::GET, address, "/health/"));
    join_all(stack.addresses_of(ORCHESTRATOR).into_iter().map(ask)).await
}

async fn wait_until_all_are_held(stack: &Stack) {
    wait_until("every node knows of the hold", PATIENCE, async || {
        let all = health(stack).await;
        all.iter().all(|answer| answer.json()["checks"]["hold"].is_string()).then_some(())
    })
    .await;
}

async fn release(stack: &Stack) -> Value {
    stack.post(ORCHESTRATOR, "/saga/release", "").await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nothing_goes_on_and_nothing_begins_at_any_node_until_the_release() {
    // A fixed node would take its own sagas back at once; a new one takes over once the lease of the old one has run out.
    for node in ["the-node", ""] {
        let options = StackOptions::default().set("orchestrator.node_id", node).set("orchestrator.lease_ms", 1_000);
        with_stack(options, async |stack: &Stack| {
            let before = buy(stack, order()).await.expect(200).json();
            stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 60_000, "max": 60_000 } } })).await;
            let request = stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction");
            let running = send(with_json(request.header("prefer", "respond-async"), order())).await.expect(202).json();
            let id = running["transaction_id"].clone();
            stack.crash(ORCHESTRATOR).await;
            stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 0, "max": 0 } } })).await;
            let log = stack.database(ORCHESTRATOR).await;
            log.run(HELD).await;
            stack.start_again(ORCHESTRATOR).await;
            if node.is_empty() {
                stack.add_replica(ORCHESTRATOR).await;
            }
            wait_until_all_are_held(stack).await;
            for answer in health(stack).await {
                assert_eq!(answer.status, 200, "it is reached by whoever releases it: {answer:?}");
                let health = answer.json();
                assert_eq!(health["status"], "healthy");
                assert!(health["checks"]["hold"].as_str().unwrap().ends_with(": restored from last night"), "{health}");
            }

            // Long enough for every node to have taken over, if any did.
            wait_until("what was alive is dead for a lease and more", PATIENCE, async || {
                let alive =
                    "select count(*) from node_lease where expires_at > clock_timestamp() - interval '2 seconds'";
                (log.number(alive, &[]).await == 0).then_some(())
            })
            .await;
            assert_eq!(log.number("select max(epoch)::bigint from saga", &[]).await, 1, "nobody has claimed anything");
            assert_eq!(status(stack, &id).await["status"], "PENDING");
            assert_eq!(status(stack, &before["transaction_id"]).await["status"], "COMPLETED", "it answers");

            for _ in 0..2 {
                let refused = buy(stack, order()).await;
                assert_problem(&refused, 503);
                assert_eq!(refused.header("retry-after"), Some("30"));
                assert!(refused.json()["detail"].as_str().unwrap().contains("on hold"), "{refused:?}");
            }
            assert_eq!(log.number("select count(*) from saga", &[]).await, 2, "nothing has begun");

            let released = release(stack).await;
            assert_eq!(released["released"], true);
            assert_eq!(released["reason"], "restored from last night");
            assert_eq!(release(stack).await, json!({ "released": false, "held_since": null, "reason": null }));
            wait_until("the saga has gone on to its end", PATIENCE, async || {
                (status(stack, &id).await["status"] == "COMPLETED").then_some(())
            })
            .await;
            wait_until("purchases begin again", PATIENCE, async || {
                (buy(stack, order()).await.status == 200).then_some(())
            })
            .await;
            assert!(health(stack).await.iter().all(|answer| answer.json()["checks"].is_null()));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_purchase_that_ended_is_answered_while_all_are_on_hold() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let with_key = || {
            let request = stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction");
            send(with_json(request.header("idempotency-key", "the-key"), order()))
        };
        let first = with_key().await.expect(200);
        stack.database(ORCHESTRATOR).await.run(HELD).await;
        wait_until_all_are_held(stack).await;
        let again = with_key().await.expect(200);
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        release(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_started_with_a_hold_puts_it_once() {
    with_stack(StackOptions::default().set("orchestrator.hold", true), async |stack: &Stack| {
        wait_until_all_are_held(stack).await;
        assert_problem(&buy(stack, order()).await, 503);
        assert_eq!(release(stack).await["released"], true);
        wait_until("purchases begin", PATIENCE, async || (buy(stack, order()).await.status == 200).then_some(())).await;
        // Many renewals later.
        let log = stack.database(ORCHESTRATOR).await;
        let renewed = "select (extract(epoch from expires_at) * 1000)::bigint from node_lease";
        let now = log.number(renewed, &[]).await;
        wait_until("the lease was renewed many times", PATIENCE, async || {
            (log.number(renewed, &[]).await > now + 2_000).then_some(())
        })
        .await;
        assert_eq!(log.number("select count(*) from saga_hold", &[]).await, 0);
        buy(stack, order()).await.expect(200);
    })
    .await;
}
