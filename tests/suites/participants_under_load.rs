//! The participants under concurrent load: their guarantees hold for any number of concurrent callers on any number of
//! replicas. Each participant has two replicas here on one database, called in turn.

use std::collections::BTreeSet;

use domain_services::PARTICIPANTS;
use futures::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::Answer,
    operations::{OPERATIONS, Outcome},
    stack::new_transaction,
    wait_until, with_stack,
};

async fn with_replicas(options: StackOptions, test: impl AsyncFnOnce(&Stack)) {
    with_stack(options, async |stack: &Stack| {
        for participant in PARTICIPANTS {
            stack.add_replica(participant).await;
        }
        test(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_decrements_of_one_product_are_all_counted_and_then_it_is_short() {
    const STOCK: i64 = 250;
    const REQUESTS: usize = 300;
    let options = StackOptions::default().set("inventory.initial_stock", STOCK);
    with_replicas(options, async |stack: &Stack| {
        let answers: Vec<Answer> = stream::iter(0..REQUESTS)
            .map(|_| stack.post("inventory", "/inventory/decrease/", r#"{"product_id":"1"}"#))
            .buffer_unordered(16)
            .collect()
            .await;
        let (taken, short): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        let remaining: BTreeSet<i64> =
            taken.iter().filter_map(|answer| answer.json()["remaining_quantity"].as_i64()).collect();
        assert_eq!(remaining, (0..STOCK).collect(), "each decrement leaves another quantity");
        assert_eq!(short.len(), REQUESTS - remaining.len());
        let message = "Insufficient stock for product 1. Available: 0, requested: 1";
        for answer in short {
            assert_eq!(answer.json(), json!({ "status": "error", "message": message }));
            assert!(answer.is_recorded_refusal());
        }
        let stock = stack.get("inventory", "/inventory/1/").await.expect(200).json();
        assert_eq!(stock["quantity"], 0);
        let inventory = stack.database("inventory").await;
        let moved = "select coalesce(sum(quantity), 0)::bigint from stock_movement where status = 'done'";
        assert_eq!(inventory.number(moved, &[]).await, STOCK);
        assert_eq!(inventory.number("select count(*) from stock_difference", &[]).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_repeats_at_once_are_one_action_with_one_answer() {
    with_replicas(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let id = new_transaction();
            let answers = join_all((0..64).map(|_| operation.act(stack, &id))).await;
            for answer in &answers {
                operation.assert_outcome(answer, &id, Outcome::Done);
                assert_eq!(answer.text, answers[0].text);
            }
            let first = answers.iter().filter(|answer| !answer.is_replayed()).count();
            assert_eq!(first, 1, "all others are told that they are repeats");
            assert_eq!(operation.rows(stack, &id).await, 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_at_once_of_a_coin_that_may_fall_either_way_are_all_told_the_same() {
    with_replicas(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let faults = json!({ operation.action: { "failure_rate": 0.5, "duplicate_rate": 0.5 } });
            stack.set_faults(operation.service, faults).await;
            for _ in 0..20 {
                let id = new_transaction();
                let answers = join_all((0..8).map(|_| operation.act(stack, &id))).await;
                for answer in &answers {
                    assert_eq!((answer.status, &answer.text), (answers[0].status, &answers[0].text));
                    assert_eq!(answer.is_recorded_refusal(), answer.status == 409);
                }
                assert_eq!(operation.live(stack, &id).await, i64::from(answers[0].status == 200));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_and_its_compensation_at_the_same_instant_leave_nothing_live() {
    const PAIRS: usize = 1_000;
    let options = StackOptions::default().set("inventory.initial_stock", PAIRS);
    with_replicas(options, async |stack: &Stack| {
        for operation in &OPERATIONS {
            let outcomes: Vec<bool> = stream::iter(0..PAIRS)
                .map(|pair| async move {
                    let id = new_transaction();
                    let (act, compensate) = (operation.act(stack, &id), operation.compensate(stack, &id));
                    // Both sending orders, so that either request can arrive first.
                    let (acted, compensated) = match pair % 2 {
                        0 => futures::join!(act, compensate),
                        _ => {
                            let (compensated, acted) = futures::join!(compensate, act);
                            (acted, compensated)
                        }
                    };
                    assert_eq!(compensated.status, 200, "{}", compensated.text);
                    match acted.status {
                        200 => true,
                        409 => {
                            assert!(acted.is_recorded_refusal(), "{}", acted.text);
                            false
                        }
                        _ => panic!("{}", acted.text),
                    }
                })
                .buffer_unordered(32)
                .collect()
                .await;
            let done = outcomes.iter().filter(|done| **done).count();
            println!("{}: {done} of {PAIRS} actions came first", operation.service);
            assert_eq!(live_transactions(stack, operation.service).await, 0, "{}", operation.service);
        }
        let differences = "select count(*) from stock_difference";
        assert_eq!(stack.database("inventory").await.number(differences, &[]).await, 0);
    })
    .await;
}

/// Counts a participant's transactions with a live effect.
async fn live_transactions(stack: &Stack, service: &str) -> i64 {
    let live = match service {
        "payments" => "select count(*) from app_payment where status = 'success'",
        "purchases" => "select count(*) from app_purchase where status = 'success'",
        "inventory" => {
            "select count(*) from (select 1 from stock_movement where status = 'done' group by transaction_id
              having count(*) filter (where kind = 'decrement') > count(*) filter (where kind = 'restore')) live"
        }
        _ => panic!("{service} has no effects"),
    };
    stack.database(service).await.number(live, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn compensations_of_one_action_at_once_are_all_confirmed_alike() {
    with_replicas(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            for _ in 0..50 {
                let id = new_transaction();
                operation.act(stack, &id).await.expect(200);
                let answers = join_all((0..8).map(|_| operation.compensate(stack, &id))).await;
                for answer in &answers {
                    operation.assert_outcome(answer, &id, Outcome::Compensated);
                    assert_eq!(answer.text, answers[0].text);
                }
                assert_eq!(operation.live(stack, &id).await, 0);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compensations_that_come_before_their_actions_refuse_all_of_them() {
    with_replicas(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let id = new_transaction();
            let confirmed = join_all((0..16).map(|_| operation.compensate(stack, &id))).await;
            for answer in confirmed {
                operation.assert_outcome(&answer, &id, Outcome::NothingToCompensate);
            }
            let late = join_all((0..16).map(|_| operation.act(stack, &id))).await;
            for answer in late {
                assert_eq!(answer.status, 409, "{}", answer.text);
                assert!(answer.is_recorded_refusal());
            }
            assert_eq!(operation.rows(stack, &id).await, 0, "{}", operation.service);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_of_an_empty_catalog_make_exactly_one_product() {
    with_replicas(StackOptions::default(), async |stack: &Stack| {
        let products = stack.database("catalog").await;
        products.run("delete from products").await;
        wait_until("both catalogs know that they are empty", PATIENCE, async || {
            let looks = join_all((0..2).map(|_| stack.get("catalog", "/products/1/"))).await;
            looks.iter().all(|look| look.status == 404).then_some(())
        })
        .await;
        let answers = join_all((0..50).map(|_| stack.get("catalog", "/products/random/"))).await;
        let made: BTreeSet<String> = answers
            .into_iter()
            .map(|answer| {
                let product: Value = answer.expect(200).json();
                product["product_id"].to_string()
            })
            .collect();
        assert_eq!(made.len(), 1, "{made:?}");
        assert_eq!(products.number("select count(*) from products", &[]).await, 1);
    })
    .await;
}
