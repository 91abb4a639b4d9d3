//! Calls to a participant that a user names, through its client and over real sockets, to a small server that knows
//! nothing of sagas.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::config::{ConfigSource, Settings};
use common::http::Transport;
use common::supervision::{self, ActorEntry, Handle, Root};
use common::traces::Tracer;
use futures::future::join_all;
use parking_lot::Mutex;
use rcgen::{Certificate, CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, oneshot};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;
use warp::Filter;
use warp::http::{HeaderMap, Response};

use super::super::{Calling, ClientContext, ClientMsg, Findings, client};
use super::call_of;
use saga_engine::definition::{Method, Outputs, ReplyError, Request};
use saga_engine::outcome::{Failure, Found, Outcome, Retry, Sent, Unknown};
use saga_engine::world::{Answer, Call, Purpose};

const ACTION: Purpose = Purpose::Action { refusal: None };

/// Calls that the participant answers together.
const TOGETHER: usize = 8;

/// A request as the participant saw it.
struct Received {
    peer: SocketAddr,
    request: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Answers a request with the status at the end of its path: `/api/bookings/409`.
struct Participant {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Participant {
    async fn start() -> Participant {
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let together = Arc::new(Barrier::new(TOGETHER));
        let seeing = received.clone();
        let routes = warp::addr::remote()
            .and(warp::method())
            .and(warp::path::full())
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .and_then(move |peer: Option<SocketAddr>, method, path: warp::path::FullPath, headers, body| {
                let path = path.as_str().to_owned();
                let request = format!("{method} {path}");
                seeing.lock().push(Received { peer: peer.unwrap(), request, headers, body });
                let together = together.clone();
                async move {
                    if path.contains("together") {
                        together.wait().await;
                    }
                    Ok::<_, Infallible>(answer(&path))
                }
            });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Participant { address, received }
    }

    fn url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock())
    }
}

fn answer(path: &str) -> Response<String> {
    let status: u16 = path.rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(200);
    let body = if path.contains("endless") {
        "x".repeat(100_000)
    } else {
        r#"{"booking_id":"b-1","message":"sold out"}"#.to_owned()
    };
    let mut response = Response::builder().status(status).header("location", "/api/elsewhere");
    if path.contains("closing") {
        response = response.header("connection", "close");
    }
    response.body(body).unwrap()
}

/// The client of `flights` with these settings.
struct Flights {
    handle: Handle<ClientMsg>,
    root: Root,
    entry: Arc<ActorEntry>,
}

impl Flights {
    async fn with(url: &str, keys: &[(&str, &str)]) -> Flights {
        let source = ConfigSource::embedded("bench").with("auth.service_token", "of-our-services");
        let source = source.with("participants.flights.url", url).with("participants.flights.token", "of-flights");
        let source =
            keys.iter().fold(source, |source, (key, value)| source.with(&format!("participants.flights.{key}"), value));
        let settings: Settings = source.load().unwrap_or_else(|errors| panic!("{errors}"));
        // Names are unique in a process.
        let tree = Uuid::new_v4();
        let (handle, entry) = (Handle::new(), ActorEntry::new(format!("{tree}/flights-client"), "HTTP client"));
        let (tracer, findings, transport) = (Tracer::off(), Findings::default(), Transport::network());
        let context = ClientContext { settings: &settings, transport, tracer, findings };
        let child = client(entry.clone(), handle.clone(), "flights".into(), Vec::new(), &context).unwrap();
        let root = ActorEntry::new(tree.to_string(), "supervisor");
        let root = supervision::start(settings.supervision.supervisor(root, vec![child])).await.unwrap();
        Flights { handle, root, entry }
    }

    async fn call(&self, call: Call) -> Outcome {
        let (give, answered) = oneshot::channel();
        let answer = Answer::new(move |outcome| drop(give.send(outcome)));
        self.handle.cast(ClientMsg::Call(Box::new(Calling { call, answer, since: Instant::now() }))).unwrap();
        answered.await.unwrap().expect("the client answers")
    }

