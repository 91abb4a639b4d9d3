//! The clocks of node and database differ: decisions use the database's, and displayed times agree with it.
//!
//! A test cannot turn the clock of a process, so it turns that of the database: functions that the services' statements
//! find before PostgreSQL's own. Sessions that are open already keep the old ones, so the orchestrator is started again.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, actors, http::Answer, stack::ORCHESTRATOR, stack::with_json, wait_until, with_stack,
};
use uuid::Uuid;

/// As far as the clocks of one machine are read apart in a test.
const MARGIN: TimeDelta = TimeDelta::minutes(10);

/// Turns the clock of the saga log's database, as all sessions that are opened from now on see it.
async fn turn_clock(stack: &Stack, hours: i64) {
    let database = stack.database(ORCHESTRATOR).await;
    let name = &stack.settings.service(ORCHESTRATOR).database;
    let clocks = ["clock_timestamp", "statement_timestamp", "transaction_timestamp", "now"].map(|clock| {
        format!(
            "create or replace function turned.{clock}() returns timestamptz language sql stable
             as 'select pg_catalog.{clock}() + interval ''{hours} hours''';"
        )
    });
    let functions = clocks.concat();
    database
        .run(&format!(
            "create schema if not exists turned; {functions}
             alter database {name} set search_path = turned, pg_catalog, public"
        ))
        .await;
}

async fn with_turned_clock(options: StackOptions, hours: i64, test: impl AsyncFnOnce(&Stack)) {
    with_stack(options, async |stack: &Stack| {
        stack.stop(ORCHESTRATOR).await;
        turn_clock(stack, hours).await;
        stack.start_again(ORCHESTRATOR).await;
        test(stack).await;
    })
    .await;
}

async fn buy(stack: &Stack, key: &str) -> Answer {
    let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/saga/transaction");
    let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    tests::http::send(with_json(request.header("idempotency-key", key), order)).await
}

fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_for_its_time_by_the_clock_of_the_database_whatever_that_of_the_node_says() {
    let options = StackOptions::default().set("orchestrator.retention_days", 100);
    with_turned_clock(options, 30, async |stack: &Stack| {
        let first = buy(stack, "k").await.expect(200).json();
        let handled = async || {
            let tree = actors::tree(stack, ORCHESTRATOR).await;
            actors::named(&tree, "housekeeping").messages_handled
        };
        let before = handled().await;
        let rounds = async || (handled().await >= before + 4).then_some(());
        wait_until("housekeeping has gone round", PATIENCE, rounds).await;
        let again = buy(stack, "k").await.expect(200);
        assert_eq!(again.json(), first);
        assert!(again.is_replayed());
        let sagas = stack.database(ORCHESTRATOR).await.number("select count(*) from saga", &[]).await;
        assert_eq!(sagas, 1, "one key was bought twice");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_a_saga_are_the_databases_and_every_answer_gives_the_same_ones() {
    for hours in [-50, 50] {
        with_turned_clock(StackOptions::default(), hours, async |stack: &Stack| {
            let turned = Utc::now() + TimeDelta::hours(hours);
            for refused in [None, Some("purchases")] {
                if let Some(service) = refused {
                    stack.set_faults(service, json!({ "create": { "failure_rate": 1 } })).await;
                }
                let key = format!("{refused:?}");
                let first = buy(stack, &key).await;
                let bought = first.json();
                let path = format!("/saga/status/{}", bought["transaction_id"].as_str().unwrap());
                let status = stack.get(ORCHESTRATOR, &path).await.expect(200).json();
                assert_eq!(status["completed_at"], bought["timestamp"]);
                assert_eq!(buy(stack, &key).await.text, first.text);
                let (created, ended) = (moment(&status["created_at"]), moment(&status["completed_at"]));
                assert!(created <= ended, "{created} {ended}");
                assert!((created - turned).abs() < MARGIN, "begun {created}, and the database's clock says {turned}");
                assert!((ended - turned).abs() < MARGIN, "ended {ended}, and the database's clock says {turned}");
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_follow_the_clock_of_the_database_also_when_it_goes_back() {
    with_turned_clock(StackOptions::default(), 50, async |stack: &Stack| {
        for hours in [50, -50] {
            turn_clock(stack, hours).await;
            let id_time = async || {
                let id = buy(stack, &Uuid::new_v4().to_string()).await.json()["transaction_id"].clone();
                let id: Uuid = id.as_str()?.parse().ok()?;
                let (seconds, nanos) = id.get_timestamp()?.to_unix();
                DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
            };
            wait_until("ids follow the clock", PATIENCE, async || {
                let turned = Utc::now() + TimeDelta::hours(hours);
                ((id_time().await? - turned).abs() < MARGIN).then_some(())
            })
            .await;
        }
    })
    .await;
}
