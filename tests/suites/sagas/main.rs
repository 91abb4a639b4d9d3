//! Sagas of any definition: given over HTTP and in files, run, listed, and refused.

mod definitions;
mod files;
mod run;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Stack,
    http::{Answer, send},
    stack::{ORCHESTRATOR, with_json},
};

/// A purchase as a definition: payment and stock at once, then the record of both.
fn shop() -> Value {
    json!({
        "input": {
            "type": "object",
            "required": ["user", "product", "amount"],
            "additionalProperties": false,
            "properties": {
                "user": { "type": "string", "minLength": 1 },
                "product": { "type": "integer", "minimum": 1 },
                "amount": { "type": "number", "exclusiveMinimum": 0 }
            }
        },
        "steps": [
            {
                "name": "charge",
                "participant": "payments",
                "action": {
                    "method": "POST", "path": "/payments/",
                    "body": { "user_id": "{input.user}", "transaction_id": "{saga.id}", "amount": "{input.amount}" },
                    "expect": { "/status": "success", "/transaction_id": "{saga.id}" }
                },
                "compensation": { "method": "POST", "path": "/payments/by-transaction/{saga.id}/refund/", "body": {} },
                "outputs": { "payment": "/payment_id" }
            },
            {
                "name": "stock",
                "participant": "inventory",
                "after": [],
                "action": {
                    "method": "POST", "path": "/inventory/decrease/",
                    "body": { "product_id": "{input.product}", "quantity": 1, "transaction_id": "{saga.id}" }
                },
                "compensation": { "method": "POST", "path": "/inventory/restore/by-transaction/{saga.id}/", "body": {} }
            },
            {
                "name": "record",
                "participant": "purchases",
                "after": ["charge", "stock"],
                "action": {
                    "method": "POST", "path": "/purchases/",
                    "body": {
                        "user_id": "{input.user}", "transaction_id": "{saga.id}", "product_id": "{input.product}",
                        "payment_id": "{outputs.charge.payment}", "amount": "{input.amount}"
                    }
                },
                "compensation": { "method": "DELETE", "path": "/purchases/by-transaction/{saga.id}/cancel/" },
                "outputs": { "purchase": "/purchase_id" }
            }
        ]
    })
}

async fn put(stack: &Stack, title: &str, body: Value) -> Answer {
    let path = format!("/sagas/definitions/{title}");
    send(with_json(stack.request(Method::PUT, ORCHESTRATOR, &path), body)).await
}

async fn run(stack: &Stack, body: Value) -> Answer {
    run_with(stack, &[], body).await
}

async fn run_with(stack: &Stack, headers: &[(&str, &str)], body: Value) -> Answer {
    let mut request = with_json(stack.request(Method::POST, ORCHESTRATOR, "/sagas"), body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

fn order() -> Value {
    json!({ "definition": "shop", "input": { "user": "ada", "product": 3, "amount": 12.5 } })
}

async fn show(stack: &Stack, id: &Value) -> Value {
    let id = id.as_str().expect("a saga id is a string");
    stack.get(ORCHESTRATOR, &format!("/sagas/{id}")).await.expect(200).json()
}
