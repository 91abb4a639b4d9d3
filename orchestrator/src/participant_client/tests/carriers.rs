//! The two carriers of calls to our own services, a stream over the network and the memory of a process: the same requests
//! and faults have the same outcomes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::config::ConfigSource;
use common::http::calls::OutgoingRequest;
use common::http::header::AUTHORIZATION;
use common::http::{Access, HeaderName, HeaderValue, Routes, StatusCode, Transport, json, transport_faults, with_body};
use common::wire;
use hyper::Method;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout};

use super::super::connection::{Answered, Connection, MAX_ANSWER_BYTES, NoAnswer, TooLong};
use super::super::url::{Base, Peer};
use super::{Counting, connecting, describe};

const TOKEN: &str = "Bearer a-token-of-services";
const BODY_LIMIT: usize = 1_000;
const SOON: Duration = Duration::from_secs(10);

/// Headers that differ with each answer.
const OF_ONE_ANSWER: [&str; 2] = [wire::TRACEPARENT, "date"];

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Answer { status: u16, headers: BTreeMap<String, String>, body: Bytes, is_too_long: bool },
    NotSent,
    Lost,
    Late,
}

impl Outcome {
    fn of(outcome: Result<Answered, NoAnswer>) -> Self {
        match outcome {
            Ok(answered) => Self::Answer {
                status: answered.status().as_u16(),
                headers: answered
                    .headers()
                    .iter()
                    .filter(|(name, _)| !OF_ONE_ANSWER.contains(&name.as_str()))
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect(),
                is_too_long: answered.extensions().get::<TooLong>().is_some(),
                body: answered.into_body(),
            },
            Err(NoAnswer::Away(_) | NoAnswer::NotSent(_) | NoAnswer::NoRequest(_)) => Self::NotSent,
            Err(NoAnswer::Lost(_)) => Self::Lost,
            Err(NoAnswer::Late) => Self::Late,
        }
    }

    /// The status of an answer; 0 without one.
    fn status(&self) -> u16 {
        match self {
            Self::Answer { status, .. } => *status,
            Self::NotSent | Self::Lost | Self::Late => 0,
        }
    }
}

/// A step of a handler of the participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Entered,
    Finished,
    Dropped,
}

/// Reports the end of a handler, however it ends.
struct Handler {
    steps: UnboundedSender<Step>,
    end: Step,
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.steps.send(self.end);
    }
}

/// A participant and a connection to it.
struct System {
    serving: Counting,
    address: SocketAddr,
    transport: Transport,
    connection: Arc<Connection>,
    base: Base,
    steps: UnboundedReceiver<Step>,
    report: UnboundedSender<Step>,
    /// One permit lets one slow request finish.
    release: Arc<Semaphore>,
    /// How long a stop waits for requests.
    grace: Duration,
}

impl System {
    async fn start(carrier: Carrier, grace: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let transport = carrier(address);
        let base = Base::parse("payments", &format!("http://{address}"), Peer::Own).unwrap();
        let connection = Arc::new(Connection::new(&base, None, &connecting(1, transport.clone())));
        let (report, steps) = unbounded_channel();
        let release = Arc::new(Semaphore::new(0));
        let serving = serving(listener, &transport, &report, &release, grace);
        Self { serving, address, transport, connection, base, steps, report, release, grace }
    }

    /// Starts the participant again at its address, after its end.
    async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = serving(listener, &self.transport, &self.report, &self.release, self.grace);
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&'static str>,
        body: Bytes,
        limit: Duration,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        let mut headers = vec![(HeaderName::from_static(wire::REQUEST_ID), HeaderValue::from_static("mine"))];
        headers.extend(token.map(|token| (AUTHORIZATION, HeaderValue::from_static(token))));
        let request = OutgoingRequest { method, target: self.base.target(path).unwrap(), headers, body };
        let connection = self.connection.clone();
        async move { Outcome::of(connection.ask(|| Ok(request.clone()), Instant::now() + limit).await) }
    }

    fn post(&self, path: &str) -> impl Future<Output = Outcome> + Send + use<> {
        self.ask(Method::POST, path, Some(TOKEN), Bytes::from_static(b"{}"), SOON)
    }

    async fn step(&mut self) -> Step {
        timeout(SOON, self.steps.recv()).await.expect("a handler goes on").unwrap()
    }
}

