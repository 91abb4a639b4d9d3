//! The events of two orchestrators on one log, received by listeners at both.

use std::collections::BTreeMap;

use orchestrator::store::row_text;
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions,
    events::{Event, Listener},
    stack::ORCHESTRATOR,
    transactions,
    transactions::Transactions,
    with_stack,
};

use super::{buy_all, default_failures, simple_order};

/// Collects events until this many sagas have ended.
async fn hear(listener: &mut Listener, sagas: usize) -> Vec<Event> {
    let mut ended = 0;
    listener
        .until(|event| {
            ended += usize::from(event.data["ended"] == true);
            ended == sagas
        })
        .await
}

/// Checks that every change of status of each saga was received once and in order.
fn assert_statuses_are_complete(events: &[Event], transactions: &Transactions) {
    let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.name == "saga") {
        told.entry(event.saga()).or_default().push(event.brief());
    }
    assert_eq!(told.len(), transactions.len());
    for (id, entry) in transactions {
        let told: Vec<&str> = told[id.as_str()].iter().map(String::as_str).collect();
        let expected: &[&[&str]] = match entry.status.as_str() {
            "COMPLETED" => &[&["PENDING", "COMPLETED!"]],
            // A saga without effects when it turned back has nothing to undo.
            _ => &[&["PENDING", "COMPENSATING", "COMPENSATED!"], &["PENDING", "COMPENSATED!"]],
        };
        assert!(expected.contains(&&told[..]), "{id}: {entry:?}, {told:?}");
    }
}

/// Checks that the last event of each step equals its state in the log.
async fn assert_steps_stand_as_told(stack: &Stack, events: &[Event]) {
    let mut last: BTreeMap<(&str, &str), &Value> = BTreeMap::new();
    for event in events.iter().filter(|event| event.name == "step") {
        let step = event.data["step"].as_str().expect("a step has a name");
        last.insert((event.saga(), step), &event.data["state"]);
    }
    let rows = "select id::text, timeline from saga";
    for row in stack.database(ORCHESTRATOR).await.rows(rows, &[]).await {
        let (id, timeline): (String, String) = (row.get(0), row.get(1));
        for step in row_text::to_steps(&timeline) {
            let told = last.get(&(id.as_str(), &*step.step));
            assert_eq!(**told.unwrap_or(&&json!("pending")), *step.state, "{id}: {step:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_at_both_of_two_orchestrators_hear_every_change_of_every_saga_once_and_in_order() {
    const SAGAS: usize = 150;
    with_stack(default_failures(), async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        let mut listeners = Vec::new();
        for address in stack.addresses_of(ORCHESTRATOR) {
            listeners.push(Listener::open_at(stack, address, "").await);
        }
        let [one, other] = &mut listeners[..] else { panic!("two orchestrators run") };
        let buying = buy_all(stack, (0..SAGAS).map(simple_order), 24);
        let (_, heard, heard_too) = futures::join!(buying, hear(one, SAGAS), hear(other, SAGAS));
        let transactions = transactions::consistent(stack).await;
        assert_statuses_are_complete(&heard, &transactions);
        assert_steps_stand_as_told(stack, &heard).await;
        let ids = |events: &[Event]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&heard), ids(&heard_too));
        // An event id of one orchestrator is valid at the other.
        let middle = &heard[heard.len() / 2];
        let address = stack.addresses_of(ORCHESTRATOR)[1];
        let mut again = Listener::open_at(stack, address, &format!("?last_event_id={}", middle.id)).await;
        for expected in &heard[heard.len() / 2 + 1..] {
            assert_eq!(again.next().await.expect("it goes on").id, expected.id);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_of_sagas_that_change_their_owner_as_of_any_other() {
    const SAGAS: usize = 40;
    let options = StackOptions::default().set("orchestrator.grace_ms", 0).set("http.drain_grace_ms", 1_000);
    with_stack(options, async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        stack.set_faults("inventory", json!({ "decrease": { "latency_ms": { "min": 1_500, "max": 2_500 } } })).await;
        let address = stack.addresses_of(ORCHESTRATOR)[1];
        let mut listener = Listener::open_at(stack, address, "").await;
        let buying = buy_all(stack, (0..SAGAS).map(simple_order), SAGAS);
        let listen = async {
            // All sagas run when one of their two owners stops.
            let mut under_way = 0;
            let mut heard = listener
                .until(|event| {
                    under_way += usize::from(event.brief() == "decrease running");
                    under_way == SAGAS
                })
                .await;
            stack.stop(ORCHESTRATOR).await;
            let ended = heard.iter().filter(|event| event.data["ended"] == true).count();
            heard.extend(hear(&mut listener, SAGAS - ended).await);
            heard
        };
        let (_, heard) = futures::join!(buying, listen);
        let transactions = transactions::consistent(stack).await;
        assert_statuses_are_complete(&heard, &transactions);
        let taken_over = "select count(*) from saga where epoch > 1";
        assert!(stack.database(ORCHESTRATOR).await.number(taken_over, &[]).await > 0);
    })
    .await;
}
