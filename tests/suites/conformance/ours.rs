//! Our own participants keep the rules that others are tested by.

use futures::FutureExt;
use serde_json::json;
use tests::{Stack, StackOptions, with_stack};

use crate::{assert_conforms, conform};

/// The requests of each participant.
const PLANS: [(&str, &str); 3] = [
    (
        "payments",
        r#"
        step = "charge"
        [action]
        path = "/payments/"
        body = { user_id = "user-1", transaction_id = "{saga.id}", amount = 99.90, product_id = "1" }
        [compensation]
        path = "/payments/by-transaction/{saga.id}/refund/"
        [other_contents]
        body = { amount = 99.91 }
        [refusal]
        tries = 60
        [effects]
        path = "/payments/by-transaction/{saga.id}/"
        if = { "/status" = "success" }
        "#,
    ),
    (
        "inventory",
        r#"
        step = "decrease"
        [action]
        path = "/inventory/decrease/"
        body = { product_id = "1", quantity = 1, transaction_id = "{saga.id}" }
        [compensation]
        path = "/inventory/restore/by-transaction/{saga.id}/"
        [other_contents]
        body = { quantity = 2 }
        [refusal]
        body = { quantity = 1000000 }
        "#,
    ),
    (
        "purchases",
        r#"
        step = "create"
        [action]
        path = "/purchases/"
        body = { user_id = "user-1", transaction_id = "{saga.id}", product_id = "1", payment_id = "42", amount = "9.90" }
        [compensation]
        method = "DELETE"
        path = "/purchases/by-transaction/{saga.id}/cancel/"
        [other_contents]
        body = { payment_id = "43" }
        [refusal]
        tries = 60
        [effects]
        path = "/purchases/{saga.id}/"
        if = { "/status" = "success" }
        "#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn our_participants_keep_every_rule() {
    let options = StackOptions::default().set("inventory.initial_stock", 10_000);
    with_stack(options, async |stack: &Stack| {
        // The faults end with a restart, where only decided requests are repeated.
        stack.set_faults("payments", json!({ "charge": { "failure_rate": 0.5 } })).await;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 0.5 } })).await;
        for (service, requests) in PLANS {
            let plan = format!("url = \"http://{}\"\n{requests}", stack.address(service));
            let restart = || async { stack.restart(service).await }.map(Ok).boxed_local();
            assert_conforms(service, &conform(&plan, &restart).await);
        }
    })
    .await;
}
