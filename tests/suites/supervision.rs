//! Actors that panic are restarted, and their waiting callers receive an unknown outcome.
//!
//! The panics are real: a row that no version of this program writes makes the ledger panic in the middle of a batch,
//! with a transaction open.

use common::supervision::ActorView;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions, actors,
    http::Answer,
    operations::{OPERATIONS, Outcome},
    problem::assert_problem,
    stack::{ORCHESTRATOR, new_transaction},
    wait_until, with_stack,
};

/// Waits until an actor was restarted and runs; returns its view.
async fn restarted(stack: &Stack, service: &str, actor: &str) -> ActorView {
    wait_until("the actor was restarted", PATIENCE, async || {
        let tree = actors::tree(stack, service).await;
        let actor = actors::named(&tree, actor);
        (actor.restarts == 1 && actor.status == "running").then(|| actor.clone())
    })
    .await
}

/// Checks that the tree shows one restarted actor, with the reason.
async fn assert_restart_is_shown(stack: &Stack, service: &str, actor: &str) {
    let shown = restarted(stack, service, actor).await;
    let reason = shown.last_restart_reason.clone().unwrap_or_default();
    assert!(reason.contains("panic"), "{shown:#?}");
    assert!(shown.started_at.is_some(), "{shown:#?}");
    let tree = actors::tree(stack, service).await;
    let others = actors::all(&tree).into_iter().filter(|other| other.name != shown.name);
    for other in others {
        assert_eq!(other.restarts, 0, "one for one: {other:#?}");
    }
}

/// Asserts that the answer asks the caller to retry.
fn assert_in_doubt(answer: &Answer) {
    assert_problem(answer, 503);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_panics_in_a_batch_is_restarted_and_goes_on() {
    with_stack(StackOptions::default().provoking_panics(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let before = new_transaction();
            let first = operation.act(stack, &before).await.expect(200);
            // No version of this program has this form of answers, so reading this row panics.
            let id = new_transaction();
            operation.act(stack, &id).await.expect(200);
            let (table, database) = (operation.table, stack.database(operation.service).await);
            database.run(&format!("update {table} set reply_form = 99 where transaction_id = '{id}'")).await;

            let answer = operation.act(stack, &id).await;
            assert_in_doubt(&answer);
            assert_eq!(answer.json()["transaction_id"], id, "it says what to ask again with");
            assert_restart_is_shown(stack, operation.service, "ledger").await;

            let again = operation.act(stack, &before).await;
            assert_eq!((again.status, again.text), (200, first.text));
            let next = new_transaction();
            operation.assert_outcome(&operation.act(stack, &next).await, &next, Outcome::Done);
            stack.get(operation.service, "/health/").await.expect(200);

            database.run(&format!("delete from {table} where transaction_id = '{id}'")).await;
            operation.assert_outcome(&operation.act(stack, &id).await, &id, Outcome::Done);
            assert_eq!(operation.rows(stack, &id).await, 1, "the batch that panicked left nothing behind");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogs_ledger_is_restarted_too() {
    // The catalog must not refresh between the changes that empty the table and break it.
    with_stack(StackOptions::default().provoking_panics(), async |stack: &Stack| {
        let products = stack.database("catalog").await;
        products.run("alter table products alter column price drop not null").await;
        products.run("delete from products").await;
        wait_until("the catalog knows that it is empty", PATIENCE, async || {
            (stack.get("catalog", "/products/1/").await.status == 404).then_some(())
        })
        .await;
        products.run("insert into products (id, name, price, stock) values (1000, 'Broken', null, 0)").await;
        assert_in_doubt(&stack.get("catalog", "/products/random/").await);
        assert_restart_is_shown(stack, "catalog", "ledger").await;
        products.run("delete from products").await;
        let made = stack.get("catalog", "/products/random/").await.expect(200).json();
        assert!(made["name"].as_str().is_some_and(|name| name.starts_with("Product-")), "{made}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_goes_on_when_the_saga_log_panics_under_it() {
    // The first end of a saga of this user changes no row, so the writer looks for the reason and finds a row that no
    // version of this program writes.
    const BREAK_ONCE: &str = "
        create sequence breaks;
        alter table saga alter column begin_nonce drop not null;
        create function break_begin() returns trigger language plpgsql as $$
        begin
            if new.user_id = 'breaks-the-log' then new.begin_nonce := null; end if;
            return new;
        end $$;
        create function break_end() returns trigger language plpgsql as $$
        begin
            if old.user_id = 'breaks-the-log' and nextval('breaks') = 1 then return null; end if;
            return old;
        end $$;
        create trigger break_begin before insert on saga for each row execute function break_begin();
        create trigger break_end before delete on saga_open for each row execute function break_end();";
    with_stack(StackOptions::default().provoking_panics(), async |stack: &Stack| {
        let order = |user: &str| json!({ "user_id": user, "product_id": 1, "amount": 5 });
        let saga_log = stack.database(ORCHESTRATOR).await;
        saga_log.run(BREAK_ONCE).await;
        let answer = stack.post(ORCHESTRATOR, "/saga/transaction", order("breaks-the-log")).await;
        assert_eq!(answer.clone().expect(200).json()["status"], "COMPLETED");
        assert_eq!(saga_log.number("select last_value from breaks", &[]).await, 2, "it broke");
        assert_restart_is_shown(stack, ORCHESTRATOR, "saga-log").await;
        stack.post(ORCHESTRATOR, "/saga/transaction", order("another")).await.expect(200);
        tests::transactions::consistent(stack).await;
    })
    .await;
}
