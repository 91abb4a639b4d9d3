//! Purchases over a network that loses, repeats and cuts.

use tests::{
    PATIENCE, Stack, StackOptions, actors, operations::FAULTY, stack::ORCHESTRATOR, transactions, wait_until,
    with_stack,
};

use super::{assert_answers_are_true, buy, buy_all, default_failures, simple_order};

#[tokio::test(flavor = "multi_thread")]
async fn with_every_fault_of_the_network_at_once_every_saga_ends_and_the_books_agree() {
    const PURCHASES: usize = 150;
    let mut options = default_failures();
    for (service, operation) in FAULTY {
        for fault in ["unavailable_rate", "lost_reply_rate", "cut_connection_rate", "duplicate_rate"] {
            options = options.set(&format!("faults.{service}.{operation}.{fault}"), 0.3);
        }
    }
    // Inventory and purchases refuse less, so that enough sagas reach them over such a network.
    let options = options
        .set("faults.payments.charge.failure_rate", 0.1)
        .set("faults.inventory.decrease.failure_rate", 0.1)
        .set("faults.purchases.create.failure_rate", 0.1)
        .set("retry.action.attempts", 8);
    with_stack(options, async |stack: &Stack| {
        let answers = buy_all(stack, (0..PURCHASES).map(simple_order), 32).await;
        let transactions = transactions::consistent(stack).await;
        assert_eq!(assert_answers_are_true(&answers, &transactions).len(), PURCHASES);
        for status in ["COMPLETED", "COMPENSATED"] {
            let count = transactions::with_status(&transactions, status).len();
            println!("{count} {status}");
            assert!(count > 0, "no saga is {status}: this run shows nothing");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_outlives_a_network_that_stops_and_breaks_between_the_services() {
    for participant in ["catalog", "payments", "inventory", "purchases"] {
        let options = StackOptions::default().through_proxy(participant);
        with_stack(options, async |stack: &Stack| {
            // The held connection has worked before.
            buy(stack, simple_order(0)).await.expect(200);
            stack.proxy(participant).hold();
            let purchase = buy(stack, simple_order(1));
            let disturb = async {
                wait_until("the saga waits", PATIENCE, async || {
                    let tree = actors::tree(stack, ORCHESTRATOR).await;
                    (!actors::named(&tree, "coordinator").children.is_empty()).then_some(())
                })
                .await;
                stack.proxy(participant).cut();
                stack.proxy(participant).flow();
            };
            let (answer, ()) = futures::join!(purchase, disturb);
            answer.expect(200);
            assert_eq!(transactions::with_status(&transactions::consistent(stack).await, "COMPLETED").len(), 2);
        })
        .await;
    }
}
