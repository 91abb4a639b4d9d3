//! Participants that users name in the configuration: their clients, and their journals in `inspect`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tests::{
    StackOptions,
    actors::{named, tree},
    stack::ORCHESTRATOR,
    with_stack,
};
use tokio::net::TcpListener;
use warp::Filter;

/// A participant with a journal, and the tokens by which it was asked.
struct Participant {
    address: SocketAddr,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Participant {
    async fn start() -> Participant {
        let tokens = Arc::<Mutex<Vec<String>>>::default();
        let asked = tokens.clone();
        let journal = warp::path!("api" / "journal" / String)
            .and(warp::path::end())
            .and(warp::header::optional("authorization"))
            .map(move |id: String, token: Option<String>| {
                asked.lock().unwrap().push(token.unwrap_or_default());
                let entry = json!({
                    "operation": "book", "status": 201, "reply": { "booking_id": "b-1" }, "from_saga": true,
                    "decided_at": "2026-11-29T12:00:00Z", "step": "book", "attempt": 1, "epoch": 1, "tombstone": false
                });
                warp::reply::json(&json!({ "transaction_id": id, "entries": [entry] }))
            });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        tokio::spawn(warp::serve(journal).incoming(listener).run());
        Participant { address, tokens }
    }

    fn tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_have_clients_and_those_with_a_journal_are_inspected_with_their_own_token() {
    let (flights, hotels) = (Participant::start().await, Participant::start().await);
    let options = StackOptions::default()
        .set("auth.service_token", "of-our-services")
        .set("participants.flights.url", format!("http://{}/api", flights.address))
        .set("participants.flights.token", "of-flights")
        .set("participants.flights.journal", true)
        .set("participants.hotels.url", format!("http://{}/api", hotels.address))
        .set("participants.hotels.judgement", "status");
    with_stack(options, async |stack| {
        let root = tree(stack, ORCHESTRATOR).await;
        for (name, participant) in [("flights-client", &flights), ("hotels-client", &hotels)] {
            let state = &named(&root, name).state;
            assert_eq!(state["url"], format!("http://{}/api", participant.address));
            assert_eq!(state["breakers"], json!({}));
        }
        let bought = stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "u", "amount": 10 })).await;
        let id = bought.expect(200).json()["transaction_id"].as_str().expect("a purchase has an id").to_owned();
        let inspected = stack.get(ORCHESTRATOR, &format!("/saga/{id}/inspect")).await.expect(200).json();
        let participants = inspected["participants"].as_object().expect("participants by name");
        let names: Vec<&String> = participants.keys().collect();
        assert_eq!(names, ["flights", "inventory", "payments", "purchases"]);
        assert_eq!(participants["flights"]["journal"][0]["reply"], json!({ "booking_id": "b-1" }));
        assert!(participants.values().all(|held| held["error"] == Value::Null), "{inspected}");
        assert_eq!(flights.tokens(), ["Bearer of-flights"]);
        assert_eq!(hotels.tokens(), [""; 0]);
    })
    .await;
}
