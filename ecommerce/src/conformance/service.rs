//! The participant under test, over HTTP/1.1.

use std::time::{Duration, Instant};

use common::{loopback::is_loopback, reason::with_causes, tls::http_client, wire};
use futures::stream::{self, Stream};
use parking_lot::Mutex;
use reqwest::{Body, Client, Response, Url, header::HeaderMap, redirect::Policy};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::{sync::oneshot, time::sleep};
use uuid::Uuid;

use super::{
    NotTested, Plan,
    answer::{Answer, Reply},
    case::Case,
    plan::{Count, Request},
    report::Exchange,
    template::{self, Values},
};

/// Time limit of a request whose body comes in pieces, in limits of other requests: it outlasts those beside it.
const PIECES_LIMIT: u32 = 10;

/// A participant and the plan to test it by.
pub(super) struct Service<'a> {
    pub(super) plan: &'a Plan,
    http: Client,
}

/// The requests of a rule, and their answers.
#[derive(Default)]
pub(super) struct Record(Mutex<Recorded>);

#[derive(Default)]
pub(super) struct Recorded {
    pub(super) exchanges: Vec<Exchange>,
    /// The newest saga.
    pub(super) saga_id: Option<Uuid>,
}

impl Record {
    pub(super) fn note(&self, sent: impl Into<String>, received: impl Into<String>) {
        let exchange = Exchange { sent: sent.into(), received: received.into(), times: 1 };
        self.with(|recorded| match recorded.exchanges.last_mut() {
            Some(last) if last.sent == exchange.sent && last.received == exchange.received => last.times += 1,
            Some(_) | None => recorded.exchanges.push(exchange),
        });
    }

    pub(super) fn set_saga(&self, saga_id: Uuid) {
        self.with(|recorded| recorded.saga_id = Some(saga_id));
    }

    /// Forgets what came before, in rules that repeat the same requests with other sagas.
    pub(super) fn clear(&self) {
        self.with(|recorded| recorded.exchanges.clear());
    }

    pub(super) fn into_recorded(self) -> Recorded {
        self.0.into_inner()
    }

    fn with(&self, change: impl FnOnce(&mut Recorded)) {
        change(&mut self.0.lock());
    }
}

impl<'a> Service<'a> {
    pub(super) fn new(plan: &'a Plan) -> Result<Self, NotTested> {
        let builder = http_client().http1_only().redirect(Policy::none()).timeout(plan.timeout);
        // On a proxy of the environment a loopback address would mean the proxy's own machine.
        let builder = if is_loopback(plan.url.as_str()) { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| NotTested::Client(with_causes(&error)))?;
        Ok(Self { plan, http })
    }

    #[expect(clippy::unused_self, reason = "a record belongs to a service")]
    pub(super) fn record(&self) -> Record {
        Record::default()
    }

    /// Makes a case: a saga of its own.
    pub(super) fn case<'s>(&'s self, record: &'s Record) -> Case<'s> {
        Case::new(self, record)
    }

