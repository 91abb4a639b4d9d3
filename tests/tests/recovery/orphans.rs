//! Rows without an actor.

use tests::{Stack, StackOptions, books, stack::ORCHESTRATOR, with_stack};

use super::{all_ended, plant_orphans};

/// Longer than any test.
const NEVER_MS: u64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_actor_are_found_although_nothing_hints_at_them() {
    let options = StackOptions::default().set("orchestrator.sweep_ms", 300).set("orchestrator.takeover_batch", 5);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        plant_orphans(&saga_log, "swept", 23).await;
        all_ended(&saga_log).await;
        assert_eq!(books::with_status(&books::balanced(stack).await, "COMPLETED").len(), 23);
        // Once: a second claim would give a saga a second actor.
        assert_eq!(saga_log.number("select count(*) from saga where epoch = 2", &[]).await, 23);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_or_a_retry_of_a_row_without_an_actor_wakes_it_and_all_others() {
    let options = StackOptions::default().set("orchestrator.sweep_ms", NEVER_MS).set("orchestrator.takeover_batch", 2);
    for flag in ["cancel", "retry"] {
        with_stack(options.clone(), async |stack: &Stack| {
            let saga_log = stack.database(ORCHESTRATOR).await;
            let sagas = plant_orphans(&saga_log, "flagged", 7).await;
            stack.post(ORCHESTRATOR, &format!("/saga/{}/{flag}", sagas[3]), "{}").await.expect(202);
            all_ended(&saga_log).await;
            let cancelled = usize::from(flag == "cancel");
            assert_eq!(books::with_status(&books::balanced(stack).await, "COMPENSATED").len(), cancelled);
        })
        .await;
    }
}
