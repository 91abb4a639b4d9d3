//! Services that stop and restart under load.

use futures::future::join_all;
use serde_json::json;
use tests::{PATIENCE, Stack, StackOptions, stack::ORCHESTRATOR, transactions, wait_until, with_stack};

use super::{assert_answers_are_true, buy, buy_all, simple_order};

#[tokio::test(flavor = "multi_thread")]
async fn participants_may_restart_under_load_and_no_purchase_is_lost() {
    let options = StackOptions::default().set("retry.action.attempts", 30).set("http.drain_grace_ms", 1_000);
    with_stack(options, async |stack: &Stack| {
        let purchases = buy_all(stack, (0..400).map(simple_order), 16);
        let restart = async {
            for participant in domain_services::PARTICIPANTS {
                stack.restart(participant).await;
            }
        };
        let (answers, ()) = futures::join!(purchases, restart);
        let transactions = transactions::consistent(stack).await;
        assert_answers_are_true(&answers, &transactions);
        assert!(!transactions::with_status(&transactions, "COMPLETED").is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_orchestrator_goes_on_with_what_was_running() {
    const SAGAS: usize = 20;
    // A node with a fixed id resumes its sagas at once; a new one takes over after the old one's lease has expired.
    for node in ["the-node", ""] {
        let options = StackOptions::default()
            .set("orchestrator.node_id", node)
            .set("orchestrator.grace_ms", 0)
            .set("http.drain_grace_ms", 1_000);
        with_stack(options, async |stack: &Stack| {
            let latency = |ms: u32| json!({ "charge": { "latency_ms": { "min": ms, "max": ms } } });
            stack.set_faults("payments", latency(10_000)).await;
            let purchases = join_all((0..SAGAS).map(|number| buy(stack, simple_order(number))));
            let sagas = stack.database(ORCHESTRATOR).await;
            let restart = async {
                // Only such rows are ever suspected of having no actor.
                let not_new = "select count(*) from saga
                                where ended_at is null and created_at < clock_timestamp() - interval '1 second'";
                wait_until("all sagas are in the log, and not brand-new", PATIENCE, async || {
                    (sagas.number(not_new, &[]).await == SAGAS as i64).then_some(())
                })
                .await;
                stack.set_faults("payments", latency(0)).await;
                stack.restart(ORCHESTRATOR).await;
            };
            let (answers, ()) = futures::join!(purchases, restart);
            for answer in &answers {
                // The saga continues, and its client gets its address.
                let body = answer.clone().expect(202).json();
                let location = format!("/saga/status/{}", body["transaction_id"].as_str().unwrap());
                assert_eq!(answer.header("location"), Some(location.as_str()));
            }
            let transactions = transactions::consistent(stack).await;
            assert_answers_are_true(&answers, &transactions);
            assert_eq!(transactions::with_status(&transactions, "COMPLETED").len(), SAGAS);
            // Only one takeover: two actors of one saga would send every request twice.
            let taken_over = "select count(*) from saga where epoch = 2";
            assert_eq!(sagas.number(taken_over, &[]).await, SAGAS as i64);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_two_orchestrators_stops_the_other_one_goes_on_with_its_sagas() {
    const SAGAS: usize = 40;
    let options = StackOptions::default().set("orchestrator.grace_ms", 0).set("http.drain_grace_ms", 1_000);
    with_stack(options, async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        stack.set_faults("inventory", json!({ "decrease": { "latency_ms": { "min": 1_000, "max": 1_000 } } })).await;
        let purchases = join_all((0..SAGAS).map(|number| buy(stack, simple_order(number))));
        let sagas = stack.database(ORCHESTRATOR).await;
        let stop = async {
            wait_until("all sagas are in the log", PATIENCE, async || {
                let running = sagas.number("select count(*) from saga where ended_at is null", &[]).await;
                (running == SAGAS as i64).then_some(())
            })
            .await;
            let owners = "select count(distinct owner_incarnation) from saga";
            assert_eq!(sagas.number(owners, &[]).await, 2);
            stack.stop(ORCHESTRATOR).await;
        };
        let (answers, ()) = futures::join!(purchases, stop);
        let transactions = transactions::consistent(stack).await;
        assert_answers_are_true(&answers, &transactions);
        assert_eq!(transactions::with_status(&transactions, "COMPLETED").len(), SAGAS);
        assert!(answers.iter().any(|answer| answer.status == 202), "the one that stopped had sagas");
        assert_eq!(sagas.number("select count(distinct owner_incarnation) from saga", &[]).await, 1);
    })
    .await;
}
