//! Recovery and ownership on the real saga log: each saga whose actor has ended gets another one, however the row came
//! to lack it, and a saga that breaks its actors holds up no other.

mod cuts;
mod orphans;
mod ownership;
mod poisoned;
mod rows;

use serde_json::json;
use tests::{
    PATIENCE, Stack,
    database::Database,
    stack::{ORCHESTRATOR, with_json},
    wait_until,
};
use uuid::Uuid;

/// Puts rows of sagas into the log that the running process owns and knows nothing of, and returns their ids.
async fn plant_orphans(saga_log: &Database, user: &str, number: i32) -> Vec<Uuid> {
    let plant = "
        insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                          owner_incarnation, deadline_at)
        select gen_random_uuid(), 'checkout', 1, $1, 5, 'PENDING', gen_random_uuid(), l.node_id, l.incarnation,
               clock_timestamp() + interval '1 hour'
        from node_lease l, generate_series(1, $2)
        returning id";
    saga_log.rows(plant, &[&user, &number]).await.iter().map(|row| row.get(0)).collect()
}

/// Waits until no saga runs any more.
async fn all_ended(saga_log: &Database) {
    wait_until("every saga has ended", PATIENCE, async || {
        (saga_log.number("select count(*) from saga where ended_at is null", &[]).await == 0).then_some(())
    })
    .await;
}

/// Starts a purchase and leaves it to itself; returns its id.
async fn start(stack: &Stack, user: &str) -> Uuid {
    let body = json!({ "user_id": user, "product_id": 1, "amount": 5 });
    let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/saga/transaction");
    let answer = tests::http::send(with_json(request.header("prefer", "respond-async"), body)).await.expect(202);
    answer.json()["transaction_id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}
