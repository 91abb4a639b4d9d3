//! Calls to a participant: with several replicas behind one name over real sockets, and in the same process.

mod carriers;
mod named;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::config::{ConfigSource, Settings};
use common::http::openapi::Description;
use common::http::{Access, Check, Draining, HttpService, Routes, StatusCode, Transport, json, serve};
use common::supervision::ActorEntry;
use common::traces::Tracer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::judgement::Judging;
use super::replicas::{Connecting, Lookup, Replicas};
use super::send::send;
use super::url::Peer;
use super::{Arguments, BreakerSettings, Findings};
use crate::checkout::tests::context;
use saga_engine::definition::{Method, Outputs, Request};
use saga_engine::outcome::{Outcome, Retry, Sent, Unknown};
use saga_engine::world::{Call, Purpose, Urgency};

/// A replica that counts its requests.
struct Counting {
    asked: Arc<AtomicUsize>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Counting {
    fn on(listener: TcpListener) -> Self {
        Self::with(listener, ConfigSource::embedded("bench").load().unwrap())
    }

    fn with(listener: TcpListener, settings: Settings) -> Self {
        Self::beside(listener, settings, Routes::new("payments"), Some(Transport::network()))
    }

    /// With other routes beside its own.
    fn beside(listener: TcpListener, settings: Settings, others: Routes, calls: Option<Transport>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let routes = Routes::new("payments").get("/asked/", Access::Public, describe, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(json(StatusCode::OK, &serde_json::json!({ "status": "success" }))) }
        });
        let (settings, routes) = (Arc::new(settings), routes.merge(others));
        let health: common::http::HealthCheck = Arc::new(|| Box::pin(async { Vec::<Check>::new() }));
        let front = HttpService {
            service: "payments",
            routes,
            settings,
            health,
            draining: Draining::default(),
            tracer: Tracer::off(),
            calls,
        };
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(front, Arc::new(listener), shutdown.clone()));
        Self { asked, shutdown, serving }
    }

    /// Ends the replica as a kill would: connections are cut and the port is closed.
    async fn kill(self) -> usize {
        self.serving.abort();
        let _ = self.serving.await;
        drop(self.shutdown);
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends the replica as a graceful stop would.
    async fn stop(self) -> usize {
        self.shutdown.cancel();
        self.serving.await.unwrap();
        self.asked.load(Ordering::Relaxed)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn describe() -> Description {
    Description::new("asked", "Counts")
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// Binds two addresses on one port, like two replicas behind one name.
async fn two_listeners() -> (TcpListener, TcpListener, u16) {
    loop {
        let first = TcpListener::bind(SocketAddr::new(address(1), 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        // Another process may use that port on the other address.
        if let Ok(second) = TcpListener::bind(SocketAddr::new(address(2), port)).await {
            return (first, second, port);
        }
    }
}

fn arguments(replicas: Arc<Replicas>, base: String) -> Arguments {
    Arguments {
        entry: ActorEntry::new("payments-client", "HTTP client"),
        service: "payments".into(),
        replicas,
        look_up_every: Duration::from_secs(1),
        base,
        bearer: None,
        judging: Judging::Own,
        tracer: Tracer::off(),
        limit: 10,
        limit_for_actions: 5,
        limit_for_failed: 2,
        operations: vec!["charge".into()],
        findings: Findings::default(),
        breaker: BreakerSettings { failures: 0, pause: Duration::from_secs(1), wakes_per_second: 1 },
    }
}

async fn ask(to: &Arguments, number: u32) -> Outcome {
    send(to, &call_of("charge", number), Instant::now()).await.0
}

/// Makes a call of an action.
pub(super) fn call_of(operation: &'static str, number: u32) -> Call {
    Call {
        saga_id: context(None).saga_id,
        epoch: 1,
        step: "charge".into(),
        participant: "payments".into(),
        purpose: Purpose::Action { refusal: None },
        urgency: Urgency::Normal,
        attempt: number,
        operation: operation.into(),
        request: Request::new(Method::Get, "/asked/", None),
        context: context(None),
        read: Arc::new(|_, body| {
            serde_json::from_slice::<serde_json::Value>(body)?;
            Ok(Outputs::one("payment_id", "1"))
        }),
        timeout: Duration::from_secs(20),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_behind_one_name_share_the_calls_and_the_death_of_one_loses_none() {
    let (first, second, port) = two_listeners().await;
    let (first, second) = (Counting::on(first), Counting::on(second));
    let base = format!("http://payments.test:{port}");
    let replicas = Arc::new(Replicas::new("payments".into(), &base, connecting(2, Transport::network())).unwrap());
    let lookup: Lookup = Arc::new(|host| {
        assert_eq!(host, "payments.test");
        Box::pin(async { Ok(vec![address(1), address(2)]) })
    });
    let following = tokio::spawn(replicas.clone().follow(lookup, Duration::from_millis(20)));
    while replicas.addresses().is_empty() {
        tokio::task::yield_now().await;
    }
    let to = arguments(replicas, base);
    for number in 0..40 {
        assert!(matches!(ask(&to, number).await, Outcome::Done(_)));
    }
    assert_eq!((first.asked(), second.asked()), (20, 20));

    let before = first.kill().await;
    let mut lost = 0;
    for number in 0..40 {
        // A call in flight to the dead replica may be in doubt; it is repeated, as sagas do.
        while !matches!(ask(&to, number).await, Outcome::Done(_)) {
            lost += 1;
            assert!(lost <= 4, "there is another replica, and at most a few connections to the dead one");
        }
    }
    following.abort();
    assert_eq!((before, second.asked()), (20, 60), "the name still had the dead one, and all went to the other");
}

fn connecting(connections: usize, transport: Transport) -> Connecting {
    Connecting { peer: Peer::Own, connections, timeout: Duration::from_secs(5), transport }
}

fn alone(base: &str, transport: Transport) -> Arguments {
    arguments(Arc::new(Replicas::new("payments".into(), base, connecting(1, transport)).unwrap()), base.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_in_peace_and_comes_back_loses_no_call() {
    let listener = TcpListener::bind(SocketAddr::new(address(1), 0)).await.unwrap();
    let place = listener.local_addr().unwrap();
    let first = Counting::on(listener);
    let to = alone(&format!("http://{place}"), Transport::network());
    assert!(matches!(ask(&to, 1).await, Outcome::Done(_)));
    assert_eq!(first.stop().await, 1);
    let nobody = ask(&to, 2).await;
    assert!(
        matches!(&nobody, Outcome::Unknown(Unknown { sent: Sent::Nothing, retry: Retry::Parked(_), .. })),
        "it may be restarting: {nobody:?}"
    );

    let second = Counting::on(TcpListener::bind(place).await.unwrap());
    for number in 3..6 {
        assert!(matches!(ask(&to, number).await, Outcome::Done(_)));
    }
    assert_eq!(second.stop().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_without_a_stream_of_calls_gets_a_request_for_each() {
    let reads_all = Routes::new("payments").post("/calls/", Access::Public, describe, async |_| {
        // As a proxy that waits for the whole request.
        std::future::pending().await
    });
    for others in [Routes::new("payments"), reads_all] {
        let listener = TcpListener::bind(SocketAddr::new(address(1), 0)).await.unwrap();
        let to = alone(&format!("http://{}", listener.local_addr().unwrap()), Transport::network());
        let settings = ConfigSource::embedded("bench").load().unwrap();
        let without = Counting::beside(listener, settings, others, None);
        for number in 0..3 {
            assert!(matches!(ask(&to, number).await, Outcome::Done(_)));
        }
        assert_eq!(without.stop().await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_of_this_process_is_called_without_a_socket_whenever_it_runs() {
    let mut settings = ConfigSource::embedded("bench").load().unwrap();
    settings.http.max_connections = 1;
    let listener = TcpListener::bind(SocketAddr::new(address(1), 0)).await.unwrap();
    let place = listener.local_addr().unwrap();
    let transport = Transport::in_process([place]);
    let start =
        |listener| Counting::beside(listener, settings.clone(), Routes::new("payments"), Some(transport.clone()));
    let participant = start(listener);
    // Occupies the only connection slot: a call over a socket would be refused with 503.
    let stranger = TcpStream::connect(place).await.unwrap();
    stranger.writable().await.unwrap();
    let to = alone(&format!("http://{place}"), transport.clone());
    for number in 0..3 {
        assert!(matches!(ask(&to, number).await, Outcome::Done(_)));
    }
    drop(stranger);
    assert_eq!(participant.stop().await, 3);
    let stopped = ask(&to, 9).await;
    assert!(
        matches!(&stopped, Outcome::Unknown(Unknown { sent: Sent::Nothing, retry: Retry::Parked(_), .. })),
        "the participant may be restarting: {stopped:?}"
    );
    let again = start(TcpListener::bind(place).await.unwrap());
    assert!(matches!(ask(&to, 10).await, Outcome::Done(_)));
    assert_eq!(again.stop().await, 1);
}
