//! Rows without an actor.

use reqwest::Method;
use tests::{
    PATIENCE, Stack, StackOptions, actors, cluster,
    http::try_send,
    postgres_proxy::{Loss, PostgresProxy},
    stack::ORCHESTRATOR,
    transactions, wait_until, with_stack,
};

use super::{all_ended, plant_orphans, start};

/// Longer than any test.
const NEVER_MS: u64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_actor_are_found_although_nothing_hints_at_them() {
    let options = StackOptions::default().set("orchestrator.sweep_ms", 300).set("orchestrator.takeover_batch", 5);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        // The search at the start may find the first ones; nothing but a sweep finds the later ones.
        for _ in 0..3 {
            plant_orphans(&saga_log, "swept", 23).await;
            all_ended(&saga_log).await;
        }
        assert_eq!(transactions::with_status(&transactions::consistent(stack).await, "COMPLETED").len(), 69);
        // Once: a second claim would give a saga a second actor.
        assert_eq!(saga_log.number("select count(*) from saga where epoch = 2", &[]).await, 69);
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
            assert_eq!(
                transactions::with_status(&transactions::consistent(stack).await, "COMPENSATED").len(),
                cancelled
            );
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_whose_claims_were_answered_to_nobody_find_an_actor() {
    const SAGAS: usize = 25;
    let proxy = PostgresProxy::before(cluster::server_url().await);
    let options = StackOptions::default()
        .on_server(&proxy.url)
        .set("orchestrator.node_id", "the-node")
        .set("orchestrator.sweep_ms", NEVER_MS)
        .set("orchestrator.takeover_batch", 10)
        .set("retry.action.attempts", 1_000_000);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        stack.crash("payments").await;
        for user in 0..SAGAS {
            start(stack, &format!("user-{user}")).await;
        }
        stack.crash(ORCHESTRATOR).await;
        let database = &stack.settings.service(ORCHESTRATOR).database;
        let lose_three_claims = async {
            for _ in 0..3 {
                let fault = proxy.lose_statement(database, "set owner_node = $1::varchar", Loss::ReplyLost, 0);
                wait_until("a claim is lost", PATIENCE, async || fault.has_struck().then_some(())).await;
            }
        };
        futures::join!(lose_three_claims, stack.start_again(ORCHESTRATOR));
        stack.start_again("payments").await;
        all_ended(&saga_log).await;
        assert_eq!(transactions::with_status(&transactions::consistent(stack).await, "COMPLETED").len(), SAGAS);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_actor_that_cannot_be_claimed_are_counted() {
    let options = StackOptions::default().set("orchestrator.sweep_ms", 200);
    with_stack(options, async |stack: &Stack| {
        without_actor_are(stack, 0).await;
        let metrics = stack.get(ORCHESTRATOR, "/metrics").await.expect(200).text;
        assert!(metrics.contains("\necommerce_sagas_without_actor "), "shown from the start");
        let saga_log = stack.database(ORCHESTRATOR).await;
        let holder = stack.new_connection(ORCHESTRATOR).await;
        // One sleeps until it is locked.
        holder.run("begin").await;
        let locked = plant_orphans(&holder, "locked", 3).await[1];
        let sleep = "update saga set wake_at = clock_timestamp() + interval '3 seconds' where id = $1";
        holder.rows(sleep, &[&locked]).await;
        holder.run(&format!("commit; begin; select 1 from saga where id = '{locked}' for update")).await;
        without_actor_are(stack, 1).await;
        holder.run("commit").await;
        all_ended(&saga_log).await;
        without_actor_are(stack, 0).await;
    })
    .await;
}

/// How the claims of rows are prevented, and how they are allowed again.
const PREVENTIONS: [(&str, &str); 2] = [
    ("begin; select 1 from saga for update", "commit"),
    (
        "create function refuse() returns trigger language plpgsql as 'begin raise exception ''refused''; end';
         create trigger refuse before update of epoch on saga for each row execute function refuse()",
        "drop trigger refuse on saga",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_dead_process_that_cannot_be_claimed_are_counted() {
    let options = StackOptions::default()
        .set("orchestrator.sweep_ms", NEVER_MS)
        .set("orchestrator.lease_ms", 1_000)
        .set("retry.action.attempts", 1_000_000);
    for (prevent, allow) in PREVENTIONS {
        with_stack(options.clone(), async |stack: &Stack| {
            let saga_log = stack.database(ORCHESTRATOR).await;
            stack.crash("payments").await;
            for user in ["stuck", "stuck", "stuck", "asleep", "of another version"] {
                start(stack, user).await;
            }
            stack.crash(ORCHESTRATOR).await;
            saga_log
                .run(
                    "update saga set wake_at = clock_timestamp() + interval '1 hour' where user_id = 'asleep';
                      update saga set definition_version = 99 where user_id = 'of another version'",
                )
                .await;
            let holder = stack.new_connection(ORCHESTRATOR).await;
            holder.run(prevent).await;
            stack.start_again(ORCHESTRATOR).await;
            without_actor_are(stack, 3).await;
            saga_log.run("insert into saga_hold (reason) values ('a test')").await;
            without_actor_are(stack, 0).await;
            saga_log.run("delete from saga_hold").await;
            without_actor_are(stack, 3).await;

            holder.run(allow).await;
            stack.start_again("payments").await;
            without_actor_are(stack, 0).await;
            saga_log.run("update saga set wake_at = null, definition_version = 1 where ended_at is null").await;
            all_ended(&saga_log).await;
            assert_eq!(transactions::with_status(&transactions::consistent(stack).await, "COMPLETED").len(), 5);
        })
        .await;
    }
}

/// Waits until each orchestrator counts this number of sagas without an actor. Metrics belong to the whole process, which
/// runs other stacks too; the tree of actors belongs to one orchestrator.
pub(crate) async fn without_actor_are(stack: &Stack, number: usize) {
    for address in stack.addresses_of(ORCHESTRATOR) {
        wait_until("the sagas without an actor are counted", PATIENCE, async || {
            let answer = try_send(stack.request_at(Method::GET, address, "/debug/actors")).await.ok()?;
            let tree = serde_json::from_value(answer.json()).expect("a tree");
            (actors::named(&tree, "recovery").state["without_actor"] == number).then_some(())
        })
        .await;
    }
}
