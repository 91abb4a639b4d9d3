//! Fuzzing: every answer to any request on any route matches the service's description, and the service keeps running.
//!
//! ```text
//! /openapi.json ─► Endpoint ─► Attempt (segments, query, headers, body: near the example, or nonsense) ─► Wire
//!                                                                                                         │
//!            no service failure, no hang, as described, connection still usable           ◄── judge ◄─────┘
//! ```
//! The routes come from the descriptions, so a new route is covered automatically. Cases are the same in every run;
//! `PROPTEST_RNG_SEED` selects others, `PROPTEST_CASES` their number per route. A failed case is written to
//! `regressions` beside this file, to be committed with the fix; from then on it is tried first.

mod attempt;
mod endpoint;
mod headers;
mod json;
mod judge;
mod malformed;
mod raw_text;
mod runner;
mod wire;

use std::{cell::RefCell, collections::BTreeMap};

use endpoint::Endpoint;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions,
    api_description::ApiDescription,
    http::send,
    stack::{ORCHESTRATOR, SERVICES, with_json},
    transactions::{self, WithoutSaga},
    with_stack,
};

/// A stack without limits that the fuzzer would reach.
fn robust() -> StackOptions {
    StackOptions::default()
        .set("inventory.initial_stock", 1_000_000)
        .set("orchestrator.max_event_listeners", 1_000)
        .set("orchestrator.max_event_listeners_per_client", 0)
}

async fn buy(stack: &Stack) -> String {
    let body = json!({ "user_id": "user-123", "product_id": 1, "amount": 99.99 });
    let bought = stack.post(ORCHESTRATOR, "/saga/transaction", body).await.expect(200).json();
    bought["transaction_id"].as_str().expect("an answer names its transaction").to_owned()
}

/// Sends generated requests to every route of a service. A fuzzer without effect proves nothing: many requests must
/// have been accepted, and many refused.
async fn fuzz(stack: &Stack, service: &'static str, known_ids: &[String]) {
    let description = ApiDescription::of(stack, service).await;
    let faults = faults(stack).await;
    let endpoints = Endpoint::all(&description);
    let tally = RefCell::new(BTreeMap::<u16, usize>::new());
    for endpoint in &endpoints {
        let address = stack.address(service);
        runner::run(service, &endpoint.id, endpoint.attempts(known_ids), async |attempt| {
            let judged = judge::send(&description, address, attempt).await;
            if endpoint.method == "PUT" {
                // Accepted failure settings would make all later requests fail.
                restore(stack, &faults).await;
            }
            *tally.borrow_mut().entry(judged.clone()?).or_default() += 1;
            Ok(())
        })
        .await;
    }
    let tally = tally.into_inner();
    println!("{service}: {} routes, answers by status: {tally:?}", endpoints.len());
    let all: usize = tally.values().sum();
    for class in [200..300, 400..500] {
        let answers: usize = tally.range(class.clone()).map(|(_, answers)| answers).sum();
        assert!(answers * 10 > all, "{service}: {answers} of {all} answers are {class:?}: {tally:?}");
    }
}

type Faults = Vec<(&'static str, Value)>;

async fn faults(stack: &Stack) -> Faults {
    let mut all = Vec::new();
    for service in SERVICES.into_iter().filter(|service| *service != ORCHESTRATOR) {
        all.push((service, stack.get(service, "/debug/faults").await.expect(200).json()));
    }
    all
}

async fn restore(stack: &Stack, faults: &Faults) {
    for (service, settings) in faults {
        let request = stack.request(Method::PUT, service, "/debug/faults");
        send(with_json(request, settings)).await.expect(200);
    }
}

/// Asserts that all services are healthy and none of their actors was restarted.
async fn assert_unharmed(stack: &Stack) {
    for service in SERVICES {
        stack.get(service, "/health/").await.expect(200);
        let tree = stack.get(service, "/debug/actors").await.expect(200).json();
        assert_eq!(restarts(&tree), 0, "{service}: {tree:#}");
    }
}

fn restarts(actor: &Value) -> u64 {
    let children = actor["children"].as_array().into_iter().flatten();
    actor["restarts"].as_u64().expect("an actor tells its restarts") + children.map(restarts).sum::<u64>()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_to_a_participant_is_answered_as_described() {
    with_stack(robust(), async |stack: &Stack| {
        let known_ids = ["1", "2", "42", "txn-456", "user-123"].map(str::to_owned);
        for participant in SERVICES.into_iter().filter(|service| *service != ORCHESTRATOR) {
            fuzz(stack, participant, &known_ids).await;
        }
        assert_unharmed(stack).await;
        buy(stack).await;
        // Effects without a saga stay for good; the databases must still agree.
        transactions::consistent_beside(stack, WithoutSaga::Allowed).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_to_the_orchestrator_is_answered_as_described_and_the_books_agree() {
    with_stack(robust(), async |stack: &Stack| {
        let known_ids = vec![buy(stack).await, buy(stack).await];
        fuzz(stack, ORCHESTRATOR, &known_ids).await;
        assert_unharmed(stack).await;
        buy(stack).await;
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_made_up_are_problems_or_lead_where_they_say() {
    with_stack(robust(), async |stack: &Stack| {
        for service in SERVICES {
            let description = ApiDescription::of(stack, service).await;
            let address = stack.address(service);
            runner::run(service, "addresses", attempt::astray(), async |attempt| {
                judge::send(&description, address, attempt).await.map(drop)
            })
            .await;
        }
        assert_unharmed(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused_and_nothing_else_suffers() {
    with_stack(robust(), async |stack: &Stack| {
        for service in SERVICES {
            let address = stack.address(service);
            for request in malformed::first_lines() {
                assert_eq!(malformed::send(address, request.clone()).await, Ok(()), "{service}: {request:?}");
            }
            runner::run(service, "malformed", malformed::requests(), async |request| {
                malformed::send(address, request).await
            })
            .await;
        }
        assert_unharmed(stack).await;
        buy(stack).await;
        transactions::consistent(stack).await;
    })
    .await;
}
