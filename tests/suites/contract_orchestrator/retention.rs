//! Old sagas: they are answered in brief, and their keys are free again.

use serde_json::{Value, json};
use tests::{PATIENCE, Stack, StackOptions, actors, stack::ORCHESTRATOR, wait_until, with_stack};

use super::{buy, status};

fn order() -> Value {
    json!({ "user_id": "u", "product_id": 1, "amount": 5 })
}

/// Makes purchases that complete, are refused at once, are refused last, and never get a reply about their stock;
/// returns the transactions.
async fn buy_each_kind(stack: &Stack) -> Vec<Value> {
    let faults = [
        ("payments", "charge", "failure_rate"),
        ("purchases", "create", "failure_rate"),
        ("inventory", "decrease", "lost_reply_rate"),
    ];
    let mut ids = vec![buy(stack, order()).await.expect(200).json()["transaction_id"].clone()];
    for (service, operation, fault) in faults {
        stack.set_faults(service, json!({ operation: { fault: 1 } })).await;
        ids.push(buy(stack, order()).await.expect(409).json()["transaction_id"].clone());
        stack.set_faults(service, json!({ operation: { fault: 0 } })).await;
    }
    ids
}

/// Waits for a few more rounds of housekeeping.
async fn housekeeping_has_gone_round(stack: &Stack) {
    let handled = async || {
        let tree = actors::tree(stack, ORCHESTRATOR).await;
        actors::named(&tree, "housekeeping").messages_handled
    };
    let before = handled().await;
    wait_until("housekeeping has gone round", PATIENCE, async || (handled().await >= before + 4).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_an_old_saga_says_the_same_in_brief() {
    for gives_stock_back in [false, true] {
        let options = StackOptions::default()
            .set("orchestrator.retention_days", 2)
            .set("retry.action.attempts", 1)
            .set("checkout.compensate_inventory", gives_stock_back);
        with_stack(options, async |stack: &Stack| {
            let ids = buy_each_kind(stack).await;
            // Stock that is given back was taken, as its restore shows; otherwise it is unknown.
            let unheard = status(stack, &ids[3]).await["inventory_updated"].clone();
            assert_eq!(unheard, if gives_stock_back { json!(false) } else { Value::Null });
            let young = buy(stack, order()).await.expect(200).json()["transaction_id"].clone();
            let watched = buy(stack, order()).await.expect(200).json()["transaction_id"].clone();
            let database = stack.database(ORCHESTRATOR).await;
            let young_text = young.as_str().unwrap();
            let watched_text = watched.as_str().unwrap();
            database
                .run(&format!(
                    "update saga set attention = 'somebody looks at it' where id = '{watched_text}';
                     update saga set ended_at = ended_at - interval '3 days' where id <> '{young_text}'"
                ))
                .await;
            let mut before = Vec::new();
            for id in ids.iter().chain([&young, &watched]) {
                before.push(status(stack, id).await);
            }
            wait_until("the old sagas are cleared", PATIENCE, async || {
                let cleared = "select count(*) from saga where cleared_at is not null";
                (database.number(cleared, &[]).await == ids.len() as i64).then_some(())
            })
            .await;
            housekeeping_has_gone_round(stack).await;
            for (id, mut before) in ids.iter().zip(before.clone()) {
                let now = status(stack, id).await;
                assert_ne!(before["steps"], json!([]));
                before["steps"] = json!([]);
                assert_eq!(now, before);
            }
            // Neither young sagas nor sagas of the attention list are cleared.
            for (id, before) in [&young, &watched].into_iter().zip(&before[ids.len()..]) {
                assert_eq!(status(stack, id).await, *before);
            }
            let list = stack.get(ORCHESTRATOR, "/saga/transactions").await.expect(200).json();
            assert_eq!(list["total"], ids.len() + 2);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_kept_for_longer_than_details_are_still_told_when_these_are_cleared() {
    let options =
        StackOptions::default().set("orchestrator.retention_days", 1).set("orchestrator.events_keep_ms", 864_000_000);
    with_stack(options, async |stack: &Stack| {
        let start = tests::events::Listener::open(stack, "").await.last_id.clone();
        buy(stack, order()).await.expect(200);
        let database = stack.database(ORCHESTRATOR).await;
        database.run("update saga set ended_at = ended_at - interval '2 days'").await;
        wait_until("the details are cleared", PATIENCE, async || {
            let cleared = "select count(*) from saga where cleared_at is not null";
            (database.number(cleared, &[]).await == 1).then_some(())
        })
        .await;
        let mut listener = tests::events::Listener::come_back(stack, "", &start).await;
        let told = listener.until(super::events::is_end).await;
        assert_eq!(told.first().map(|event| event.brief()).as_deref(), Some("PENDING"));
        assert_eq!(told.last().map(|event| event.brief()).as_deref(), Some("COMPLETED!"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_free_again_a_day_after_the_end_where_retention_is_on() {
    for (retention_days, expected) in [(100, 2), (0, 3)] {
        let options = StackOptions::default().set("orchestrator.retention_days", retention_days);
        with_stack(options, async |stack: &Stack| {
            let database = stack.database(ORCHESTRATOR).await;
            for (key, hours) in [("old", 25), ("young", 23), ("new", 0)] {
                let bought = buy(stack, order()).await.expect(200).json();
                let id = bought["transaction_id"].as_str().unwrap();
                database
                    .run(&format!(
                        "with aged as (
                             update saga set ended_at = ended_at - interval '{hours} hours',
                                             id = saga_id_at(created_at - interval '{hours} hours')
                             where id = '{id}' returning id)
                         insert into saga_key select 'user', 'u', '{key}', id, 'f', 1 from aged"
                    ))
                    .await;
            }
            let held = "select count(*) from saga_key";
            wait_until("the old key is free", PATIENCE, async || {
                (database.number(held, &[]).await == expected).then_some(())
            })
            .await;
            housekeeping_has_gone_round(stack).await;
            assert_eq!(database.number(held, &[]).await, expected);
            let cleared = "select count(*) from saga where cleared_at is not null";
            assert_eq!(database.number(cleared, &[]).await, 0);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retention_nothing_of_a_saga_is_ever_given_up() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let ids = buy_each_kind(stack).await;
        let database = stack.database(ORCHESTRATOR).await;
        database.run("update saga set ended_at = ended_at - interval '1000 days'").await;
        let before = status(stack, &ids[0]).await;
        housekeeping_has_gone_round(stack).await;
        assert_eq!(status(stack, &ids[0]).await, before);
        assert_eq!(database.number("select count(*) from saga where cleared_at is not null", &[]).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_restored_dump_brought_are_dropped_and_new_ones_are_told() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let database = stack.database(ORCHESTRATOR).await;
        stack.stop(ORCHESTRATOR).await;
        database
            .run(
                "insert into saga_event (transaction, saga_id, changes) values ('999999999999', gen_random_uuid(), '[]');
                 update saga_event_horizon set transaction = '999999999999'",
            )
            .await;
        stack.start_again(ORCHESTRATOR).await;
        wait_until("they are dropped", PATIENCE, async || {
            let foreign = "select (select count(*) from saga_event where transaction = '999999999999')
                                + (select count(*) from saga_event_horizon where transaction = '999999999999')";
            (database.number(foreign, &[]).await == 0).then_some(())
        })
        .await;
        let mut listener = tests::events::Listener::open(stack, "").await;
        let start = listener.last_id.clone();
        buy(stack, order()).await.expect(200);
        assert_eq!(listener.next().await.expect("it begins").brief(), "PENDING");
        let mut again = tests::events::Listener::come_back(stack, "", &start).await;
        assert_eq!(again.next().await.expect("it begins").brief(), "PENDING");
    })
    .await;
}

/// Lets no statement delete more events than a batch has, as a limit of its time would.
const LIMITED_DELETIONS: &str = "
    create function are_too_many() returns trigger language plpgsql as $$ begin
        if (select count(*) from gone) > 2000 then
            raise exception 'canceling statement due to statement timeout';
        end if;
        return null;
    end $$;
    create trigger are_too_many after delete on saga_event referencing old table as gone
        for each statement execute function are_too_many()";

const FOREIGN: &str = "
    insert into saga_event (transaction, saga_id, changes)
    select (999999990000 + n)::text::xid8, gen_random_uuid(), '[]' from generate_series(1, 8000) n";

const FOREIGN_COUNT: &str = "select count(*) from saga_event where transaction > '999999990000'";

#[tokio::test(flavor = "multi_thread")]
async fn very_many_events_that_a_restored_dump_brought_are_dropped_in_batches_also_under_a_running_node() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let database = stack.database(ORCHESTRATOR).await;
        housekeeping_has_gone_round(stack).await;
        database.run(LIMITED_DELETIONS).await;
        database.run(FOREIGN).await;
        wait_until("they are dropped", PATIENCE, async || {
            (database.number(FOREIGN_COUNT, &[]).await == 0).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_part_of_housekeeping_that_fails_stops_no_other() {
    with_stack(StackOptions::default().set("orchestrator.retention_days", 1), async |stack: &Stack| {
        let ids = buy_each_kind(stack).await;
        let database = stack.database(ORCHESTRATOR).await;
        stack.stop(ORCHESTRATOR).await;
        database
            .run(
                "create function fails() returns trigger language plpgsql as $$ begin
                     raise exception 'this row cannot be deleted';
                 end $$;
                 create trigger fails before delete on saga_event for each row execute function fails();
                 update saga_event set at = at - interval '400 days';
                 update saga set ended_at = ended_at - interval '2 days'",
            )
            .await;
        database.run(FOREIGN).await;
        database.run(&format!("update saga set attention = 'look' where id = '{}'", ids[0].as_str().unwrap())).await;
        database.run("update saga set attention_at = now() where attention is not null").await;
        stack.start_again(ORCHESTRATOR).await;
        wait_until("the attention list is counted", PATIENCE, async || {
            let tree = actors::tree(stack, ORCHESTRATOR).await;
            (actors::named(&tree, "housekeeping").state["sagas_in_attention"] == 1).then_some(())
        })
        .await;
        wait_until("the old sagas are cleared", PATIENCE, async || {
            let cleared = "select count(*) from saga where cleared_at is not null";
            (database.number(cleared, &[]).await == ids.len() as i64 - 1).then_some(())
        })
        .await;
    })
    .await;
}
