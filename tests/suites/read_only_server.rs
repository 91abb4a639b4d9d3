//! The server takes no writes for a while: its address leads to a standby, or a switch of the provider makes the databases
//! read-only. Nothing is bought meanwhile and everything is shown; afterwards purchases go on by themselves.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    database::Database,
    events::{Event, Listener},
    postgres_proxy::PostgresProxy,
    private_cluster::PrivateCluster,
    problem::assert_problem,
    stack::{ORCHESTRATOR, SERVICES},
    standby::Standby,
    transactions, wait_until, with_stack,
};

/// As long as an address leads to the standby, at least.
const AWAY: Duration = Duration::from_secs(6);

/// Purchases that are under way when the address changes.
const BUYERS: usize = 8;

fn order() -> Value {
    json!({ "user_id": "u", "amount": 10 })
}

async fn buy(stack: &Stack) -> u16 {
    stack.post(ORCHESTRATOR, "/saga/transaction", order()).await.status
}

/// Waits until a service says in its health that the database takes no writes.
async fn wait_until_read_only(stack: &Stack, service: &str) {
    wait_until(&format!("{service} knows that the database takes no writes"), PATIENCE, async || {
        let answer = stack.get(service, "/health/").await;
        (answer.status == 503 && answer.text.contains("read-only")).then_some(())
    })
    .await;
}

async fn wait_until_purchases_go_on(stack: &Stack) {
    for service in SERVICES {
        wait_until(&format!("{service} is healthy"), PATIENCE, async || stack.is_healthy(service).await.then_some(()))
            .await;
    }
    wait_until("purchases go on", PATIENCE, async || (buy(stack).await == 200).then_some(())).await;
}

/// No saga was ever FAILED, and the databases agree.
async fn assert_that_none_failed(stack: &Stack) {
    transactions::consistent(stack).await;
    let failed = "select count(*) from saga_event where changes like '%\"FAILED\"%'";
    assert_eq!(stack.database(ORCHESTRATOR).await.number(failed, &[]).await, 0, "purchases were FAILED for a while");
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_go_on_after_an_address_led_to_a_standby_and_none_fails() {
    let primary = PrivateCluster::start().await;
    let standby = Standby::of(&primary).await;
    let proxy = PostgresProxy::before(&primary.url);
    // The rests between two attempts that the program has by itself: with those of other tests a purchase would have used
    // up its attempts long before the address leads to the primary again.
    let options = StackOptions::default()
        .on_server(&proxy.url)
        .set("retry.action.backoff_min_ms", 50)
        .set("retry.action.backoff_max_ms", 1_000)
        .set("retry.compensation.backoff_min_ms", 50)
        .set("retry.compensation.backoff_max_ms", 5_000);
    with_stack(options, async |stack: &Stack| {
        assert_eq!(buy(stack).await, 200);
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 300, "max": 300 } } })).await;
        let lead_to = |url: &str| {
            proxy.redirect(url);
            for service in SERVICES {
                proxy.cut(&stack.settings.service(service).database);
            }
        };
        let disturb = async {
            wait_until("purchases are under way", PATIENCE, async || {
                let list = stack.get(ORCHESTRATOR, "/saga/transactions?status=pending").await.json();
                (list["total"].as_u64() >= Some(BUYERS as u64 / 2)).then_some(())
            })
            .await;
            standby.catch_up(&primary).await;
            lead_to(&standby.url);
            let away_since = std::time::Instant::now();
            for service in SERVICES {
                wait_until_read_only(stack, service).await;
            }
            assert_problem(&stack.post(ORCHESTRATOR, "/saga/transaction", order()).await, 503);
            stack.get(ORCHESTRATOR, "/saga/transactions").await.expect(200);
            wait_until("the address has led elsewhere for long enough", PATIENCE, async || {
                (away_since.elapsed() >= AWAY).then_some(())
            })
            .await;
            // Sessions that were opened on the standby stay: nothing cuts them.
            let opened = "select count(*) from pg_stat_activity where datname = $1";
            let server = Database::connect(&standby.url, "postgres").await;
            for service in SERVICES {
                let database = &stack.settings.service(service).database;
                assert!(server.number(opened, &[database]).await > 0, "{service} has a session there");
            }
            proxy.redirect(&primary.url);
        };
        let buyers = join_all((0..BUYERS).map(|_| stack.post(ORCHESTRATOR, "/saga/transaction", order())));
        let (answers, ()) = futures::join!(buyers, disturb);
        for answer in answers {
            assert!(answer.json()["status"] != "FAILED", "{}", answer.text);
        }
        wait_until_purchases_go_on(stack).await;
        assert_that_none_failed(stack).await;
    })
    .await;
}

/// Makes all five databases read-only, or writable again, for sessions that are opened from now on.
async fn set_read_only(stack: &Stack, value: &str) {
    for service in SERVICES {
        let database = stack.new_connection(service).await;
        database.run("set default_transaction_read_only = off").await;
        let name = &stack.settings.service(service).database;
        database.run(&format!("alter database {name} set default_transaction_read_only = {value}")).await;
    }
}

/// Ends all sessions of the services: new ones are opened in their places.
async fn end_sessions(stack: &Stack) {
    for service in SERVICES {
        let end = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
        stack.new_connection(service).await.rows(end, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_go_on_after_a_switch_to_read_only_was_lifted_though_the_sessions_stay() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        assert_eq!(buy(stack).await, 200);
        set_read_only(stack, "on").await;
        end_sessions(stack).await;
        for service in SERVICES {
            wait_until_read_only(stack, service).await;
        }
        // Connections that are open now were opened as read-only ones, and are not ended.
        set_read_only(stack, "off").await;
        wait_until_purchases_go_on(stack).await;
        assert_that_none_failed(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_told_by_a_read_only_server_too() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let is_end = |event: &Event| event.data["ended"] == true;
        let mut all_the_time = Listener::open(stack, "").await;
        let from = all_the_time.last_id.clone();
        let bought = stack.post(ORCHESTRATOR, "/saga/transaction", order()).await.expect(200).json();
        let id = bought["transaction_id"].as_str().expect("a purchase has an id");
        let told = all_the_time.until(is_end).await.len();

        set_read_only(stack, "on").await;
        end_sessions(stack).await;
        wait_until_read_only(stack, ORCHESTRATOR).await;
        // The present state, the changes so far, and the changes from now on.
        let standing =
            Listener::open(stack, &format!("?saga={id}")).await.next().await.expect("it is told how it stands");
        assert_eq!((standing.saga(), standing.brief().as_str()), (id, "COMPLETED!"));
        assert_eq!(Listener::come_back(stack, "", &from).await.until(is_end).await.len(), told);
        let mut from_now_on = Listener::open(stack, "").await;

        set_read_only(stack, "off").await;
        wait_until_purchases_go_on(stack).await;
        for listener in [&mut all_the_time, &mut from_now_on] {
            assert_ne!(listener.until(is_end).await[0].saga(), id, "it goes on, and tells nothing twice");
        }
    })
    .await;
}
