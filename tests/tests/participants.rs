//! The promises of the participants, on real PostgreSQL: each thing happens once, whatever is repeated, overtaken or
//! sent at the same instant. The table below has a row for each participant that decides something for a saga.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::http::{Answer, send};
use tests::problem::{assert_bad_fields, assert_problem};
use tests::stack::{Stack, new_transaction, with_json};
use tests::{StackOptions, with_stack};

struct Operation {
    service: &'static str,
    action: &'static str,
    body: fn(&str) -> Value,
    other_contents: fn(&str) -> Value,
    undo: (Method, fn(&str) -> String),
    required: &'static [&'static str],
    faults: fn(f64) -> Value,
}

fn operations() -> [Operation; 3] {
    [
        Operation {
            service: "payments",
            action: "/payments/",
            body: |id| json!({"user_id":"user-1","transaction_id":id,"amount":99.9,"product_id":1}),
            other_contents: |id| json!({"user_id":"user-1","transaction_id":id,"amount":"99.91","product_id":1}),
            undo: (Method::POST, |id| format!("/payments/by-transaction/{id}/refund/")),
            required: &["user_id", "amount"],
            faults: |rate| json!({"charge":{"failure_rate":rate}}),
        },
        Operation {
            service: "inventory",
            action: "/inventory/decrease/",
            body: |id| json!({"product_id":1,"quantity":2,"transaction_id":id}),
            other_contents: |id| json!({"product_id":1,"quantity":3,"transaction_id":id}),
            undo: (Method::POST, |id| format!("/inventory/restore/by-transaction/{id}/")),
            required: &["product_id"],
            faults: |rate| json!({"decrease":{"failure_rate":rate}}),
        },
        Operation {
            service: "purchases",
            action: "/purchases/",
            body: |id| json!({"user_id":"u","transaction_id":id,"product_id":1,"payment_id":42,"amount":"5"}),
            other_contents: |id| json!({"user_id":"u","transaction_id":id,"product_id":1,"payment_id":43,"amount":"5"}),
            undo: (Method::DELETE, |id| format!("/purchases/by-transaction/{id}/cancel/")),
            required: &["user_id", "transaction_id", "product_id", "payment_id", "amount"],
            faults: |rate| json!({"create":{"failure_rate":rate}}),
        },
    ]
}

impl Operation {
    async fn act(&self, stack: &Stack, id: &str) -> Answer {
        stack.post(self.service, self.action, (self.body)(id)).await
    }