/// Starts a participant in which everything happens that can happen to a call.
fn serving(
    listener: TcpListener,
    transport: &Transport,
    report: &UnboundedSender<Step>,
    release: &Arc<Semaphore>,
    grace: Duration,
) -> Counting {
    let (report, release) = (report.clone(), release.clone());
    let routes = Routes::new("payments")
        .post("/done/", Access::Service, describe, async |request: common::http::Request| {
            Ok(json(StatusCode::OK, &serde_json::json!({ "bytes": request.body.len() })))
        })
        .post("/refused/", Access::Service, describe, async |_| {
            let mut refusal = json(StatusCode::CONFLICT, &serde_json::json!({ "detail": "no" }));
            refusal.headers_mut().insert(wire::SAGA_DECISION, HeaderValue::from_static("refused"));
            Ok(refusal)
        })
        .post("/long/", Access::Service, describe, async |_| {
            Ok(with_body(StatusCode::OK, "text/plain", "x".repeat(MAX_ANSWER_BYTES + 1)))
        })
        .post("/panic/", Access::Service, describe, async |_| panic!("a handler of a test"))
        .post("/lost/", Access::Service, describe, async |_| Ok(transport_faults::lost_reply()))
        .post("/cut/", Access::Service, describe, async |_| Ok(transport_faults::cut_connection()))
        .post("/slow/", Access::Service, describe, move |_| {
            let (steps, release) = (report.clone(), release.clone());
            async move {
                let _ = steps.send(Step::Entered);
                let mut handler = Handler { steps, end: Step::Dropped };
                release.acquire().await.unwrap().forget();
                handler.end = Step::Finished;
                Ok(json(StatusCode::OK, "slow"))
            }
        });
    let mut settings = ConfigSource::embedded("bench").load().unwrap();
    settings.auth.service_token = TOKEN.trim_start_matches("Bearer ").to_owned().into();
    settings.http.body_limit_bytes = BODY_LIMIT;
    settings.http.drain_grace_ms = grace.as_millis().try_into().unwrap();
    Counting::beside(listener, settings, routes, Some(transport.clone()))
}

/// Makes the transport to a participant at this address.
type Carrier = fn(SocketAddr) -> Transport;

