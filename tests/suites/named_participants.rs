//! Participants that users name in the configuration, from a definition to the requests that they see.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions,
    actors::{named, tree},
    http::{Answer, send},
    stack::{ORCHESTRATOR, with_json},
    with_stack,
};
use tokio::net::TcpListener;
use warp::Filter;
use warp::http::{HeaderMap, Response};

/// A service that books, and knows nothing of sagas. It answers by a script, and then 201 to a POST and 204 to a DELETE.
#[derive(Clone)]
struct Participant {
    address: SocketAddr,
    script: Arc<Mutex<VecDeque<u16>>>,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Participant {
    async fn start() -> Participant {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let participant = Participant { address, script: Arc::default(), seen: Arc::default() };
        let answering = participant.clone();
        let routes = warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).map(
            move |method: Method, path: warp::path::FullPath, headers: HeaderMap| {
                answering.answer(&method, path.as_str(), headers)
            },
        );
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        participant
    }

    fn answer(&self, method: &Method, path: &str, headers: HeaderMap) -> Response<String> {
        self.seen.lock().expect("no thread of the test has panicked").push((format!("{method} {path}"), headers));
        if let Some(id) = path.strip_prefix("/api/journal/") {
            let entry = json!({
                "operation": "book", "status": 201, "reply": { "booking_id": "b-1" }, "from_saga": true,
                "decided_at": "2026-11-29T12:00:00Z", "step": "book", "attempt": 1, "epoch": 1, "tombstone": false
            });
            return response(
                200,
                json!({ "transaction_id": id.trim_end_matches('/'), "entries": [entry] }).to_string(),
            );
        }
        let scripted = self.script.lock().expect("no thread of the test has panicked").pop_front();
        match (scripted, method == Method::DELETE) {
            (None, true) => response(204, String::new()),
            (None, false) => response(201, json!({ "booking_id": "b-1" }).to_string()),
            (Some(status), _) => response(status, json!({ "detail": "sold out" }).to_string()),
        }
    }

    fn will_answer(&self, statuses: &[u16]) {
        self.script.lock().expect("no thread of the test has panicked").extend(statuses);
    }

    /// Takes what it has seen since the last look.
    fn seen(&self) -> Vec<(String, HeaderMap)> {
        std::mem::take(&mut *self.seen.lock().expect("no thread of the test has panicked"))
    }
}

fn response(status: u16, body: String) -> Response<String> {
    Response::builder().status(status).body(body).expect("a status of the test")
}

/// Both services, the second one judged by its statuses alone.
async fn services() -> (Participant, Participant, StackOptions) {
    let (flights, hotels) = (Participant::start().await, Participant::start().await);
    let options = StackOptions::default()
        .set("auth.service_token", "of-our-services")
        .set("retry.action.attempts", 2)
        .set("participants.flights.url", format!("http://{}/api", flights.address))
        .set("participants.flights.token", "of-flights")
        .set("participants.flights.journal", true)
        .set("participants.hotels.url", format!("http://{}/api", hotels.address))
        .set("participants.hotels.judgement", "status");
    (flights, hotels, options)
}

async fn put_trip(stack: &Stack) {
    let step = |name: &str, participant: &str| {
        json!({
            "name": name, "participant": participant,
            "action": {
                "method": "POST", "path": "/bookings", "body": { "city": "{input.city}" }
            },
            "headers": { "X-City": "{input.city}" },
            "compensation": { "method": "DELETE", "path": "/bookings/by-saga/{saga.id}" },
            "outputs": { "booking": "/booking_id" }
        })
    };
    let input = json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } } });
    let trip = json!({ "input": input, "steps": [step("flight", "flights"), step("room", "hotels")] });
    let request = stack.request(Method::PUT, ORCHESTRATOR, "/sagas/definitions/trip/1");
    send(with_json(request, trip)).await.expect(201);
}

async fn travel(stack: &Stack) -> Answer {
    stack.post(ORCHESTRATOR, "/sagas", json!({ "definition": "trip", "input": { "city": "Vienna" } })).await
}

