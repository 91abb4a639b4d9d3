//! An HTTP proxy between the orchestrator and a participant that can lose a reply, answer instead of the participant,
//! or hold a request or its reply until the test releases it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use common::{
    config::ConfigSource,
    http::{
        Access, ApiError, Draining, HeaderValue, HttpService, Request, Response, Routes, SseEvent, StatusCode,
        Transport, event_stream, openapi::Description, serve, transport_faults,
    },
    traces::Tracer,
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The treatment of a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// The request is forwarded; its reply is lost.
    LoseReply,
    /// The participant never sees it; this is the answer.
    Answer(u16, &'static str, &'static str),
    /// As `Answer`, with headers, and a body of any length.
    AnswerWith(u16, Headers, String),
    /// The participant never sees it; the answer's body has no end.
    AnswerWithoutEnd(u16, Headers),
    /// The request is forwarded; its reply gets this status.
    ReplyAs(u16),
    /// The request waits until the token is cancelled, then it is forwarded.
    HoldRequest(CancellationToken),
    /// The request is forwarded; its reply waits until the token is cancelled.
    HoldReply(CancellationToken),
}

/// Headers of an answer.
pub type Headers = &'static [(&'static str, &'static str)];

/// A request that was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// `METHOD /path`.
    pub what: String,
    /// The participant's status, if the request was forwarded.
    pub status: Option<u16>,
}

struct Rule {
    what: &'static str,
    times: usize,
    act: Act,
}

#[derive(Default)]
struct Script {
    target: OnceLock<SocketAddr>,
    rules: Mutex<Vec<Rule>>,
    passed: Mutex<Vec<Passed>>,
    arrived: Mutex<Vec<String>>,
    /// Bytes of endless bodies that were read.
    taken: AtomicUsize,
}

/// The proxy; it ends when dropped.
pub struct Interposer {
    /// Its address, for [`crate::StackOptions::behind`].
    pub url: String,
    script: Arc<Script>,
    _end: DropGuard,
}

impl Interposer {
    /// Starts one on a free port, without a target.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let script = Arc::<Script>::default();
        let http = common::tls::http_client().http2_prior_knowledge().build().expect("a client");
        let handler = {
            let script = script.clone();
            move |request: Request| {
                // In its own task, so that a caller that gives up does not cancel the request.
                let passing = tokio::spawn(pass(script.clone(), http.clone(), request));
                async move { passing.await.unwrap_or_else(|panic| Err(ApiError::internal(panic.to_string()))) }
            }
        };
        let routes = Routes::new("interposer")
            .get("/{*path}", Access::Public, || Description::new("carryGet", "Carries a request"), handler.clone())
            .post("/{*path}", Access::Public, || Description::new("carryPost", "Carries a request"), handler.clone())
            .delete("/{*path}", Access::Public, || Description::new("carryDelete", "Carries a request"), handler);
        let front = HttpService {
            service: "interposer",
            routes,
            settings: Arc::new(ConfigSource::embedded("bench").load().expect("the profile is good")),
            health: Arc::new(|| Box::pin(async { Vec::new() })),
            draining: Draining::default(),
            tracer: Tracer::off(),
            calls: Some(Transport::network()),
        };
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(serve(front, Arc::new(listener), end.clone())));
        Self { url: format!("http://{address}"), script, _end: end.drop_guard() }
    }

    /// Sets the target.
    ///
    /// # Panics
    /// When called a second time.
    pub fn before(&self, target: SocketAddr) {
        self.script.target.set(target).expect("it stands before one participant");
    }

    /// Treats the next `times` requests whose `METHOD /path` contains `what`; with a `$` at its end, ends in `what`.
    pub fn next(&self, times: usize, what: &'static str, act: Act) {
        self.script.rules.lock().push(Rule { what, times, act });
    }

    /// Forwards all requests from now on.
    pub fn let_pass(&self) {
        self.script.rules.lock().clear();
    }

    /// Returns the handled requests, in the order of their answers.
    pub fn passed(&self) -> Vec<Passed> {
        self.script.passed.lock().clone()
    }

    /// Returns the number of bytes read of endless bodies.
    pub fn taken(&self) -> usize {
        self.script.taken.load(Ordering::Relaxed)
    }

    /// Returns the number of requests received, held ones included, that match as in [`Interposer::next`].
    pub fn arrived(&self, what: &str) -> usize {
        self.script.arrived.lock().iter().filter(|arrived| is_meant(arrived, what)).count()
    }
}

