//! Sagas whose actors die, and sagas whose processes do.

use serde_json::json;
use tests::{PATIENCE, Stack, StackOptions, problem::assert_problem, stack::ORCHESTRATOR, wait_until, with_stack};

use super::{all_ended, plant_orphans, start};

#[tokio::test(flavor = "multi_thread")]
async fn sagas_outlive_any_number_of_processes_while_a_participant_is_away() {
    let options = StackOptions::default()
        .set("orchestrator.node_id", "the-node")
        .set("orchestrator.max_claims", 2)
        .set("retry.action.attempts", 1_000_000)
        .set("orchestrator.deadline_ms", 3_600_000);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        stack.crash("payments").await;
        for user in 0..3 {
            start(stack, &format!("user-{user}")).await;
        }
        for epoch in 2..6 {
            stack.crash(ORCHESTRATOR).await;
            stack.start_again(ORCHESTRATOR).await;
            wait_until("the new process has all of them", PATIENCE, async || {
                let taken = saga_log.number("select count(*) from saga where epoch = $1", &[&epoch]).await;
                (taken == 3).then_some(())
            })
            .await;
        }
        stack.start_again("payments").await;
        all_ended(&saga_log).await;
        let unhurt = "select count(*) from saga where status = 'COMPLETED' and attention is null";
        assert_eq!(saga_log.number(unhurt, &[]).await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_actor_keeps_dying_is_left_to_a_person_alone_and_is_tried_again_on_retry() {
    let options =
        StackOptions::default().provoking_panics().set("orchestrator.sweep_ms", 300).set("orchestrator.max_claims", 2);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        let sagas = plant_orphans(&saga_log, "doomed", 3).await;
        // No version of this program counts that far: the next attempt overflows.
        let breaks = r#"[["choose","catalog","running",4294967295,null,null,null]]"#;
        let doom = "update saga set timeline = $2 where id = $1";
        saga_log.rows(doom, &[&sagas[1], &breaks]).await;
        let attention = async || {
            let rows = saga_log.rows("select attention from saga where id = $1", &[&sagas[1]]).await;
            rows[0].get::<_, Option<String>>(0)
        };
        let why = wait_until("it stands in attention", PATIENCE, attention).await;
        assert!(why.starts_with("its actor died 2 times: ") && why.contains("overflow"), "{why}");
        let sleeps = "
            select count(*) from saga
            where ended_at is null and wake_at between clock_timestamp() and clock_timestamp() + interval '1 minute'";
        assert_eq!(saga_log.number(sleeps, &[]).await, 1);
        wait_until("the others have ended", PATIENCE, async || {
            let ended = saga_log.number("select count(*) from saga where status = 'COMPLETED'", &[]).await;
            (ended == 2).then_some(())
        })
        .await;

        saga_log.rows(doom, &[&sagas[1], &"[]"]).await;
        stack.post(ORCHESTRATOR, &format!("/saga/{}/retry", sagas[1]), "{}").await.expect(202);
        all_ended(&saga_log).await;
        assert_eq!(attention().await, None, "an end clears the mark");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_waits_for_its_next_actor_is_turned_back_at_its_deadline() {
    let options =
        StackOptions::default().provoking_panics().set("orchestrator.sweep_ms", 300).set("orchestrator.max_claims", 1);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        let saga = plant_orphans(&saga_log, "late", 1).await[0];
        let breaks = r#"[["choose","catalog","running",4294967295,null,null,null]]"#;
        let doom = "
            update saga set timeline = $2, deadline_at = clock_timestamp() + interval '3 seconds' where id = $1";
        saga_log.rows(doom, &[&saga, &breaks]).await;
        // A minute is the shortest back-off, and longer than this waits.
        wait_until("it has turned back", PATIENCE / 2, async || {
            let turned = "select count(*) from saga where error = '408: Deadline passed' and status = 'COMPENSATED'";
            (saga_log.number(turned, &[]).await == 1).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_runs_forward_is_cancelled_before_it_can_be_resolved() {
    for attention in [None, Some("its actor died 2 times: a bug")] {
        with_stack(StackOptions::default(), async |stack: &Stack| {
            let saga_log = stack.database(ORCHESTRATOR).await;
            let holder = stack.new_connection(ORCHESTRATOR).await;
            holder.run("begin").await;
            let saga = plant_orphans(&holder, "forward", 1).await[0];
            let rests = "
                update saga
                set wake_at = clock_timestamp() + interval '1 hour', attention = $1::text,
                    attention_at = case when $1::text is not null then clock_timestamp() end";
            holder.rows(rests, &[&attention]).await;
            holder.run("commit").await;

            let resolve = async || {
                let note = json!({ "note": "settled by hand" });
                let answer = stack.post(ORCHESTRATOR, &format!("/saga/{saga}/resolve"), note).await;
                assert_problem(&answer, 409);
                assert_eq!(answer.json()["transaction_id"], saga.to_string());
                answer.json()["detail"].as_str().map(str::to_owned).expect("a detail")
            };
            let told = resolve().await;
            assert_eq!(told, "the saga runs forward, so there is nothing to settle yet: cancel it first");
            let untouched = "select count(*) from saga where status = 'PENDING' and resolved_at is null
                             and attention is not distinct from $1::text";
            assert_eq!(saga_log.number(untouched, &[&attention]).await, 1);

            stack.post(ORCHESTRATOR, &format!("/saga/{saga}/cancel"), "{}").await.expect(202);
            all_ended(&saga_log).await;
            assert_eq!(resolve().await, "the saga is COMPENSATED and not in the attention list");
        })
        .await;
    }
}
