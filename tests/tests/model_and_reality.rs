//! The model against reality: random sequences of operations, repeated and at the same time, on a participant on
//! PostgreSQL and on its twin of the simulator. Both give the same answers, so what the simulator proves with its twins
//! holds for the real ones.
//!
//! What is asked for at the same time may be decided in any order: the twin is asked in every order, and one of them must
//! give the answers that were seen. Numbers that a database draws (payment and purchase ids) are compared by whose they
//! are.

use std::collections::HashMap;

use chrono::DateTime;
use common::faults::{self, Dice};
use futures::future::join_all;
use orchestrator::{
    saga::definition::{Method, Request},
    simulation::participants::{Ask, Coin, Inventory, Payments, Purchases, Reply},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use tests::{Stack, StackOptions, http::Answer, http::send, stack::new_transaction};

/// Pieces of a product: few enough to run out in a sequence.
const STOCK: i32 = 4;
/// Sequences a participant.
const CASES: u32 = 40;

/// One of the participants.
#[derive(Clone, Copy, Debug)]
enum Service {
    Payments,
    Inventory,
    Purchases,
}

/// Something that is asked of it, for one of the transactions of a sequence.
#[derive(Clone, Debug)]
struct Operation {
    transaction: usize,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// The action; several contents, so that the same transaction may come with others.
    Act {
        contents: usize,
    },
    Compensate,
}

/// The twin of a participant.
#[derive(Clone)]
enum Twin {
    Payments(Payments),
    Inventory(Inventory),
    Purchases(Purchases),
}

impl Twin {
    fn of(service: Service) -> Twin {
        match service {
            Service::Payments => Twin::Payments(Payments::default()),
            Service::Inventory => Twin::Inventory(Inventory::new(STOCK)),
            Service::Purchases => Twin::Purchases(Purchases::default()),
        }
    }

    fn answer(&mut self, request: &Request, coin: Coin) -> Reply {
        let ask = Ask { request, origin: None, coin, at: DateTime::UNIX_EPOCH };
        match self {
            Twin::Payments(payments) => payments.answer(&ask),
            Twin::Inventory(inventory) => inventory.answer(&ask),
            Twin::Purchases(purchases) => purchases.answer(&ask),
        }
    }
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Payments => "payments",
            Service::Inventory => "inventory",
            Service::Purchases => "purchases",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Service::Payments => "charge",
            Service::Inventory => "decrease",
            Service::Purchases => "create",
        }
    }

    /// Makes the request that both are sent. A sequence has products of its own, so that stock is too.
    fn request(self, what: What, transaction: &str, product: &str) -> Request {
        let post = |path: &str, body: Value| Request {
            method: Method::Post,
            path: path.to_owned(),
            body: Some(body.to_string()),
        };
        match (self, what) {
            (Service::Payments, What::Act { contents }) => post(
                "/payments/",
                json!({ "user_id": "user-1", "transaction_id": transaction, "amount": format!("1{contents}.50"),
                        "product_id": (contents < 2).then_some(product) }),
            ),
            (Service::Inventory, What::Act { contents }) => post(
                "/inventory/decrease/",
                json!({ "transaction_id": transaction, "product_id": product, "quantity": contents + 1 }),
            ),
            (Service::Purchases, What::Act { contents }) => post(
                "/purchases/",
                json!({ "user_id": "user-1", "transaction_id": transaction, "amount": "9.90", "product_id": product,
                        "payment_id": contents.to_string() }),
            ),
            (Service::Payments, What::Compensate) => {
                post(&format!("/payments/by-transaction/{transaction}/refund/"), json!({}))
            }
            (Service::Inventory, What::Compensate) => {
                post(&format!("/inventory/restore/by-transaction/{transaction}/"), json!({}))
            }
            (Service::Purchases, What::Compensate) => Request {
                method: Method::Delete,
                path: format!("/purchases/by-transaction/{transaction}/cancel/"),
                body: None,
            },
        }
    }
}

/// An answer as both are compared by it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    status: u16,
    is_recorded_refusal: bool,
    is_replayed: bool,
    /// What a compensation says of its action.
    action: Option<String>,
    body: Value,
}

/// Replaces the ids that a database draws by whose they are.
#[derive(Clone, Default)]
struct Ids(HashMap<i64, String>);

impl Ids {
    fn see(&mut self, status: u16, decision: Option<&str>, is_replayed: bool, body: &str, transaction: &str) -> Seen {
        let mut body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        if status == 422 {
            // A problem document; its words are the front's.
            body = Value::Null;
        }
        for name in ["payment_id", "purchase_id"] {
            if let Some(id) = body.get(name).and_then(Value::as_i64) {
                let owner = self.0.entry(id).or_insert_with(|| transaction.to_owned());
                body[name] = json!(format!("of {owner}"));
            }
        }
        Seen { status, is_recorded_refusal: decision == Some("refused"), is_replayed, action: None, body }
    }

