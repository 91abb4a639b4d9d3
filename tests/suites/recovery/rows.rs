//! Rows that hold what no version of this program writes.

use reqwest::Method;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    http::send,
    problem::assert_problem,
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};
use uuid::Uuid;

use super::{all_ended, plant_orphans};

/// A value that does not parse, by column.
const BAD: [(&str, &str); 6] = [
    ("user_id", "''"),
    ("amount", "'NaN'"),
    ("product_wanted", "''"),
    ("outputs", "'{\"product_id\":'"),
    ("deadline_at", "'infinity'"),
    ("created_at", "'-infinity'"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_set_aside_alone_and_goes_on_once_it_is_corrected() {
    let options = StackOptions::default().set("orchestrator.sweep_ms", 300);
    with_stack(options, async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        // Planted whole and broken in one transaction, so that nothing sees them whole.
        let holder = stack.new_connection(ORCHESTRATOR).await;
        holder.run("begin").await;
        let sagas = plant_orphans(&holder, "planted", 12).await;
        let bad = &sagas[..BAD.len()];
        for (id, (column, value)) in bad.iter().zip(BAD) {
            holder.run(&format!("update saga set {column} = {value} where id = '{id}'")).await;
        }
        holder.run("commit").await;

        wait_until("the good ones have ended", PATIENCE, async || {
            let ended = saga_log.number("select count(*) from saga where status = 'COMPLETED'", &[]).await;
            (ended == 6).then_some(())
        })
        .await;
        let aside = "select count(*) from saga where attention like 'its row cannot be read: %' and wake_at > now()";
        wait_until("the bad ones are set aside", PATIENCE, async || {
            (saga_log.number(aside, &[]).await == 6).then_some(())
        })
        .await;
        assert_told(stack, bad).await;

        let mend = "
            update saga
            set user_id = 'planted', amount = 5, product_wanted = null, outputs = '{}', created_at = now(),
                deadline_at = now() + interval '1 hour'
            where ended_at is null";
        saga_log.run(mend).await;
        stack.post(ORCHESTRATOR, "/saga/attention/retry", "{}").await.expect(202);
        all_ended(&saga_log).await;
        assert_eq!(saga_log.number("select count(*) from saga where attention is null", &[]).await, 12);
    })
    .await;
}

/// Checks that each bad row is a problem of its own, and hides no other.
async fn assert_told(stack: &Stack, bad: &[Uuid]) {
    for id in bad {
        for path in [format!("/saga/status/{id}"), format!("/saga/{id}/inspect")] {
            let answer = stack.get(ORCHESTRATOR, &path).await;
            assert_problem(&answer, 500);
            assert_eq!(answer.json()["transaction_id"], id.to_string());
        }
    }
    let attention = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
    assert_eq!(attention["unreadable"].as_array().map(Vec::len), Some(bad.len()), "{attention}");
    for list in ["/saga/transactions", "/ui/api/sagas"] {
        let (mut shown, mut cursor) = (0, String::new());
        loop {
            let page = stack.get(ORCHESTRATOR, &format!("{list}?limit=2{cursor}")).await.expect(200).json();
            shown += page["transactions"].as_array().map_or(0, Vec::len);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(shown, 6, "{list} shows all that can be read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_row_cannot_be_read_names_the_row_and_buys_nothing() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let saga_log = stack.database(ORCHESTRATOR).await;
        let buy = async |amount: u32| {
            let request = stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction");
            let order = json!({ "user_id": "u", "product_id": 1, "amount": amount });
            send(with_json(request.header("idempotency-key", "k"), order)).await
        };
        let first = buy(5).await.expect(200);
        let id = first.json()["transaction_id"].clone();
        saga_log.run("create table whole as select * from saga").await;
        // The user is a part of the key.
        for (column, value) in BAD.into_iter().filter(|(column, _)| *column != "user_id") {
            saga_log.run(&format!("update saga set {column} = {value}")).await;
            // The same order, and another one: which of the two it is cannot be told.
            for amount in [5, 6] {
                let answer = buy(amount).await;
                assert_problem(&answer, 500);
                assert_eq!(answer.json()["transaction_id"], id, "{column}");
            }
            saga_log.run(&format!("update saga set {column} = whole.{column} from whole")).await;
        }
        let again = buy(5).await.expect(200);
        assert_eq!(again.text, first.text);
        assert!(again.is_replayed());
        assert_problem(&buy(6).await, 422);
        assert_eq!(saga_log.number("select count(*) from saga", &[]).await, 1);
    })
    .await;
}
