//! Processes that die or are paused at the worst moment.

use reqwest::Method;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    http::send,
    interposer::{Act, Interposer},
    stack::ORCHESTRATOR,
    transactions, wait_until,
};
use tokio_util::sync::CancellationToken;

use super::{CHARGE, REFUND, arrived, ended, options, payments, start, with_interposer};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_between_a_participants_commit_and_its_own_write_charges_once() {
    with_interposer("payments", options(), async |stack: &Stack, link: &Interposer| {
        let never = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(never.clone()));
        let id = start(stack).await;
        wait_until("the payment is made", PATIENCE, async || (payments(stack, &id).await.len() == 1).then_some(()))
            .await;
        stack.crash(ORCHESTRATOR).await;
        stack.start_again(ORCHESTRATOR).await;
        let ended = ended(stack, &id).await;
        assert_eq!(ended["status"], "COMPLETED");
        assert_eq!(payments(stack, &id).await, ["success"]);
        assert!(link.arrived(CHARGE) >= 2, "the next process asked again");
        transactions::consistent(stack).await;
    })
    .await;
}

/// Where a saga that has turned back by its deadline is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    BeforeItsRefund,
    BetweenRefundAndEnd,
}

/// Brings a saga there: its payment made, its deadline passed, its turn written, its refund on its way.
async fn turned_back(stack: &Stack, link: &Interposer, at: At) -> (String, [CancellationToken; 2]) {
    let (reply, refund) = (CancellationToken::new(), CancellationToken::new());
    link.next(1, CHARGE, Act::HoldReply(reply.clone()));
    let hold = match at {
        At::BeforeItsRefund => Act::HoldRequest(refund.clone()),
        At::BetweenRefundAndEnd => Act::HoldReply(refund.clone()),
    };
    link.next(1, REFUND, hold);
    let id = start(stack).await;
    arrived(link, REFUND, 1).await;
    let expected = if at == At::BeforeItsRefund { "success" } else { "compensated" };
    wait_until("the payment stands so", PATIENCE, async || (payments(stack, &id).await == [expected]).then_some(()))
        .await;
    (id, [reply, refund])
}

fn short_deadline() -> StackOptions {
    options().set("orchestrator.deadline_ms", 500)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_turned_back_is_never_completed_by_who_comes_after_a_crash() {
    for at in [At::BeforeItsRefund, At::BetweenRefundAndEnd] {
        with_interposer("payments", short_deadline(), async |stack: &Stack, link: &Interposer| {
            let (id, held) = turned_back(stack, link, at).await;
            stack.crash(ORCHESTRATOR).await;
            stack.start_again(ORCHESTRATOR).await;
            let ended = ended(stack, &id).await;
            assert_eq!(
                (&ended["status"], &ended["error_message"]),
                (&json!("COMPENSATED"), &json!("408: Deadline passed"))
            );
            held.iter().for_each(CancellationToken::cancel);
            assert_eq!(payments(stack, &id).await, ["compensated"], "{at:?}");
            transactions::consistent(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_turned_back_is_never_completed_by_who_takes_over_from_a_paused_node() {
    for at in [At::BeforeItsRefund, At::BetweenRefundAndEnd] {
        let options = StackOptions::default()
            .set("orchestrator.deadline_ms", 500)
            .set("orchestrator.lease_ms", 1_000)
            .set("orchestrator.heartbeat_ms", 100);
        with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
            let (id, held) = turned_back(stack, link, at).await;
            stack.add_replica(ORCHESTRATOR).await;
            let [_, second] = stack.addresses_of(ORCHESTRATOR)[..] else { panic!("two of them") };
            let paused = stack.pause(ORCHESTRATOR).await;
            let path = format!("/saga/status/{id}");
            let ended = wait_until("the other node ends it", PATIENCE, async || {
                let answer = send(stack.request_at(Method::GET, second, &path)).await.expect(200).json();
                (!answer["completed_at"].is_null()).then_some(answer)
            })
            .await;
            assert_eq!(ended["status"], "COMPENSATED");
            // The held requests arrive, and the first owner wakes; it must change nothing.
            held.iter().for_each(CancellationToken::cancel);
            drop(paused);
            wait_until("both are healthy", PATIENCE, async || stack.is_healthy(ORCHESTRATOR).await.then_some(())).await;
            for address in stack.addresses_of(ORCHESTRATOR) {
                let now = send(stack.request_at(Method::GET, address, &path)).await.expect(200).json();
                assert_eq!(now, ended, "{at:?}");
            }
            assert_eq!(payments(stack, &id).await, ["compensated"]);
            transactions::consistent(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_replica_dies_can_ask_another_one() {
    let options = StackOptions::default().set("orchestrator.lease_ms", 1_000).set("orchestrator.heartbeat_ms", 100);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1, CHARGE, Act::HoldReply(CancellationToken::new()));
        let id = start(stack).await;
        arrived(link, CHARGE, 1).await;
        stack.add_replica(ORCHESTRATOR).await;
        let [_, second] = stack.addresses_of(ORCHESTRATOR)[..] else { panic!("two of them") };
        stack.crash(ORCHESTRATOR).await;
        let path = format!("/saga/status/{id}");
        let ended = wait_until("the other one ends it", PATIENCE, async || {
            let answer = send(stack.request_at(Method::GET, second, &path)).await.expect(200).json();
            (!answer["completed_at"].is_null()).then_some(answer)
        })
        .await;
        assert_eq!(ended["status"], "COMPLETED");
    })
    .await;
}
