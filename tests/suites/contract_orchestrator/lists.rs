//! Lists and totals beside purchases: they wait for each other and for nothing else, and count no further than a limit.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::{Answer, send},
    problem::assert_problem,
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};

use super::{buy, dashboard::ended_sagas};

/// Up to so many are counted.
const COUNTED: u32 = 10_000;

const LISTS: [&str; 4] = ["/saga/transactions", "/saga/attention", "/ui/api/sagas", "/ui/api/summary"];

/// Lets every statement that lists or counts sagas wait for a lock, and no other one.
const GATE: &str = "
    alter table saga rename to saga_rows;
    alter table saga_open rename to saga_open_rows;
    create function lists_wait() returns boolean language plpgsql as $$ begin
        if current_query() ~ 'count\\(|order by s\\.(id|attention_at)' then
            perform pg_advisory_xact_lock_shared(7);
        end if;
        return true;
    end $$;
    create view saga as select *, xmin from saga_rows where (select lists_wait());
    create view saga_open as select *, xmin from saga_open_rows where (select lists_wait())";

const WAITING: &str = "
    select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'";

async fn buy_keyed(stack: &Stack, key: &str) -> Answer {
    let body = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    let request = with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), body);
    send(request.header("idempotency-key", key)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_wait_for_the_database_hold_up_no_purchase_no_status_and_no_cancel() {
    const LISTERS: usize = 40;
    with_stack(StackOptions::default().set("database.pool_size", 8), async |stack: &Stack| {
        let database = stack.database(ORCHESTRATOR).await;
        database.run(GATE).await;
        let gate = stack.new_connection(ORCHESTRATOR).await;
        gate.run("select pg_advisory_lock(7)").await;
        let list = async |number: usize| stack.get(ORCHESTRATOR, LISTS[number % LISTS.len()]).await;
        let lists = join_all((0..LISTERS).map(list));
        let work = async {
            wait_until("lists wait for the database", PATIENCE, async || {
                (database.number(WAITING, &[]).await >= 2).then_some(())
            })
            .await;
            for key in ["a", "b", "a"] {
                let bought = buy_keyed(stack, key).await.expect(200).json();
                let id = bought["transaction_id"].as_str().expect("a transaction id");
                stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200);
                stack.post(ORCHESTRATOR, &format!("/saga/{id}/cancel"), json!({})).await.expect(409);
            }
            // Two lists, and the gauge of the attention list, which is housekeeping's.
            assert!(database.number(WAITING, &[]).await <= 3, "more than two lists wait in the database");
        };
        let (answers, ()) = futures::join!(lists, work);
        // A list that gets no connection is turned away long before the two that wait in the database give up.
        let turned_away = answers.iter().filter(|answer| answer.text.contains("too many lists are being read now"));
        let turned_away = turned_away.count();
        assert!(turned_away >= LISTERS / 2, "{turned_away} of {LISTERS} lists were turned away: {:?}", answers[0]);
        for answer in answers {
            assert_problem(&answer, 503);
            assert!(answer.header("retry-after").is_some_and(|seconds| seconds != "0"), "{answer:?}");
        }
        gate.run("select pg_advisory_unlock(7)").await;
        for path in LISTS {
            stack.get(ORCHESTRATOR, path).await.expect(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_pool_of_one_connection_it_starts_sells_and_lists() {
    with_stack(StackOptions::default().set("database.pool_size", 1), async |stack: &Stack| {
        for key in ["a", "a"] {
            buy_keyed(stack, key).await.expect(200);
        }
        for path in LISTS {
            stack.get(ORCHESTRATOR, path).await.expect(200);
        }
        stack.get(ORCHESTRATOR, "/health/").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_is_exact_up_to_ten_thousand_and_says_where_it_is_not() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let database = stack.database(ORCHESTRATOR).await;
        database.run(&ended_sagas(COUNTED)).await;
        let page = async |path: &str| stack.get(ORCHESTRATOR, path).await.expect(200).json();
        let total = |page: &Value| (page["total"].as_u64().expect("a total"), page["total_is_exact"] != json!(false));
        let limit = u64::from(COUNTED);
        assert_eq!(total(&page("/saga/transactions?limit=1").await), (limit, true));
        assert_eq!(total(&page("/saga/attention?limit=1").await), (0, true));
        buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 })).await.expect(200);
        for statistics in ["", "analyze saga"] {
            database.run(statistics).await;
            let (sagas, is_exact) = total(&page("/saga/transactions?limit=1").await);
            assert!(!is_exact && (limit + 1..2 * limit).contains(&sagas), "{sagas} {is_exact}");
            for (filter, expected) in [("status=COMPLETED", limit / 4 + 1), ("user_id=user-7", 1), ("status=FAILED", 0)]
            {
                assert_eq!(total(&page(&format!("/saga/transactions?limit=1&{filter}")).await), (expected, true));
            }
        }
        database.run("update saga set attention = 'a person looks', attention_at = now(), user_id = 'one'").await;
        for path in ["/saga/attention?limit=1", "/saga/transactions?user_id=one&limit=1"] {
            let (sagas, is_exact) = total(&page(path).await);
            assert!(!is_exact && sagas > limit, "{path}: {sagas} {is_exact}");
        }
        let summary = page("/ui/api/summary").await;
        assert_eq!((&summary["standing_is_exact"], summary["attention"].as_u64()), (&json!(false), Some(limit + 1)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_every_list_says_by_what_it_is_newest_first() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (service, path, order) in [
            (ORCHESTRATOR, "/saga/transactions", "by transaction id"),
            (ORCHESTRATOR, "/ui/api/sagas", "by transaction id"),
            ("purchases", "/purchases/", "by purchase id"),
        ] {
            let document = stack.get(service, "/openapi.json").await.expect(200).json();
            let told = document["paths"][path]["get"]["description"].as_str().unwrap_or_default();
            assert!(told.contains(order) && told.contains("clock"), "{service}{path}: {told:?}");
        }
    })
    .await;
}
