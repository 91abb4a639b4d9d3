//! The shown history of a purchase whose orchestrator died in the middle of it: the knowledge of earlier owners stays,
//! and everything else is shown as unknown.

use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::send,
    interposer::{Act, Interposer},
    stack::ORCHESTRATOR,
    transactions, wait_until,
};
use tokio_util::sync::CancellationToken;

use super::{
    CHARGE, REFUND, arrived, buy, ended, id, options, payments, refusing_purchases, start, status, with_interposer,
};

fn states(status: &Value) -> Vec<&str> {
    let steps = status["steps"].as_array().expect("the steps");
    steps.iter().map(|step| step["state"].as_str().expect("a state")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_was_taken_and_a_step_that_was_refused_show_as_such_after_a_crash() {
    with_interposer("payments", refusing_purchases(), async |stack: &Stack, link: &Interposer| {
        let release = CancellationToken::new();
        link.next(2, REFUND, Act::HoldRequest(release.clone()));
        let id = start(stack).await;
        arrived(link, REFUND, 1).await;
        stack.crash(ORCHESTRATOR).await;
        stack.start_again(ORCHESTRATOR).await;
        arrived(link, REFUND, 2).await;
        let meanwhile = status(stack, &id).await;
        assert_eq!(meanwhile["status"], "COMPENSATING");
        assert_eq!(states(&meanwhile), ["done", "compensating", "done", "refused"], "{meanwhile:#}");
        assert_eq!(meanwhile["inventory_updated"], true);
        release.cancel();
        let ended = ended(stack, &id).await;
        assert_eq!(states(&ended), ["done", "compensated", "done", "refused"], "{ended:#}");
        assert_eq!(ended["inventory_updated"], true);
        assert_eq!(ended["turned_back_because"], "409: purchases conflict: CONFLICT");
        assert_eq!(ended["stuck_because"], Value::Null);
        // The cancel of the refused purchase was a precaution, and shows as one.
        assert_eq!(ended["steps"][3]["compensation"]["attempts"], 1);
        // A new process under the same name has written over the lease of the one before.
        let takeovers = ended["takeovers"].as_array().unwrap();
        assert_eq!(takeovers.len(), 1, "{ended:#}");
        assert_eq!((&takeovers[0]["node"], &takeovers[0]["epoch"]), (&json!("trap"), &json!(2)));
        assert_eq!(takeovers[0]["unowned_ms"], Value::Null);
        let inspected = stack.get(ORCHESTRATOR, &format!("/saga/{id}/inspect")).await.expect(200).json();
        assert_eq!(inspected["log"]["takeovers"], ended["takeovers"]);
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_never_ran_do_not_show_as_undone_after_a_crash() {
    with_interposer("payments", options(), async |stack: &Stack, link: &Interposer| {
        let (charge, refund) = (CancellationToken::new(), CancellationToken::new());
        link.next(1, CHARGE, Act::HoldRequest(charge.clone()));
        link.next(1, REFUND, Act::HoldRequest(refund.clone()));
        let id = start(stack).await;
        arrived(link, CHARGE, 1).await;
        stack.post(ORCHESTRATOR, &format!("/saga/{id}/cancel"), "{}").await.expect(202);
        arrived(link, REFUND, 1).await;
        stack.crash(ORCHESTRATOR).await;
        stack.start_again(ORCHESTRATOR).await;
        let ended = ended(stack, &id).await;
        assert_eq!(states(&ended), ["done", "pending", "pending", "pending"], "{ended:#}");
        assert_eq!(
            (&ended["status"], &ended["payment_id"], &ended["inventory_updated"]),
            (&json!("COMPENSATED"), &Value::Null, &json!(false))
        );
        assert_eq!(ended["turned_back_because"], "409: Cancelled");
        charge.cancel();
        refund.cancel();
        wait_until("the late charge is refused", PATIENCE, async || {
            link.passed().iter().any(|passed| passed.status == Some(409)).then_some(())
        })
        .await;
        assert_eq!(status(stack, &id).await, ended);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_taken_unheard_is_named_by_its_refund() {
    let options = options()
        .set("participants.connect_timeout_ms", 300)
        .set("participants.timeout_ms", 300)
        .set("retry.action.attempts", 1);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1, CHARGE, Act::HoldReply(CancellationToken::new()));
        let answer = buy(stack).await.expect(409);
        let ended = status(stack, &id(&answer)).await;
        assert_eq!(states(&ended), ["done", "compensated", "pending", "pending"], "{ended:#}");
        assert_eq!(payments(stack, &id(&answer)).await, ["compensated"]);
        assert!(answer.json()["details"]["payment_id"].is_string(), "{}", answer.text);
        assert_eq!(ended["payment_id"], answer.json()["details"]["payment_id"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_may_have_done_is_not_known_until_it_is_asked_again() {
    let options = StackOptions::default().set("orchestrator.lease_ms", 1_000).set("orchestrator.heartbeat_ms", 100);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        let release = CancellationToken::new();
        link.next(2, CHARGE, Act::HoldReply(release.clone()));
        let id = start(stack).await;
        arrived(link, CHARGE, 1).await;
        stack.add_replica(ORCHESTRATOR).await;
        let [_, second] = stack.addresses_of(ORCHESTRATOR)[..] else { panic!("two of them") };
        stack.crash(ORCHESTRATOR).await;
        arrived(link, CHARGE, 2).await;
        let path = format!("/saga/status/{id}");
        let status = async || send(stack.request_at(reqwest::Method::GET, second, &path)).await.expect(200).json();
        let meanwhile = status().await;
        assert_eq!(states(&meanwhile), ["done", "running", "unknown", "unknown"], "{meanwhile:#}");
        assert_eq!(meanwhile["inventory_updated"], Value::Null);
        release.cancel();
        let ended = wait_until("the other one ends it", PATIENCE, async || {
            Some(status().await).filter(|status| !status["completed_at"].is_null())
        })
        .await;
        assert_eq!(states(&ended), ["done"; 4], "{ended:#}");
        assert_eq!(ended["inventory_updated"], true);
        let [takeover] = &ended["takeovers"].as_array().unwrap()[..] else { panic!("{ended:#}") };
        assert!(takeover["node"].as_str().is_some_and(|node| node.starts_with("node-")), "{takeover}");
        assert_eq!(takeover["epoch"], 2);
        assert!(takeover["unowned_ms"].as_i64().is_some_and(|ms| ms >= 0), "{takeover}");
        let listed = send(stack.request_at(reqwest::Method::GET, second, "/saga/transactions")).await.json();
        assert_eq!(listed["transactions"][0], ended, "memory, row and list tell the same");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_purchase_turned_back_and_why_it_is_stuck_are_two_things() {
    let options = refusing_purchases()
        .set("orchestrator.attention_after_attempts", 2)
        .set("retry.compensation.backoff_min_ms", 1)
        .set("retry.compensation.backoff_max_ms", 50)
        .set("participants.breaker_failures", 1_000_000);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1_000_000, REFUND, Act::Answer(503, "text/plain", "later"));
        let id = start(stack).await;
        let log = stack.database(ORCHESTRATOR).await;
        wait_until("it has slept and been woken a few times", PATIENCE, async || {
            (log.number("select epoch::bigint from saga", &[]).await > 3).then_some(())
        })
        .await;
        let stuck = status(stack, &id).await;
        assert_eq!(stuck["status"], "FAILED");
        assert_eq!(stuck["turned_back_because"], "409: purchases conflict: CONFLICT");
        assert_eq!(stuck["error_message"], stuck["turned_back_because"]);
        assert_eq!(stuck["stuck_because"], "charge is not undone: payments answered 503");
        assert_eq!(states(&stuck), ["done", "compensating", "done", "refused"], "{stuck:#}");
        assert_eq!(stuck["takeovers"], json!([]), "a process that wakes its own saga takes nothing over");
        link.let_pass();
        let ended = ended(stack, &id).await;
        assert_eq!((&ended["status"], &ended["stuck_because"]), (&json!("COMPENSATED"), &Value::Null));
        assert_eq!(states(&ended), ["done", "compensated", "done", "refused"], "{ended:#}");
    })
    .await;
}