    /// Makes an action or a compensation with a POST, and returns the outcome.
    async fn post(&self, purpose: Purpose, path: &str) -> Outcome {
        self.call(call(purpose, Request::new(Method::Post, path, Some("{}".to_owned())))).await
    }

    /// Waits until the client has learned from every call: it does so after it has answered.
    async fn settle(&self) {
        while self.entry.view().state["in_flight"] != 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) {
        self.root.stop(Duration::from_secs(10)).await;
    }
}

fn call(purpose: Purpose, request: Request) -> Call {
    let read = |_: &_, body: &[u8]| {
        let body: Value = serde_json::from_slice(body)?;
        let booking = body.get("booking_id").cloned();
        booking.map(|id| Outputs::one("booking", id)).ok_or(ReplyError::OutputMissing("booking".to_owned()))
    };
    Call {
        step: "book".into(),
        participant: "flights".into(),
        purpose,
        operation: "trip.book".into(),
        request,
        read: Arc::new(read),
        ..call_of("book", 3)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_the_keys_of_its_step_and_the_participants_own_token() {
    let participant = Participant::start().await;
    for http2 in ["false", "true"] {
        let flights = Flights::with(&participant.url(), &[("http2", http2)]).await;
        let body = r#"{"city":"Vienna"}"#.to_owned();
        let mut request = Request::new(Method::Post, "/bookings?a=b%2Fc", Some(body.clone()));
        request.headers = vec![("x-tenant".into(), "blue".to_owned()), ("content-type".into(), "text/json".to_owned())];
        let id = call_of("book", 1).saga_id;
        assert_eq!(flights.call(call(ACTION, request)).await, Outcome::Done(Outputs::one("booking", "b-1")));
        let undo = Request::new(Method::Delete, format!("/bookings/{id}"), None);
        let undone = flights.call(call(Purpose::Compensation, undo)).await;
        assert_eq!(undone, Outcome::Undone(Found::NotSaid, Outputs::one("booking", "b-1")));

        let received = participant.take();
        let expected = [
            ("POST /api/bookings".to_owned(), format!("{id}:book"), Some("text/json"), Some("blue"), &*body),
            (format!("DELETE /api/bookings/{id}"), format!("{id}:book:undo"), None, None, ""),
        ];
        assert_eq!(received.len(), expected.len());
        for (received, (request, key, content_type, tenant, body)) in received.iter().zip(expected) {
            let header = |name: &str| {
                assert!(received.headers.get_all(name).iter().count() < 2, "{name}");
                received.headers.get(name).map(|value| value.to_str().unwrap())
            };
            assert_eq!((&received.request, &*received.body), (&request, body.as_bytes()));
            assert_eq!(header("idempotency-key"), Some(&*key));
            assert_eq!(header("saga-id"), Some(&*id.to_string()));
            assert_eq!(
                [header("saga-step"), header("saga-attempt"), header("saga-epoch")],
                [Some("book"), Some("3"), Some("1")]
            );
            assert_eq!([header("content-type"), header("x-tenant")], [content_type, tenant]);
            assert_eq!(header("authorization"), Some("Bearer of-flights"));
            assert!(header("traceparent").is_some());
            // By HTTP/2 the host is no header.
            let host = (http2 == "false").then(|| participant.address.to_string());
            assert_eq!(header("host"), host.as_deref());
        }
        flights.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_cannot_set_the_headers_of_the_connection_and_of_the_orchestrator() {
    let participant = Participant::start().await;
    let flights = Flights::with(&participant.url(), &[("breaker_failures", "0")]).await;
    for (name, value) in [
        ("authorization", "Bearer stolen"),
        ("connection", "close"),
        ("content-length", "1"),
        ("database-timeline", "1"),
        ("host", "elsewhere"),
        ("idempotency-key", "1"),
        ("saga-id", "1"),
        ("saga-epoch", "99"),
        ("saga-anything", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("x tenant", "blue"),
        ("x-tenant", "blue\r\nhost: elsewhere"),
        ("x-tenant", "bl\u{0}ue"),
    ] {
        let mut request = Request::new(Method::Post, "/bookings", None);
        request.headers = vec![(name.into(), value.to_owned())];
        let outcome = flights.call(call(ACTION, request)).await;
        let Outcome::Unknown(Unknown { sent: Sent::Nothing, detail, .. }) = outcome else {
            panic!("{name}: {value:?} was sent");
        };
        assert!(detail.contains(&format!("{name:?}")), "{detail}");
    }
    assert_eq!(participant.take().len(), 0);
    flights.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_decides_where_the_settings_say_so() {
    let participant = Participant::start().await;
    let flights = Flights::with(&participant.url(), &[("judgement", "status"), ("breaker_failures", "1")]).await;
    let refused = |message: &str| Outcome::Refused(Failure::refused(409, "flights", message));
    assert_eq!(flights.post(ACTION, "/bookings/409").await, refused("sold out"));
    // Its body is too long to be read, and its status says enough.
    assert_eq!(flights.post(ACTION, "/endless/409").await, refused("409"));
    for path in ["/gone/404", "/gone/410", "/endless/404"] {
        let nothing = Outcome::Undone(Found::NotSaid, Outputs::default());
        assert_eq!(flights.post(Purpose::Compensation, path).await, nothing, "{path}");
    }
    assert_eq!(flights.post(ACTION, "/made/201").await, Outcome::Done(Outputs::one("booking", "b-1")));
    for purpose in [ACTION, Purpose::Compensation] {
        let ongoing = flights.post(purpose, "/busy/425").await;
        let Outcome::Unknown(Unknown { retry: Retry::Ongoing(wait), .. }) = ongoing else { panic!("{ongoing:?}") };
        assert_eq!(wait, Duration::from_secs(1));
        flights.settle().await;
        // A service that is still at work is not down: one failure would open the breaker.
        assert_eq!(flights.post(ACTION, "/made/201").await, Outcome::Done(Outputs::one("booking", "b-1")));
    }
    let long = flights.post(ACTION, "/endless/200").await;
    let Outcome::Unknown(Unknown { sent: Sent::Maybe, detail, .. }) = long else { panic!("{long:?}") };
    assert!(detail.contains("longer than 65536 bytes"), "{detail}");
    flights.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_is_followed() {
    let participant = Participant::start().await;
    let flights = Flights::with(&participant.url(), &[]).await;
    for status in [301, 302, 303, 307, 308] {
        let outcome = flights.post(ACTION, &format!("/moved/{status}")).await;
        let Outcome::Unknown(Unknown { detail, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(detail, format!("flights answered {status}: sold out"));
    }
    let received: Vec<_> = participant.take().into_iter().map(|received| received.request).collect();
    assert_eq!(received, [301, 302, 303, 307, 308].map(|status| format!("POST /api/moved/{status}")));
    flights.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_fails_gets_a_breaker_of_its_own() {
    let participant = Participant::start().await;
    let flights = Flights::with(&participant.url(), &[("breaker_failures", "1")]).await;
    assert_eq!(flights.entry.view().state["breakers"], serde_json::json!({}));
    flights.post(ACTION, "/down/503").await;
    flights.settle().await;
    let parked = flights.post(ACTION, "/down/200").await;
    assert!(matches!(parked, Outcome::Unknown(Unknown { retry: Retry::Parked(_), .. })), "{parked:?}");
    let other = Call { operation: "trip.cancel".into(), ..call(ACTION, Request::new(Method::Post, "/up", None)) };
    assert!(matches!(flights.call(other).await, Outcome::Done(_)));
    let breakers = serde_json::json!({ "flights.trip.book": "open", "flights.trip.cancel": "closed" });
    assert_eq!(flights.entry.view().state["breakers"], breakers);
    flights.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_made_says_nothing_about_the_participant() {
    let participant = Participant::start().await;
    for http2 in ["false", "true"] {
        let keys = [("breaker_failures", "1"), ("http2", http2)];
        let flights = Flights::with(&participant.url(), &keys).await;
        let outcome = flights.post(ACTION, &format!("/{}", "x".repeat(70_000))).await;
        assert!(matches!(outcome, Outcome::Unknown(Unknown { sent: Sent::Nothing, .. })), "{outcome:?}");
        flights.settle().await;
        assert_eq!(flights.entry.view().state["breakers"], serde_json::json!({ "flights.trip.book": "closed" }));
        let next = flights.post(ACTION, "/up").await;
        assert!(matches!(next, Outcome::Done(_)), "http2 = {http2}: {next:?}");
        flights.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http1_calls_have_connections_of_their_own_which_later_calls_use() {
    let participant = Participant::start().await;
    let flights = Flights::with(&participant.url(), &[]).await;
    let peers = || participant.take().into_iter().map(|received| received.peer).collect::<BTreeSet<_>>();
    let calls = || join_all((0..TOGETHER).map(|_| flights.post(ACTION, "/together")));
    assert!(calls().await.iter().all(|outcome| matches!(outcome, Outcome::Done(_))));
    assert_eq!(peers().len(), TOGETHER);
    for _ in 0..TOGETHER {
        assert!(matches!(flights.post(ACTION, "/bookings").await, Outcome::Done(_)));
    }
    assert!(peers().len() < TOGETHER, "a connection is used again");
    // A server that closes the connection after each answer loses no call.
    for _ in 0..TOGETHER {
        assert!(matches!(flights.post(ACTION, "/closing").await, Outcome::Done(_)));
    }
    flights.end().await;
}

/// Takes TLS off connections to a participant, with a certificate for `localhost`.
struct Tls {
    url: String,
    certificate: Certificate,
    /// How many clients have trusted the certificate.
    trusted: Arc<AtomicUsize>,
}

impl Tls {
    async fn before(participant: &Participant, protocol: &str) -> Tls {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/api", listener.local_addr().unwrap().port());
        let trusted = Arc::<AtomicUsize>::default();
        let (count, participant) = (trusted.clone(), participant.address);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), count.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                    let mut participant = TcpStream::connect(participant).await?;
                    copy_bidirectional(&mut stream, &mut participant).await
                });
            }
        });
        Tls { url, certificate, trusted }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_server_whose_certificate_cannot_be_trusted_or_that_speaks_no_tls() {
    let participant = Participant::start().await;
    let tls = Tls::before(&participant, "h2").await;
    for url in [&tls.url, &format!("https://{}", participant.address)] {
        let flights = Flights::with(url, &[]).await;
        let outcome = flights.post(ACTION, "/bookings").await;
        let Outcome::Unknown(Unknown { sent, retry, .. }) = &outcome else { panic!("{outcome:?}") };
        assert_eq!((sent, retry), (&Sent::Nothing, &Retry::After(Duration::ZERO)), "{url}: {outcome:?}");
        flights.end().await;
    }
    assert_eq!((tls.trusted.load(Ordering::Relaxed), participant.take().len()), (0, 0));
}

/// The variable with the address that a second process of this test calls. The roots that a process trusts come from
/// its environment.
const CALLED: &str = "TEST_FLIGHTS_URL";

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_over_tls_by_the_version_of_http_that_the_server_chooses() {
    if let Ok(url) = std::env::var(CALLED) {
        let flights = Flights::with(&url, &[]).await;
        for _ in 0..3 {
            assert_eq!(flights.post(ACTION, "/bookings").await, Outcome::Done(Outputs::one("booking", "b-1")));
        }
        return flights.end().await;
    }
    let participant = Participant::start().await;
    let name = "participant_client::tests::named::calls_go_over_tls_by_the_version_of_http_that_the_server_chooses";
    for (protocol, has_host) in [("http/1.1", true), ("h2", false)] {
        let tls = Tls::before(&participant, protocol).await;
        let root = std::env::temp_dir().join(format!("flights-{}.crt", Uuid::new_v4()));
        std::fs::write(&root, tls.certificate.pem()).unwrap();
        let mut second = tokio::process::Command::new(std::env::current_exe().unwrap());
        second.args(["--exact", name]).env(CALLED, &tls.url).env("SSL_CERT_FILE", &root).env_remove("SSL_CERT_DIR");
        let ended = second.kill_on_drop(true).output().await.unwrap();
        std::fs::remove_file(&root).unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        let received = participant.take();
        assert_eq!(received.len(), 3);
        assert!(received.iter().all(|received| received.headers.contains_key("host") == has_host), "{protocol}");
    }
}
