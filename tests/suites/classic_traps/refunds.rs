//! Refunds that come too early, fail for a while, or fail for good.

use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack,
    interposer::{Act, Interposer},
    problem::assert_problem,
    shape::assert_shape,
    stack::ORCHESTRATOR,
    transactions, wait_until,
};
use tokio_util::sync::CancellationToken;

use super::{
    CHARGE, REFUND, arrived, buy, ended, id, options, payments, refusing_purchases, start, status, with_interposer,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_overtakes_its_payment_forbids_it() {
    let options = options()
        .set("participants.connect_timeout_ms", 300)
        .set("participants.timeout_ms", 300)
        .set("retry.action.attempts", 1);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldRequest(release.clone()));
        let answer = buy(stack).await.expect(409);
        assert_eq!(answer.json()["details"]["error"], "504: Timeout while communicating with payments");
        assert_eq!(payments(stack, &id(&answer)).await, Vec::<String>::new());
        // Now the payment comes.
        release.cancel();
        let late = wait_until("the late payment is answered", PATIENCE, async || {
            link.passed().into_iter().find(|passed| passed.what.ends_with("POST /payments/"))
        })
        .await;
        assert_eq!(late.status, Some(409));
        assert!(!payments(stack, &id(&answer)).await.contains(&"success".to_owned()));
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_five_times_is_compensating_until_it_is_confirmed() {
    with_interposer("payments", refusing_purchases(), async |stack: &Stack, link: &Interposer| {
        let last = CancellationToken::new();
        link.next(5, REFUND, Act::Answer(500, "text/html", "<h1>Internal Server Error</h1>"));
        link.next(1, REFUND, Act::HoldRequest(last.clone()));
        let id = start(stack).await;
        arrived(link, REFUND, 6).await;
        let standing = status(stack, &id).await;
        assert_eq!(standing["status"], "COMPENSATING");
        assert_eq!(standing["completed_at"], Value::Null);
        last.cancel();
        let ended = ended(stack, &id).await;
        assert_eq!(ended["status"], "COMPENSATED");
        assert_eq!(ended["steps"][1]["compensation"]["attempts"], 6);
        assert_eq!(payments(stack, &id).await, ["compensated"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_for_good_is_failed_until_a_person_says_retry() {
    let options = refusing_purchases()
        .set("orchestrator.attention_after_attempts", 3)
        .set("retry.compensation.backoff_min_ms", 1)
        // It sleeps this long: the test ends before that unless it is woken.
        .set("retry.failed.backoff_min_ms", 3_600_000)
        .set("retry.failed.backoff_max_ms", 3_600_000);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1_000, REFUND, Act::Answer(500, "text/plain", "no"));
        let failed = buy(stack).await.expect(502);
        assert_eq!(failed.json()["status"], "FAILED");
        let id = id(&failed);
        let list = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(list["total"], 1, "{list}");
        let entry = &list["transactions"][0];
        assert_eq!(entry["transaction_id"], id);
        assert_eq!(entry["attention"]["step"], "charge");
        assert_eq!(entry["attention"]["attempts"], 3);
        assert_eq!(entry["attention"]["last_error"], "payments answered 500");
        link.let_pass();
        for _ in 0..2 {
            let retried = stack.post(ORCHESTRATOR, &format!("/saga/{id}/retry"), "{}").await;
            // The second one may find that it has ended.
            assert!(matches!(retried.status, 202 | 409), "{retried:?}");
        }
        assert_eq!(ended(stack, &id).await["status"], "COMPENSATED");
        let list = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(list["total"], 0, "{list}");
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_settled_is_failed_for_ever_and_asked_no_more() {
    let options =
        refusing_purchases().set("orchestrator.attention_after_attempts", 2).set("retry.failed.backoff_max_ms", 20);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1_000_000, REFUND, Act::Answer(500, "text/plain", "no"));
        let id = id(&buy(stack).await.expect(502));
        let path = format!("/saga/{id}/resolve");
        assert_problem(&stack.post(ORCHESTRATOR, &path, "{}").await, 422);
        let first = stack.post(ORCHESTRATOR, &path, json!({ "note": "paid back by hand", "by": "grace" }));
        let first = first.await.expect(200);
        let again = stack.post(ORCHESTRATOR, &path, json!({ "note": "another word" })).await.expect(200);
        assert_eq!(first.text, again.text, "the first resolution stands");
        assert_eq!(first.json()["note"], "paid back by hand");
        assert_problem(&stack.post(ORCHESTRATOR, &path, json!({ "note": "n", "by": " " })).await, 422);
        let settled = json!({ "at": "<time>", "note": "paid back by hand", "by": "grace" });
        for path in [format!("/saga/status/{id}"), format!("/sagas/{id}")] {
            let saga = stack.get(ORCHESTRATOR, &path).await.expect(200).json();
            assert_shape(&saga["resolution"], &settled);
        }
        let standing = ended(stack, &id).await;
        assert_eq!(standing["status"], "FAILED");
        assert_problem(&stack.post(ORCHESTRATOR, &format!("/saga/{id}/retry"), "{}").await, 409);
        assert_problem(&stack.post(ORCHESTRATOR, &format!("/saga/{id}/cancel"), "{}").await, 409);
        let list = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(list["total"], 0, "{list}");
    })
    .await;
}