fn is_meant(request: &str, what: &str) -> bool {
    match what.strip_suffix('$') {
        Some(end) => request.ends_with(end),
        None => request.contains(what),
    }
}

impl Script {
    fn act(&self, what: &str) -> Option<Act> {
        let mut rules = self.rules.lock();
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && is_meant(what, rule.what))?;
        rule.times -= 1;
        Some(rule.act.clone())
    }

    fn note(&self, what: String, status: Option<u16>) {
        self.passed.lock().push(Passed { what, status });
    }
}

async fn pass(script: Arc<Script>, http: reqwest::Client, request: Request) -> Result<Response, ApiError> {
    let what = format!("{} {}", request.method, request.path);
    script.arrived.lock().push(what.clone());
    let act = script.act(&what);
    match &act {
        Some(Act::Answer(status, content_type, body)) => {
            script.note(what, None);
            let status = StatusCode::from_u16(*status).expect("a status of a test is one");
            return Ok(common::http::with_body(status, content_type, *body));
        }
        Some(Act::AnswerWith(status, headers, body)) => {
            script.note(what, None);
            return Ok(with_headers(
                common::http::with_body(StatusCode::OK, "application/json", body.clone()),
                *status,
                headers,
            ));
        }
        Some(Act::AnswerWithoutEnd(status, headers)) => {
            script.note(what, None);
            return Ok(with_headers(without_end(&script), *status, headers));
        }
        Some(Act::HoldRequest(release)) => release.cancelled().await,
        Some(Act::LoseReply | Act::ReplyAs(_) | Act::HoldReply(_)) | None => {}
    }
    let Some(target) = script.target.get() else {
        return Err(ApiError::unavailable("nobody stands behind the interposer yet", 1));
    };
    let mut headers = request.headers.clone();
    for connection_specific in ["host", "content-length", "connection", "transfer-encoding"] {
        headers.remove(connection_specific);
    }
    let carried = http
        .request(request.method, format!("http://{target}{}", request.path))
        .headers(headers)
        .body(request.body)
        .send()
        .await
        .map_err(|error| ApiError::unavailable(error.to_string(), 1))?;
    let mut status = carried.status();
    let headers = carried.headers().clone();
    let body = carried.bytes().await.map_err(|error| ApiError::unavailable(error.to_string(), 1))?;
    script.note(what, Some(status.as_u16()));
    match act {
        Some(Act::LoseReply) => return Ok(transport_faults::lost_reply()),
        Some(Act::ReplyAs(other)) => status = StatusCode::from_u16(other).expect("a status of a test is one"),
        Some(Act::HoldReply(release)) => release.cancelled().await,
        Some(Act::HoldRequest(_) | Act::Answer(..) | Act::AnswerWith(..) | Act::AnswerWithoutEnd(..)) | None => {}
    }
    let mut response = common::http::with_body(status, "application/json", body);
    for name in ["content-type", "saga-decision", "saga-action", "idempotent-replayed", "retry-after"] {
        if let Some(value) = headers.get(name) {
            response.headers_mut().insert(name, HeaderValue::from(value));
        }
    }
    Ok(response)
}

fn with_headers(mut response: Response, status: u16, headers: Headers) -> Response {
    *response.status_mut() = StatusCode::from_u16(status).expect("a status of a test is one");
    for (name, value) in headers {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    response
}

/// Answers with a body that continues while the caller reads it.
fn without_end(script: &Arc<Script>) -> Response {
    const PIECE: usize = 16 * 1024;
    let (events, body) = mpsc::channel(1);
    let script = script.clone();
    tokio::spawn(async move {
        while events.send(SseEvent::default().data("x".repeat(PIECE))).await.is_ok() {
            script.taken.fetch_add(PIECE, Ordering::Relaxed);
        }
    });
    event_stream(body)
}