    /// Checks that there is any answer.
    pub(super) async fn check_reachable(&self) -> Result<(), NotTested> {
        match self.http.get(self.plan.url.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(NotTested::Unreachable { url: self.plan.url.to_string(), reason: innermost(error.without_url()) })
            }
        }
    }

    /// Waits until there is any answer again.
    pub(super) async fn wait_until_reachable(&self) -> Result<(), String> {
        const INTERVAL: Duration = Duration::from_millis(100);
        let started = Instant::now();
        loop {
            match self.check_reachable().await {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > self.plan.restart_timeout => {
                    return Err(format!("within {} ms: {error}", self.plan.restart_timeout.as_millis()));
                }
                Err(_) => sleep(INTERVAL).await,
            }
        }
    }

    fn url(&self, path: &str, values: &Values) -> Result<Url, String> {
        let base = self.plan.url.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{}", template::path(path, values))).map_err(|error| error.to_string())
    }

    /// Sends a request and reads the answer.
    pub(super) async fn send(&self, request: &Request, values: &Values, undo: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| Body::from(body.to_string()));
        self.send_body(request, values, undo, body, None).await
    }

    /// Sends a request whose body comes in pieces: all of `length` bytes are announced, whatever the pieces hold.
    pub(super) async fn send_pieces(
        &self,
        request: &Request,
        values: &Values,
        undo: &str,
        pieces: impl Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static,
        length: usize,
    ) -> Answer {
        self.send_body(request, values, undo, Some(Body::wrap_stream(pieces)), Some(length)).await
    }

    /// Sends a request and cuts the connection `after` its body has left, which may be a part of the `length` that is
    /// announced. The answer is lost.
    pub(super) async fn send_and_cut(
        &self,
        request: &Request,
        values: &Values,
        undo: &str,
        body: Option<(Vec<u8>, usize)>,
        after: Duration,
    ) {
        let (sent, is_sent) = oneshot::channel();
        let (body, length) = match body {
            Some((part, length)) => {
                let pieces = stream::unfold(Some((part, sent)), async |piece| {
                    let (part, sent) = piece?;
                    // The cutter may have given up.
                    let _ = sent.send(());
                    Some((Ok::<_, std::io::Error>(part), None))
                });
                (Some(Body::wrap_stream(pieces)), Some(length))
            }
            // Dropping `sent` starts the wait at once.
            None => (None, None),
        };
        let cut = async {
            let _ = is_sent.await;
            sleep(after).await;
        };
        // Dropping the request closes its connection, since the answer to it is still due.
        tokio::select! {
            _ = self.send_body(request, values, undo, body, length) => {}
            () = cut => {}
        }
    }

    async fn send_body(
        &self,
        request: &Request,
        values: &Values,
        undo: &str,
        body: Option<Body>,
        length: Option<usize>,
    ) -> Answer {
        let url = match self.url(&request.path, values) {
            Ok(url) => url,
            Err(reason) => return Answer::Nothing(format!("not sent: {reason}")),
        };
        let mut sending = self
            .http
            .request(request.method.clone(), url)
            .header(wire::SAGA_ID, values.saga_id.to_string())
            .header(wire::SAGA_STEP, &values.step)
            .header(wire::SAGA_ATTEMPT, values.attempt)
            .header(wire::SAGA_EPOCH, 1)
            .header(wire::IDEMPOTENCY_KEY, format!("{}{undo}", values.step_key()));
        for (name, value) in &request.headers {
            sending = sending.header(name, template::text(value, values));
        }
        if let Some(token) = &self.plan.token {
            sending = sending.bearer_auth(token.expose_secret());
        }
        if let Some(body) = body {
            sending = sending.header("content-type", "application/json").body(body);
        }
        if let Some(length) = length {
            // A body in pieces takes as long as the rule wants; the participant must not be freed by our own limit.
            sending = sending.header("content-length", length).timeout(self.plan.timeout * PIECES_LIMIT);
        }
        match sending.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => Answer::Nothing(self.reason(error)),
        }
    }

    async fn read(&self, response: Response) -> Answer {
        let header = |headers: &HeaderMap, name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let seconds = header(&headers, "retry-after").and_then(|value| value.parse().ok());
        match response.bytes().await {
            Ok(body) => Answer::Reply(Reply {
                status,
                decision: header(&headers, wire::SAGA_DECISION),
                action: header(&headers, wire::SAGA_ACTION),
                retry_after: seconds.map(Duration::from_secs),
                body,
            }),
            Err(error) => Answer::Nothing(format!("{status}, but the answer breaks off: {}", self.reason(error))),
        }
    }

    fn reason(&self, error: reqwest::Error) -> String {
        if error.is_timeout() {
            format!("no answer within timeout_ms ({})", self.plan.timeout.as_millis())
        } else {
            format!("no answer: {}", innermost(error.without_url()))
        }
    }

    /// Counts the effects of a saga; `None` if the plan does not say how.
    pub(super) async fn effects(&self, values: &Values) -> Result<Option<u64>, String> {
        let Some(effects) = &self.plan.effects else { return Ok(None) };
        let request = Request {
            method: reqwest::Method::GET,
            path: effects.path.clone(),
            headers: effects.headers.clone(),
            body: None,
        };
        let answer = self.send(&request, values, "", None).await;
        let body = match &answer {
            Answer::Reply(reply) if reply.status == 404 => return Ok(Some(0)),
            Answer::Reply(reply) if reply.status == 200 => serde_json::from_slice::<Value>(&reply.body).ok(),
            Answer::Reply(_) | Answer::Nothing(_) => None,
        };
        let count = body.and_then(|body| count(&effects.count, &body));
        count.map(Some).ok_or_else(|| format!("the effects cannot be counted: GET {} → {answer}", effects.path))
    }
}

fn count(count: &Count, body: &Value) -> Option<u64> {
    match count {
        Count::At(pointer) => match body.pointer(pointer)? {
            Value::Array(items) => u64::try_from(items.len()).ok(),
            Value::Null => Some(0),
            other => other.as_u64(),
        },
        Count::If(values) => {
            Some(u64::from(values.iter().all(|(pointer, value)| body.pointer(pointer) == Some(value))))
        }
    }
}

/// Returns the innermost cause: "Connection refused" rather than "error sending request".
fn innermost(error: reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = &error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
