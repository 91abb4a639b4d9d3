//! The ends of purchases: by chance, by shortage, and each for its own client.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, actors, chance::plausible_counts, stack::ORCHESTRATOR, transactions, wait_until,
    with_stack,
};

use super::{assert_answers_are_true, buy, buy_all, default_failures, simple_order};

/// Probability that a test fails although nothing is wrong.
const RISK: f64 = 1e-9;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_purchases_with_the_default_failure_rates_end_as_chance_has_it() {
    const PURCHASES: usize = 200;
    with_stack(default_failures(), async |stack: &Stack| {
        let answers = buy_all(stack, (0..PURCHASES).map(simple_order), 16).await;
        let transactions = transactions::consistent(stack).await;
        assert_eq!(assert_answers_are_true(&answers, &transactions).len(), PURCHASES);

        let completed = transactions::with_status(&transactions, "COMPLETED").len();
        assert_eq!(completed + transactions::with_status(&transactions, "COMPENSATED").len(), PURCHASES);
        // Three independent draws must accept: 0.5 each.
        let plausible = plausible_counts(PURCHASES as u32, 0.125, RISK);
        assert!(plausible.contains(&(completed as u32)), "{completed} completed, expected {plausible:?}");

        // Without lost replies each answer names the payment exactly if it was taken.
        for answer in answers {
            let body = answer.json();
            let entry = &transactions[body["transaction_id"].as_str().unwrap()];
            let payment = entry.payment.as_ref().expect("the catalog never refuses, so all were charged");
            let expected = match payment.status.as_str() {
                "error" => Value::Null,
                _ => json!(payment.id.to_string()),
            };
            assert_eq!(body["details"]["payment_id"], expected, "{body}");
        }
        for (service, share) in [("payments", 0.5), ("inventory", 0.25), ("purchases", 0.125)] {
            let refused = transactions.values().filter(|entry| {
                let error = entry.error.as_deref().unwrap_or_default();
                error.starts_with(&format!("409: {service} conflict: "))
            });
            let (refused, plausible) = (refused.count(), plausible_counts(PURCHASES as u32, share, RISK));
            assert!(plausible.contains(&(refused as u32)), "{service} refused {refused}, expected {plausible:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_at_once_are_each_told_of_their_own_purchase() {
    const CLIENTS: usize = 100;
    with_stack(default_failures(), async |stack: &Stack| {
        let order = |client: usize| {
            let (product, cents) = (client % 20 + 1, 100 + client);
            let amount = format!("{}.{:02}", cents / 100, cents % 100);
            (format!("client-{client}"), product.to_string(), amount)
        };
        let orders = (0..CLIENTS).map(order);
        let bodies = orders
            .clone()
            .map(|(user, product, amount)| json!({ "user_id": user, "product_id": product, "amount": amount }));
        let answers = join_all(bodies.map(|body| buy(stack, body))).await;
        let transactions = transactions::consistent(stack).await;
        assert_eq!(assert_answers_are_true(&answers, &transactions).len(), CLIENTS);
        for ((user, product, amount), answer) in orders.zip(&answers) {
            let body = answer.json();
            let details = &body["details"];
            assert_eq!((&details["user_id"], &details["product_id"]), (&json!(user), &json!(product)));
            if answer.status == 200 {
                assert!(answer.text.contains(&format!("\"amount\":{amount}")), "{amount}: {}", answer.text);
            }
            let id = body["transaction_id"].as_str().unwrap();
            let path = format!("/payments/by-transaction/{id}/");
            let payment = stack.get("payments", &path).await.expect(200).json();
            assert_eq!((&payment["user_id"], &payment["amount"]), (&json!(user), &json!(amount)));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_stock_runs_out_buyers_get_their_money_back_and_are_told_why() {
    const STOCK: usize = 7;
    const BUYERS: usize = 20;
    let options = StackOptions::default().set("inventory.initial_stock", STOCK);
    with_stack(options, async |stack: &Stack| {
        let order = |number| json!({ "user_id": format!("user-{number}"), "product_id": 5, "amount": 10 });
        let answers = buy_all(stack, (0..BUYERS).map(order), BUYERS).await;
        let transactions = transactions::consistent(stack).await;
        assert_answers_are_true(&answers, &transactions);
        let (lucky, late): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((lucky.len(), late.len()), (STOCK, BUYERS - STOCK));
        for answer in late {
            let body = answer.json();
            let error = "409: inventory conflict: Insufficient stock for product 5. Available: 0, requested: 1";
            assert_eq!(body["details"]["error"], error);
            let payment = transactions[body["transaction_id"].as_str().unwrap()].payment.clone().unwrap();
            assert_eq!(payment.status, "compensated");
            assert_eq!(body["details"]["payment_id"], payment.id.to_string());
        }
        assert_eq!(stack.get("inventory", "/inventory/5/").await.expect(200).json()["quantity"], 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_other_stock_rule_a_reverted_purchase_gives_its_stock_back() {
    let options = StackOptions::default().set("checkout.compensate_inventory", true);
    with_stack(options, async |stack: &Stack| {
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        buy(stack, json!({ "user_id": "u", "product_id": 5, "amount": 10 })).await.expect(409);
        let transactions = transactions::consistent(stack).await;
        assert!(transactions.values().all(|entry| entry.decrements == 0), "{transactions:?}");
        assert_eq!(stack.get("inventory", "/inventory/5/").await.expect(200).json()["quantity"], 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_waiting_sagas_are_all_to_be_seen_while_they_wait() {
    const SAGAS: usize = 500;
    let options = StackOptions::default()
        .set("inventory.initial_stock", SAGAS)
        .set("participants.timeout_ms", 600_000)
        .set("http.drain_grace_ms", 100);
    with_stack(options, async |stack: &Stack| {
        let slow = json!({ "decrease": { "latency_ms": { "min": 60_000, "max": 60_000 } } });
        stack.set_faults("inventory", slow).await;
        let order = |number| json!({ "user_id": format!("user-{number}"), "product_id": 5, "amount": 10 });
        let purchases = join_all((0..SAGAS).map(|number| buy(stack, order(number))));
        let look = async {
            let waiting = wait_until("all sagas wait for inventory", PATIENCE, async || {
                let tree = actors::tree(stack, ORCHESTRATOR).await;
                let sagas = &actors::named(&tree, "coordinator").children;
                let waiting = sagas.iter().filter(|saga| saga.state.to_string().contains("decrease"));
                let names: Vec<String> = waiting.map(|saga| saga.name.clone()).collect();
                (names.len() == SAGAS).then_some(names)
            })
            .await;
            for name in &waiting {
                let (_, id) = name.rsplit_once('/').expect("a saga is named after its id");
                let status = stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json();
                // The call is still running when the answer arrives, so the answer did not wait for it.
                assert_eq!((&status["status"], &status["steps"][2]["state"]), (&json!("PENDING"), &json!("running")));
            }
            // Cuts the running calls and resets the latency.
            stack.restart("inventory").await;
        };
        let (answers, ()) = futures::join!(purchases, look);
        let transactions = transactions::consistent(stack).await;
        assert_answers_are_true(&answers, &transactions);
        assert_eq!(transactions::with_status(&transactions, "COMPLETED").len(), SAGAS);
    })
    .await;
}
