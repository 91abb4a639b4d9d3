//! The contract of the orchestrator, clause by clause (contract, section 2.6).

mod api_description;
mod calls;
mod dashboard;
mod event_streams;
mod events;
mod hold;
mod idempotency;
mod inspect;
mod lists;
mod purchase;
mod retention;
mod views;

use serde_json::Value;
use tests::{Stack, http::Answer, stack::ORCHESTRATOR};

async fn buy(stack: &Stack, body: Value) -> Answer {
    stack.post(ORCHESTRATOR, "/saga/transaction", body).await
}

async fn status(stack: &Stack, id: &Value) -> Value {
    let id = id.as_str().expect("a transaction id is a string");
    stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json()
}
