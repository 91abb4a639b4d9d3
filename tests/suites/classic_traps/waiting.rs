//! Participants that are down, and sagas that wait for them.

use tests::{
    PATIENCE, Stack,
    interposer::{Act, Interposer},
    stack::ORCHESTRATOR,
    wait_until,
};
use tokio_util::sync::CancellationToken;

use super::{CHARGE, ended, options, start, with_interposer};

#[tokio::test(flavor = "multi_thread")]
async fn sagas_park_while_a_participant_is_down_and_go_on_when_it_is_up() {
    let options = options()
        .set("participants.breaker_failures", 3)
        .set("participants.breaker_pause_ms", 100)
        // Few attempts: without parking they would be used up.
        .set("retry.action.attempts", 4)
        .set("retry.action.backoff_max_ms", 5);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(3, CHARGE, Act::Answer(503, "text/plain", "down"));
        let first = start(stack).await;
        let breaker = async || {
            let tree = stack.get(ORCHESTRATOR, "/debug/actors").await.expect(200).json();
            let children = tree["children"].as_array().expect("children").clone();
            let client = children
                .into_iter()
                .find(|child| child["name"].as_str().is_some_and(|name| name.ends_with("/payments-client")));
            client.expect("the client")["state"]["breakers"]["payments.charge"].as_str().expect("a state").to_owned()
        };
        wait_until("the breaker opens", PATIENCE, async || (breaker().await != "closed").then_some(())).await;
        let others: Vec<String> = {
            let mut ids = Vec::new();
            for _ in 0..20 {
                ids.push(start(stack).await);
            }
            ids
        };
        for id in others.iter().chain([&first]) {
            let ended = ended(stack, id).await;
            assert_eq!(ended["status"], "COMPLETED", "{ended}");
        }
        wait_until("the breaker is closed", PATIENCE, async || (breaker().await == "closed").then_some(())).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_makes_no_progress_is_counted_until_it_does() {
    let options = options().set("orchestrator.stalled_after_ms", 300);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        let stalled = async || {
            let tree = tests::actors::tree(stack, ORCHESTRATOR).await;
            tests::actors::named(&tree, "stall-watch").state["stalled"].as_u64().expect("a number")
        };
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(release.clone()));
        let id = start(stack).await;
        wait_until("it is called stalled", PATIENCE, async || (stalled().await == 1).then_some(())).await;
        release.cancel();
        assert_eq!(ended(stack, &id).await["status"], "COMPLETED");
        wait_until("nothing is stalled", PATIENCE, async || (stalled().await == 0).then_some(())).await;
    })
    .await;
}