fn requests(seen: &[(String, HeaderMap)]) -> Vec<&str> {
    seen.iter().map(|(request, _)| request.as_str()).collect()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_runs_through_services_that_know_nothing_of_sagas() {
    let (flights, hotels, options) = services().await;
    with_stack(options, async |stack| {
        put_trip(stack).await;
        // The second service is still at work twice, more often than a step is attempted.
        hotels.will_answer(&[425, 425]);
        let answer = travel(stack).await.expect(200).json();
        assert_eq!(answer["outputs"], json!({ "flight": { "booking": "b-1" }, "room": { "booking": "b-1" } }));
        let id = answer["saga_id"].as_str().expect("a saga has an id");
        let (at_flights, at_hotels) = (flights.seen(), hotels.seen());
        assert_eq!(requests(&at_flights), ["POST /api/bookings"]);
        assert_eq!(requests(&at_hotels), ["POST /api/bookings"; 3]);
        for (index, (_, headers)) in at_flights.iter().chain(&at_hotels).enumerate() {
            let (step, attempt, token) = match index {
                0 => ("flight", 1, Some("Bearer of-flights")),
                attempt => ("room", attempt, None),
            };
            assert_eq!(header(headers, "saga-id"), Some(id));
            assert_eq!(header(headers, "saga-step"), Some(step));
            assert_eq!(header(headers, "saga-attempt"), Some(&*attempt.to_string()));
            assert_eq!(header(headers, "saga-epoch"), Some("1"));
            assert_eq!(header(headers, "idempotency-key"), Some(&*format!("{id}:{step}")));
            assert_eq!(header(headers, "x-city"), Some("Vienna"));
            assert_eq!(header(headers, "authorization"), token);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_status_undoes_the_steps_before_it_and_its_own_only_if_it_may_have_been_done() {
    let (flights, hotels, options) = services().await;
    with_stack(options, async |stack| {
        put_trip(stack).await;
        for (statuses, undone) in [(&[409][..], &[][..]), (&[503, 409, 404], &["DELETE"])] {
            hotels.will_answer(statuses);
            let answer = travel(stack).await.expect(409).json();
            assert_eq!(
                (&answer["status"], &answer["failed_step"]),
                (&json!("COMPENSATED"), &json!("room")),
                "{answer}"
            );
            assert_eq!(answer["error"], "409: hotels conflict: sold out");
            let id = answer["saga_id"].as_str().expect("a saga has an id");
            let undo = format!("DELETE /api/bookings/by-saga/{id}");
            let at_flights = flights.seen();
            assert_eq!(requests(&at_flights), ["POST /api/bookings", &undo]);
            assert_eq!(header(&at_flights[1].1, "idempotency-key"), Some(&*format!("{id}:flight:undo")));
            let at_hotels = hotels.seen();
            let undone: Vec<_> = undone.iter().map(|_| undo.as_str()).collect();
            assert_eq!(requests(&at_hotels)[statuses.len() - undone.len()..], undone, "{statuses:?}");
            assert_eq!(at_hotels.len(), statuses.len());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_409_without_a_recorded_decision_is_no_refusal_of_a_participant_that_records_them() {
    let (flights, _, options) = services().await;
    with_stack(options, async |stack| {
        put_trip(stack).await;
        flights.will_answer(&[409]);
        let answer = travel(stack).await.expect(409).json();
        assert_eq!((&answer["status"], &answer["failed_step"]), (&json!("COMPENSATED"), &json!("flight")), "{answer}");
        assert_eq!(answer["error"], "503: Service flights unavailable");
        let id = answer["saga_id"].as_str().expect("a saga has an id");
        assert_eq!(requests(&flights.seen()), ["POST /api/bookings", &format!("DELETE /api/bookings/by-saga/{id}")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_have_clients_and_those_with_a_journal_are_inspected_with_their_own_token() {
    let (flights, hotels, options) = services().await;
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
        let seen = flights.seen();
        assert_eq!(requests(&seen), [format!("GET /api/journal/{id}/")]);
        assert_eq!(header(&seen[0].1, "authorization"), Some("Bearer of-flights"));
        assert_eq!(hotels.seen().len(), 0);
    })
    .await;
}