/// Runs a scenario over both carriers, and returns its outcomes, which must be the same.
async fn over_both<S: AsyncFn(&mut System) -> Vec<Outcome>>(grace: Duration, scenario: S) -> Vec<Outcome> {
    let mut over = Vec::new();
    let carriers: [Carrier; 2] = [|_| Transport::network(), |address| Transport::in_process([address])];
    for carrier in carriers {
        let mut system = System::start(carrier, grace).await;
        // Opens the connection.
        assert_eq!(system.post("/refused/").await.status(), 409);
        over.push(scenario(&mut system).await);
        system.serving.shutdown.cancel();
    }
    let (in_process, network) = (over.pop().unwrap(), over.pop().unwrap());
    assert_eq!(network, in_process, "network, in process");
    in_process
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_the_same_answer() {
    let seen = over_both(SOON, async |system| {
        let mut seen = Vec::new();
        for (method, path, token, bytes) in [
            (Method::POST, "/done/", Some(TOKEN), 2),
            (Method::POST, "/done/", Some(TOKEN), BODY_LIMIT),
            (Method::POST, "/done/", Some(TOKEN), BODY_LIMIT + 1),
            (Method::POST, "/done/", Some(TOKEN), 3_000_000),
            (Method::POST, "/refused/", Some(TOKEN), 2),
            (Method::POST, "/nothing/?a=b", Some(TOKEN), 2),
            (Method::GET, "/done/", Some(TOKEN), 0),
            (Method::POST, "/done/", None, 2),
            (Method::POST, "/done/", Some("Bearer another-token"), 2),
            (Method::POST, "/panic/", Some(TOKEN), 2),
            (Method::POST, "/long/", Some(TOKEN), 2),
            (Method::GET, "/health/live/", None, 0),
        ] {
            seen.push(system.ask(method, path, token, vec![b'1'; bytes].into(), SOON).await);
        }
        seen
    })
    .await;
    let statuses: Vec<u16> = seen.iter().map(Outcome::status).collect();
    assert_eq!(statuses, [200, 200, 413, 413, 409, 404, 405, 401, 403, 500, 200, 200], "{seen:?}");
    let is_too_long = |seen: &Outcome| matches!(seen, Outcome::Answer { is_too_long: true, .. });
    assert_eq!(seen.iter().position(is_too_long), Some(10));
    let refusal =
        |seen: &Outcome| matches!(seen, Outcome::Answer { headers, .. } if headers.contains_key(wire::SAGA_DECISION));
    assert_eq!(seen.iter().position(refusal), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_lost_alone_and_a_cut_takes_all_calls_of_the_connection_along() {
    let seen = over_both(SOON, async |system| {
        let beside = tokio::spawn(system.post("/slow/"));
        assert_eq!(system.step().await, Step::Entered);
        let lost = system.post("/lost/").await;
        let cut = system.post("/cut/").await;
        let beside = timeout(SOON, beside).await.expect("it ends with the connection").unwrap();
        assert_eq!(system.step().await, Step::Dropped);
        vec![lost, cut, beside, system.post("/refused/").await]
    })
    .await;
    assert_eq!(seen[..3], [Outcome::Lost, Outcome::Lost, Outcome::Lost]);
    assert_eq!(seen[3].status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_beyond_its_deadline_is_finished_by_the_participant() {
    let seen = over_both(SOON, async |system| {
        let limit = Duration::from_millis(300);
        let late = tokio::spawn(system.ask(Method::POST, "/slow/", Some(TOKEN), Bytes::new(), limit));
        assert_eq!(system.step().await, Step::Entered);
        let late = late.await.unwrap();
        system.release.add_permits(1);
        assert_eq!(system.step().await, Step::Finished);
        vec![late, system.post("/refused/").await]
    })
    .await;
    assert_eq!((seen[0].clone(), seen[1].status()), (Outcome::Late, 409));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_stops_answers_what_it_took_and_takes_no_more() {
    let seen = over_both(SOON, async |system| {
        let taken = tokio::spawn(system.post("/slow/"));
        assert_eq!(system.step().await, Step::Entered);
        system.serving.shutdown.cancel();
        let refused = timeout(SOON, async {
            loop {
                // The stop may take a moment to arrive.
                match system.post("/done/").await {
                    Outcome::Answer { .. } => tokio::task::yield_now().await,
                    other => break other,
                }
            }
        });
        let refused = refused.await.expect("it takes no more");
        system.release.add_permits(1);
        let taken = taken.await.unwrap();
        timeout(SOON, &mut system.serving.serving).await.expect("nothing is left to wait for").unwrap();
        let stopped = system.post("/done/").await;
        system.start_again().await;
        vec![refused, taken, stopped, system.post("/refused/").await]
    })
    .await;
    assert_eq!(
        (&seen[0], seen[1].status(), &seen[2], seen[3].status()),
        (&Outcome::NotSent, 200, &Outcome::NotSent, 409)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_lost_with_a_participant_that_is_killed_or_stops_without_waiting_longer() {
    for kill in [true, false] {
        let seen = over_both(Duration::from_millis(100), async |system| {
            let in_flight = tokio::spawn(system.post("/slow/"));
            assert_eq!(system.step().await, Step::Entered);
            if kill {
                system.serving.serving.abort()
            } else {
                system.serving.shutdown.cancel()
            }
            let in_flight = timeout(SOON, in_flight).await.expect("it ends with the participant").unwrap();
            assert_eq!(system.step().await, Step::Dropped);
            let _ = timeout(SOON, &mut system.serving.serving).await.expect("it ends");
            vec![in_flight, system.post("/done/").await]
        })
        .await;
        assert_eq!(seen, [Outcome::Lost, Outcome::NotSent], "killed: {kill}");
    }
}
