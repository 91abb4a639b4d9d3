//! An undo that is broken for good: its sagas are FAILED and go on asking, and nothing else suffers.

use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    interposer::{Act, Interposer},
    stack::ORCHESTRATOR,
    transactions, wait_until,
};

use super::{REFUND, buy, ended, id, options, status, with_interposer};

/// Sagas whose refund is broken: more failures than open a breaker.
const BROKEN: usize = 8;

/// The state that the orchestrator's client of payments reports.
async fn client(stack: &Stack) -> Value {
    let tree = tests::actors::tree(stack, ORCHESTRATOR).await;
    tests::actors::named(&tree, "payments-client").state.clone()
}

async fn refuse_purchases(stack: &Stack, rate: f64) {
    stack.set_faults("purchases", json!({ "create": { "failure_rate": rate } })).await;
}

/// Lets as many purchases turn back as are needed, whose refund is broken.
async fn break_refunds(stack: &Stack, link: &Interposer) -> Vec<String> {
    link.next(1_000_000, REFUND, Act::Answer(503, "text/plain", "out of order"));
    refuse_purchases(stack, 1.0).await;
    let mut failed = Vec::new();
    for _ in 0..BROKEN {
        failed.push(id(&buy(stack).await.expect(502)));
    }
    refuse_purchases(stack, 0.0).await;
    failed
}

/// Unless they are woken, FAILED sagas sleep longer than any test.
fn sleeping() -> StackOptions {
    options()
        .set("participants.breaker_failures", 3)
        .set("orchestrator.attention_after_attempts", 2)
        .set("retry.failed.backoff_min_ms", 3_600_000)
        .set("retry.failed.backoff_max_ms", 3_600_000)
}

/// Buys something that turns back, and whose refund is confirmed.
async fn buy_and_refund(stack: &Stack) {
    refuse_purchases(stack, 1.0).await;
    buy(stack).await.expect(409);
    refuse_purchases(stack, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_broken_stops_no_purchase() {
    let options = options()
        .set("participants.breaker_failures", 3)
        // One breaker for all that payments does would stay open.
        .set("participants.breaker_pause_ms", 3_600_000)
        .set("orchestrator.attention_after_attempts", 2)
        .set("orchestrator.attention_after_ms", 500)
        .set("orchestrator.wait_limit_ms", 10_000);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        break_refunds(stack, link).await;
        let breakers = client(stack).await["breakers"].clone();
        assert_eq!(breakers, json!({ "payments.charge": "closed", "payments.refund": "open" }));
        for _ in 0..20 {
            buy(stack).await.expect(200);
        }
        assert_eq!(client(stack).await["breakers"], breakers);
        let metrics = stack.get(ORCHESTRATOR, "/metrics").await.expect(200).text;
        // The gauges are the whole program's, so another test may have set their values.
        for label in [r#"operation="payments.charge""#, r#"operation="payments.refund""#] {
            let mut gauges = metrics.lines().filter(|line| line.starts_with("ecommerce_participant_breaker_state{"));
            assert!(gauges.any(|line| line.contains(label)), "{label}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_works_again_ends_the_sagas_that_waited_for_it() {
    with_interposer("payments", sleeping(), async |stack: &Stack, link: &Interposer| {
        let failed = break_refunds(stack, link).await;
        link.let_pass();
        buy_and_refund(stack).await;
        for id in failed {
            assert_eq!(ended(stack, &id).await["status"], "COMPENSATED");
        }
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_own_refund_fails_is_woken_once_and_not_with_every_confirmation() {
    with_interposer("payments", sleeping(), async |stack: &Stack, link: &Interposer| {
        let stubborn = break_refunds(stack, link).await.remove(0);
        // A rule of the interposer lives as long as the test.
        let its_refund: &'static str = Box::leak(format!("{stubborn}/refund/").into_boxed_str());
        let mend_all_but_one = || {
            link.let_pass();
            link.next(1_000_000, its_refund, Act::Answer(503, "text/plain", "out of order"));
        };
        mend_all_but_one();
        let before = link.arrived(its_refund);
        buy_and_refund(stack).await;
        let marks = async || {
            let log = stack.database("orchestrator").await;
            let marks = "select failed_marks::bigint from saga where id = $1::text::uuid and wake_at is not null";
            log.rows(marks, &[&stubborn]).await.first().map(|row| row.get::<_, i64>(0))
        };
        wait_until("it has failed again", PATIENCE, async || (marks().await == Some(2)).then_some(())).await;
        let others = break_refunds(stack, link).await;
        mend_all_but_one();
        buy_and_refund(stack).await;
        for id in others {
            assert_eq!(ended(stack, &id).await["status"], "COMPENSATED");
        }
        assert_eq!(link.arrived(its_refund), before + 1, "it was woken once");
        assert_eq!(status(stack, &stubborn).await["status"], "FAILED");
    })
    .await;
}
