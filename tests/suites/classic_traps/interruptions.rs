//! Cancels and deadlines, wherever the saga is.

use reqwest::Method;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    http::send,
    interposer::{Act, Interposer},
    problem::assert_problem,
    stack::{ORCHESTRATOR, with_json},
    transactions, wait_until,
};
use tokio_util::sync::CancellationToken;

use super::{CHARGE, arrived, buy, ended, id, options, payments, start, status, with_interposer};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_interrupts_a_back_off() {
    let options = options()
        .set("retry.action.attempts", 100)
        .set("retry.action.backoff_min_ms", 3_600_000)
        .set("retry.action.backoff_max_ms", 3_600_000);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1_000, CHARGE, Act::Answer(503, "text/plain", "later"));
        let id = start(stack).await;
        wait_until("it backs off", PATIENCE, async || {
            (status(stack, &id).await["steps"][1]["state"] == "backing_off").then_some(())
        })
        .await;
        let cancel = format!("/saga/{id}/cancel");
        stack.post(ORCHESTRATOR, &cancel, "{}").await.expect(202);
        let ended = ended(stack, &id).await;
        assert_eq!(ended["status"], "COMPENSATED");
        assert_eq!(ended["error_message"], "409: Cancelled");
        assert_problem(&stack.post(ORCHESTRATOR, &cancel, "{}").await, 409);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_saga_that_another_node_runs() {
    let options = StackOptions::default();
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        stack.add_replica(ORCHESTRATOR).await;
        let [first, second] = stack.addresses_of(ORCHESTRATOR)[..] else { panic!("two of them") };
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(release.clone()));
        let body = json!({ "user_id": "ada", "amount": 5 });
        let request = with_json(stack.request_at(Method::POST, first, "/saga/transaction"), body);
        let id = id(&send(request.header("prefer", "respond-async")).await.expect(202));
        arrived(link, CHARGE, 1).await;
        let cancel = with_json(stack.request_at(Method::POST, second, &format!("/saga/{id}/cancel")), "{}");
        send(cancel).await.expect(202);
        let ended = ended(stack, &id).await;
        assert_eq!((&ended["status"], &ended["error_message"]), (&json!("COMPENSATED"), &json!("409: Cancelled")));
        release.cancel();
        assert_eq!(payments(stack, &id).await, ["compensated"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_during_a_call_turns_the_saga_back() {
    let options = options().set("orchestrator.deadline_ms", 500);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(release.clone()));
        let answer = buy(stack).await.expect(409);
        assert_eq!(answer.json()["details"]["error"], "408: Deadline passed");
        release.cancel();
        assert_eq!(payments(stack, &id(&answer)).await, ["compensated"]);
        transactions::consistent(stack).await;
    })
    .await;
}
