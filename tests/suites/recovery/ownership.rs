//! Leases: how a process learns that another one has its name, gives its sagas away, and judges the others.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tests::{PATIENCE, Stack, StackOptions, http::try_send, stack::ORCHESTRATOR, wait_until, with_stack};
use uuid::Uuid;

use super::{all_ended, start};

/// Longer than any test.
const NEVER_MS: u64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_name_a_waiting_twin_has_taken_ends() {
    let options = StackOptions::default().set("orchestrator.node_id", "twin");
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        let incarnation = async || saga_log.rows("select incarnation from node_lease", &[]).await[0].get::<_, Uuid>(0);
        let first = incarnation().await;
        stack.add_replica(ORCHESTRATOR).await;
        let cut = "select pg_terminate_backend(l.pid) from pg_locks l join pg_stat_activity a on a.pid = l.pid
                   where l.locktype = 'advisory' and a.datname = current_database()";
        // The first may be the one that is back first.
        wait_until("the twin has taken the name", PATIENCE, async || {
            saga_log.rows(cut, &[]).await;
            tokio::time::timeout(Duration::from_secs(2), async {
                while incarnation().await == first {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .ok()
        })
        .await;
        let address = stack.address(ORCHESTRATOR);
        wait_until("the first has ended", PATIENCE, async || {
            try_send(stack.request_at(Method::GET, address, "/health/live/")).await.err().map(drop)
        })
        .await;
        stack.crash(ORCHESTRATOR).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sagas_of_a_process_that_stops_are_taken_over_at_once() {
    let options = StackOptions::default()
        .set("orchestrator.grace_ms", 0)
        .set("http.drain_grace_ms", 500)
        .set("orchestrator.lease_ms", NEVER_MS);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 60_000, "max": 60_000 } } })).await;
        start(stack, "left").await;
        stack.add_replica(ORCHESTRATOR).await;
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 0, "max": 0 } } })).await;
        stack.stop(ORCHESTRATOR).await;
        all_ended(&saga_log).await;
        let rows = saga_log.rows("select status, epoch from saga", &[]).await;
        let ended: Vec<(&str, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(ended, [("COMPLETED", 2)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_claims_nothing_any_more() {
    let options = StackOptions::default().set("orchestrator.node_id", "the-node");
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 4_000, "max": 4_000 } } })).await;
        let last = start(stack, "last").await;
        let address = stack.address(ORCHESTRATOR);
        let plant = async {
            wait_until("it is about to stop", PATIENCE, async || {
                let answer = try_send(stack.request_at(Method::GET, address, "/health/")).await.ok()?;
                (answer.status == 503).then_some(())
            })
            .await;
            // An earlier process of its name left this.
            let left = "
                insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                                  owner_incarnation, deadline_at)
                values ($1, 'checkout', 1, 'left', 5, 'PENDING', $1, 'the-node', $1, clock_timestamp() + interval '1 hour')";
            saga_log.rows(left, &[&Uuid::new_v4()]).await;
            assert_eq!(unfinished(stack).await, 2, "{last} still runs");
        };
        futures::join!(plant, stack.stop(ORCHESTRATOR));
        assert_eq!(saga_log.number("select count(*) from saga where status = 'COMPLETED'", &[]).await, 1);
        assert_eq!(saga_log.number("select count(*) from saga where user_id = 'left' and epoch = 1", &[]).await, 1);
        stack.start_again(ORCHESTRATOR).await;
        all_ended(&saga_log).await;
    })
    .await;
}

async fn unfinished(stack: &Stack) -> i64 {
    let saga_log = stack.database(ORCHESTRATOR).await;
    saga_log.number("select count(*) from saga where ended_at is null", &[]).await
}

/// Puts a row of a process into the log that is dead, and its lease.
async fn plant_of_the_dead(stack: &Stack, definition: &str, lease: &str) {
    let plant = format!(
        "with dead as (
             insert into node_lease (node_id, incarnation, expires_at)
             values ('dead', gen_random_uuid(), clock_timestamp() {lease}) returning node_id, incarnation)
         insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                           owner_incarnation, deadline_at)
         select gen_random_uuid(), '{definition}', 3, 'left', 5, 'PENDING', gen_random_uuid(), node_id, incarnation,
                clock_timestamp() + interval '1 hour'
         from dead"
    );
    stack.database(ORCHESTRATOR).await.run(&plant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_the_database_that_went_back_keeps_no_saga_from_being_taken_over() {
    let options = StackOptions::default().set("orchestrator.lease_ms", 1_000);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        plant_of_the_dead(stack, "checkout", "+ interval '1 day'").await;
        saga_log.run("update saga set definition_version = 1").await;
        all_ended(&saga_log).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_definition_no_live_node_knows_is_named_in_the_attention_list() {
    let options = StackOptions::default().set("orchestrator.lease_ms", 1_000).set("orchestrator.sweep_ms", 300);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        let attention = async || -> Option<String> {
            saga_log.rows("select attention from saga", &[]).await[0].get(0)
        };
        // A node of another version, whose lease moves, knows it: this is an update under way.
        saga_log
            .run("insert into node_lease (node_id, incarnation, expires_at, definitions)
                  values ('newer', gen_random_uuid(), clock_timestamp() + interval '1 day', array['trip/3'])")
            .await;
        plant_of_the_dead(stack, "trip", "- interval '1 minute'").await;
        // A definition that no node knows shows when both have been judged.
        saga_log
            .run("insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                                    owner_incarnation, deadline_at)
                  select gen_random_uuid(), 'voyage', 1, 'judge', 5, 'PENDING', begin_nonce, owner_node,
                         owner_incarnation, deadline_at from saga")
            .await;
        let of = async |definition: &str| {
            let sql = "select attention from saga where definition = $1";
            saga_log.rows(sql, &[&definition]).await[0].get::<_, Option<String>>(0)
        };
        let why = wait_until("it is named", PATIENCE, async || of("voyage").await).await;
        assert_eq!(why, "definition voyage/1 is not known to any live node");
        assert_eq!(of("trip").await, None, "a live node knows it");

        saga_log.run("delete from node_lease where node_id = 'newer'").await;
        let why = wait_until("it is named", PATIENCE, async || of("trip").await).await;
        assert_eq!(why, "definition trip/3 is not known to any live node");
        // As a node does that knows it after all.
        saga_log.run("update saga set definition = 'checkout', definition_version = 1").await;
        all_ended(&saga_log).await;
        assert_eq!(attention().await, None, "it is run again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_processes_that_are_long_dead_are_deleted_unless_they_own_something() {
    let options = StackOptions::default().set("orchestrator.sweep_ms", 300).set("orchestrator.lease_ms", NEVER_MS);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        plant_of_the_dead(stack, "trip", "- interval '2 days'").await;
        saga_log
            .run(
                "insert into node_lease (node_id, incarnation, expires_at)
                  select 'long-dead-' || n, gen_random_uuid(), clock_timestamp() - interval '2 days'
                  from generate_series(1, 3) n",
            )
            .await;
        wait_until("two leases are left", PATIENCE, async || {
            (saga_log.number("select count(*) from node_lease", &[]).await == 2).then_some(())
        })
        .await;
        assert_eq!(saga_log.number("select count(*) from node_lease where node_id = 'dead'", &[]).await, 1);
        saga_log.run("delete from saga").await;
    })
    .await;
}