    async fn undo(&self, stack: &Stack, id: &str) -> Answer {
        let (method, path) = &self.undo;
        send(with_json(stack.request(method.clone(), self.service, &path(id)), "{}")).await
    }
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_other_contents_get_nothing() {
    with_stack(StackOptions::default(), async |stack| {
        for operation in operations() {
            let id = new_transaction();
            let first = operation.act(stack, &id).await.expect(200);
            assert!(!first.is_replayed());
            let again = operation.act(stack, &id).await.expect(200);
            assert!(again.is_replayed());
            assert_eq!(again.text, first.text);
            let other = stack.post(operation.service, operation.action, (operation.other_contents)(&id)).await;
            assert_problem(&other, 422);
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_recorded_and_repeated_without_another_toss() {
    with_stack(StackOptions::default(), async |stack| {
        for operation in operations() {
            stack.set_faults(operation.service, (operation.faults)(1.0)).await;
            let id = new_transaction();
            let refused = operation.act(stack, &id).await.expect(409);
            assert!(refused.is_recorded_refusal());
            stack.set_faults(operation.service, (operation.faults)(0.0)).await;
            let again = operation.act(stack, &id).await.expect(409);
            assert!(again.is_recorded_refusal() && again.is_replayed());
            assert_eq!(again.text, refused.text);
            let undone = operation.undo(stack, &id).await.expect(200);
            assert_eq!(operation.undo(stack, &id).await.expect(200).text, undone.text);
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_undone_before_it_came_never_happens() {
    with_stack(StackOptions::default(), async |stack| {
        for operation in operations() {
            let id = new_transaction();
            operation.undo(stack, &id).await.expect(200);
            let late = operation.act(stack, &id).await.expect(409);
            assert!(late.is_recorded_refusal(), "{}", operation.service);
            let other = stack.post(operation.service, operation.action, (operation.other_contents)(&id)).await;
            assert!(other.expect(409).is_recorded_refusal());
            let journal = stack.get(operation.service, &format!("/journal/{id}/")).await.expect(200).json();
            assert_eq!(journal["entries"].as_array().map(Vec::len), Some(2), "{journal}");
        }
    })
    .await;
}

#[tokio::test]
async fn answers_survive_a_restart_of_the_service() {
    with_stack(StackOptions::default(), async |stack| {
        for operation in operations() {
            let id = new_transaction();
            let first = operation.act(stack, &id).await.expect(200);
            stack.restart(operation.service).await;
            assert_eq!(operation.act(stack, &id).await.expect(200).text, first.text);
        }
    })
    .await;
}

#[tokio::test]
async fn missing_fields_are_all_named() {
    with_stack(StackOptions::default(), async |stack| {
        for operation in operations() {
            let answer = stack.post(operation.service, operation.action, "{}").await;
            assert_bad_fields(&answer, 400, operation.required);
        }
        assert_bad_fields(&stack.post("orchestrator", "/saga/transaction", "{}").await, 422, &["user_id", "amount"]);
    })
    .await;
}

#[tokio::test]
async fn sixty_four_repeats_at_once_are_one_payment() {
    with_stack(StackOptions::default(), async |stack| {
        let id = new_transaction();
        let body = json!({"user_id":"u","transaction_id":id,"amount":"7.5"});
        let answers = join_all((0..64).map(|_| stack.post("payments", "/payments/", &body))).await;
        let first = &answers[0].text;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == *first));
        assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1);
        let rows = stack.database("payments").await.number("select count(*) from app_payment", &[]).await;
        assert_eq!(rows, 1);
    })
    .await;
}

#[tokio::test]
async fn no_decrement_is_lost_and_stock_never_goes_below_zero() {
    with_stack(StackOptions::default().set("inventory.initial_stock", 250), async |stack| {
        let (mut done, mut short) = (0, 0);
        // 300 of them, 16 at a time.
        for chunk in (0..300).collect::<Vec<u32>>().chunks(16) {
            let decrease = chunk.iter().map(|_| {
                let body = json!({"product_id":"p","transaction_id":new_transaction()});
                stack.post("inventory", "/inventory/decrease/", body)
            });
            for answer in join_all(decrease).await {
                match answer.status {
                    200 => done += 1,
                    409 => {
                        let message = "Insufficient stock for product p. Available: 0, requested: 1";
                        assert_eq!(answer.json()["message"], message);
                        short += 1;
                    }
                    other => panic!("{other}: {}", answer.text),
                }
            }
        }
        assert_eq!((done, short), (250, 50));
        assert_eq!(stack.get("inventory", "/inventory/p/").await.expect(200).json()["quantity"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_payment_and_its_refund_at_the_same_instant_leave_nothing_paid() {
    with_stack(StackOptions::default(), async |stack| {
        let pay = &operations()[0];
        for _ in 0..20 {
            let ids: Vec<String> = (0..50).map(|_| new_transaction()).collect();
            join_all(ids.iter().map(|id| async move { futures::join!(pay.act(stack, id), pay.undo(stack, id)) })).await;
        }
        let payments = stack.database("payments").await;
        assert_eq!(payments.number("select count(*) from app_payment where status = 'success'", &[]).await, 0);
        assert_eq!(payments.number("select count(*) from step_journal where operation = 'refund'", &[]).await, 1_000);
    })
    .await;
}

#[tokio::test]
async fn an_empty_catalog_makes_exactly_one_product() {
    with_stack(StackOptions::default(), async |stack| {
        let catalog = stack.database("catalog").await;
        catalog.run("delete from products").await;
        stack.restart("catalog").await;
        let answers = join_all((0..50).map(|_| stack.get("catalog", "/products/random/"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(catalog.number("select count(*) from products", &[]).await, 1);
    })
    .await;
}
