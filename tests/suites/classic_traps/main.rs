//! The ways in which sagas are known to go wrong, one test each: known mistakes that must never happen here.

mod broken_undo;
mod crashes;
mod histories;
mod intermediaries;
mod interruptions;
mod lost_replies;
mod refunds;
mod refused_values;
mod waiting;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::{Answer, send},
    interposer::Interposer,
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};

const CHARGE: &str = "POST /payments/$";
const REFUND: &str = "/refund/$";
const CREATE: &str = "POST /purchases/$";

/// Runs a test with an interposer between the orchestrator and a participant.
async fn with_interposer(
    participant: &'static str,
    options: StackOptions,
    test: impl AsyncFnOnce(&Stack, &Interposer),
) {
    let interposer = Interposer::start().await;
    with_stack(options.behind(participant, &interposer.url), async |stack: &Stack| {
        interposer.before(stack.address(participant));
        test(stack, &interposer).await;
    })
    .await;
}

fn options() -> StackOptions {
    // One node id, so that a saga is taken up at once by the process that is started next.
    StackOptions::default().set("orchestrator.node_id", "trap").set("retry.action.backoff_max_ms", 20)
}

fn refusing_purchases() -> StackOptions {
    options().set("faults.purchases.create.failure_rate", 1)
}

async fn buy(stack: &Stack) -> Answer {
    stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "ada", "amount": 5 })).await
}

/// Starts a purchase without waiting for its end, and returns its id.
async fn start(stack: &Stack) -> String {
    let request = with_json(
        stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"),
        json!({ "user_id": "ada", "amount": 5 }),
    );
    let answer = send(request.header("prefer", "respond-async")).await.expect(202);
    answer.json()["transaction_id"].as_str().expect("an id").to_owned()
}

async fn status(stack: &Stack, id: &str) -> Value {
    stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json()
}

async fn ended(stack: &Stack, id: &str) -> Value {
    wait_until("the saga ends", PATIENCE, async || {
        let status = status(stack, id).await;
        (!status["completed_at"].is_null()).then_some(status)
    })
    .await
}

async fn arrived(interposer: &Interposer, what: &str, times: usize) {
    wait_until(what, PATIENCE, async || (interposer.arrived(what) >= times).then_some(())).await;
}

/// Returns the statuses of the payments of a saga.
async fn payments(stack: &Stack, id: &str) -> Vec<String> {
    let rows = stack.database("payments").await;
    let rows =
        rows.rows("select status from app_payment where transaction_id = $1 and status <> 'tombstone'", &[&id]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

fn id(answer: &Answer) -> String {
    answer.json()["transaction_id"].as_str().expect("an id").to_owned()
}