    fn of_answer(&mut self, answer: &Answer, transaction: &str) -> Seen {
        let decision = answer.header("saga-decision");
        let action = answer.header("saga-action").map(str::to_owned);
        Seen { action, ..self.see(answer.status, decision, answer.is_replayed(), &answer.text, transaction) }
    }

    fn of_reply(&mut self, reply: &Reply, transaction: &str) -> Seen {
        let action = reply.action.map(str::to_owned);
        Seen { action, ..self.see(reply.status, reply.decision, reply.replayed, &reply.body, transaction) }
    }
}

async fn ask(stack: &Stack, service: Service, request: &Request) -> Answer {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Delete => reqwest::Method::DELETE,
    };
    let mut builder = stack.request(method, service.name(), &request.path);
    if let Some(body) = &request.body {
        builder = builder.header("content-type", "application/json").body(body.clone());
    }
    send(builder).await
}

/// Runs a sequence on both: groups of operations, those of a group at the same time.
async fn compare(stack: &Stack, dice: &Dice, service: Service, groups: &[Vec<Operation>]) -> Result<(), TestCaseError> {
    let transactions: Vec<String> = (0..3).map(|_| new_transaction()).collect();
    let product = new_transaction();
    let coin = |transaction: &str| match dice.decision(service.action(), transaction) {
        faults::Coin::Accept => Coin::Accept,
        faults::Coin::Refuse => Coin::Refuse,
    };
    let mut real_ids = Ids::default();
    let mut possible = vec![(Twin::of(service), Ids::default())];
    for group in groups {
        let requests: Vec<(usize, Request)> = group
            .iter()
            .map(|operation| {
                let transaction = &transactions[operation.transaction];
                (operation.transaction, service.request(operation.what, transaction, &product))
            })
            .collect();
        let answers = join_all(requests.iter().map(|(_, request)| ask(stack, service, request))).await;
        let seen: Vec<Seen> = answers
            .iter()
            .zip(&requests)
            .map(|(answer, (transaction, _))| real_ids.of_answer(answer, &transactions[*transaction]))
            .collect();
        let mut next = Vec::new();
        for (twin, ids) in &possible {
            for order in orders(requests.len()) {
                let (mut twin, mut ids) = (twin.clone(), ids.clone());
                let explains = order.iter().all(|index| {
                    let (transaction, request) = &requests[*index];
                    let transaction = &transactions[*transaction];
                    let reply = twin.answer(request, coin(transaction));
                    ids.of_reply(&reply, transaction) == seen[*index]
                });
                if explains {
                    next.push((twin, ids));
                }
            }
        }
        // Different orders mostly come to the same; a few of them are enough to go on from.
        next.truncate(8);
        prop_assert!(
            !next.is_empty(),
            "no order of {requests:#?} on the twin gives what {} answered: {seen:#?}",
            service.name()
        );
        possible = next;
    }
    Ok(())
}

/// Returns every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![Vec::new()], |orders, next| {
        let put_in = |order: Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, next);
                order
            })
        };
        orders.into_iter().flat_map(put_in).collect()
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    // Mostly the same contents: others are refused, which is soon said.
    let contents = prop_oneof![4 => Just(0_usize), 1 => Just(1), 1 => Just(2)];
    let what = prop_oneof![3 => contents.prop_map(|contents| What::Act { contents }), 2 => Just(What::Compensate)];
    (0..3_usize, what).prop_map(|(transaction, what)| Operation { transaction, what })
}

fn check(service: Service) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let fault = format!("faults.{}.{}.failure_rate", service.name(), service.action());
    let options = StackOptions::default().set("inventory.initial_stock", STOCK).set(&fault, "0.25");
    let stack = runtime.block_on(Stack::start(options));
    let dice = Dice::new(service.name(), &stack.settings.faults);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let groups = prop::collection::vec(prop::collection::vec(operation(), 1..=4), 1..=8);
    let outcome = runner.run(&groups, |groups| runtime.block_on(compare(&stack, &dice, service, &groups)));
    let ended = runtime.block_on(stack.end());
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    assert!(ended.is_ok(), "{ended:?}");
}

#[test]
fn payments_answer_as_their_twin() {
    check(Service::Payments);
}

#[test]
fn inventory_answers_as_its_twin() {
    check(Service::Inventory);
}

#[test]
fn purchases_answer_as_their_twin() {
    check(Service::Purchases);
}
