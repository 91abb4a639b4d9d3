//! Purchases from a client's request to the rows in five databases, with the failures of the exercise and with all
//! faults of the failure lab.

mod configuration;
mod events;
mod network;
mod outcomes;
mod restarts;

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{Stack, StackOptions, http::Answer, operations::FAULTY, stack::ORCHESTRATOR, transactions::Transactions};
use uuid::Uuid;

/// Draws a seed for the failure lab's draws and prints it.
fn drawn_seed() -> u64 {
    let seed = u64::from(Uuid::new_v4().as_fields().0);
    println!("faults.seed = {seed}");
    seed
}

/// The failure rates of the exercise, without latency.
fn default_failures() -> StackOptions {
    let mut options = StackOptions::default().profile("development").set("faults.seed", drawn_seed());
    for (service, operation) in FAULTY {
        for bound in ["min", "max"] {
            options = options.set(&format!("faults.{service}.{operation}.latency_ms.{bound}"), 0);
        }
    }
    options
}

async fn buy(stack: &Stack, body: Value) -> Answer {
    stack.post(ORCHESTRATOR, "/saga/transaction", body).await
}

/// Makes one purchase per body, `at_a_time` of them concurrently.
async fn buy_all(stack: &Stack, bodies: impl IntoIterator<Item = Value>, at_a_time: usize) -> Vec<Answer> {
    stream::iter(bodies).map(|body| buy(stack, body)).buffered(at_a_time).collect().await
}

fn simple_order(number: usize) -> Value {
    json!({ "user_id": format!("user-{number}"), "amount": 10 })
}

/// Checks that each answer agrees with the databases; returns the answered statuses by transaction.
fn assert_answers_are_true(answers: &[Answer], transactions: &Transactions) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for answer in answers {
        let body = answer.json();
        let id = body["transaction_id"].as_str().unwrap_or_else(|| panic!("no transaction: {body}"));
        let status = body["status"].as_str().unwrap_or_default();
        let code = match status {
            "COMPLETED" => 200,
            "COMPENSATED" => 409,
            "FAILED" => 502,
            "PENDING" => 202,
            _ => panic!("{}: {body}", answer.status),
        };
        assert_eq!(answer.status, code, "{body}");
        let entry = &transactions[id];
        if code == 200 || code == 409 {
            assert_eq!(entry.status, status, "{body}");
            let taken = entry.payment.as_ref().filter(|payment| payment.status != "error");
            let told = body["details"]["payment_id"].as_str();
            // A payment whose reply was lost is named by its refund.
            assert_eq!(told.map(str::to_owned), taken.map(|payment| payment.id.to_string()), "{body}");
        }
        assert_eq!(told.insert(id.to_owned(), status.to_owned()), None, "{id} was given to two clients");
    }
    told
}
