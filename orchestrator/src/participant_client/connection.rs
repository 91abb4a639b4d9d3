//! One HTTP/2 connection to a replica, opened on demand and reopened once it is gone. A service of this process is
//! called without a connection.
//!
//! This uses Hyper's connection, not a client above it: a call is one request on one known connection, and a saga
//! depends on whether any of the request was sent. Redirects, proxies and automatic retries would hide that.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use common::http::behind_others;
use common::http::in_process::{self, Lost};
use common::reason::with_causes;
use common::wire;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::http::response::Parts;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::judgement::is_recorded_refusal;
use super::replicas::Connecting;
use super::url::Base;

/// Detects a peer that vanished without closing the connection: it does not answer pings.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a participant's answer: a hundred times the size of our own services' answers.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// An outgoing request.
pub(super) type Outgoing = Request<Full<Bytes>>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The request was not seen by any server.
    NotSent(String),
    /// The request may have been seen: the connection or its answer was lost.
    Lost(String),
    /// The deadline passed after the request was sent.
    Late,
}

/// An answer with its body in memory.
pub(super) type Answered = Response<Bytes>;

/// A connection to one address.
pub(super) struct Connection {
    host: String,
    port: u16,
    /// The address; `None` resolves the name with each open.
    address: Option<IpAddr>,
    connect_timeout: Duration,
    /// The address of a possible service of this process, which needs no connection.
    local: Option<SocketAddr>,
    open: ArcSwapOption<Sender>,
    /// Held while the connection is opened, so that a thousand calls open one. It contains the time and reason of the
    /// last failure, so that waiting calls fail together and not one after the other.
    connect_failure: Mutex<Option<(Instant, String)>>,
}

type Sender = SendRequest<Full<Bytes>>;

impl Connection {
    pub(super) fn new(base: &Base, address: Option<IpAddr>, how: Connecting) -> Self {
        let (host, port) = (base.host().to_owned(), base.port());
        let named = address.or_else(|| host.parse().ok());
        let local = named.filter(|_| how.in_process).map(|address| SocketAddr::new(address, port));
        let (open, connect_failure) = (ArcSwapOption::empty(), Mutex::new(None));
        Self { host, port, address, connect_timeout: how.timeout, local, open, connect_failure }
    }

    /// Sends a request and reads its answer, both before `give_up`. A request that the server certainly has not
    /// processed, because it was closing the connection, is sent again once on a new connection.
    pub(super) async fn ask(&self, request: impl Fn() -> Outgoing, give_up: Instant) -> Result<Answered, NoAnswer> {
        if let Some(front) = self.local.and_then(in_process::at) {
            return match timeout_at(give_up, front.call(request())).await {
                Ok(Ok(answered)) => Ok(answered),
                Ok(Err(Lost)) => Err(NoAnswer::Lost("the answer is lost".to_owned())),
                Err(_) => Err(NoAnswer::Late),
            };
        }
        let mut is_second = false;
        loop {
            let Ok(sender) = timeout_at(give_up, self.sender()).await else {
                return Err(NoAnswer::NotSent("no connection before the timeout".to_owned()));
            };
            let sender = sender?;
            match timeout_at(give_up, exchange(&sender, request())).await {
                Ok(Err(NoAnswer::NotSent(_))) if !is_second => is_second = true,
                Ok(answered) => return answered,
                Err(_) => return Err(NoAnswer::Late),
            }
            // Discards the connection, unless another call already has.
            self.open.compare_and_swap(&sender, None);
        }
    }

    async fn sender(&self) -> Result<Arc<Sender>, NoAnswer> {
        if let Some(open) = self.usable() {
            return Ok(open);
        }
        let wanted_since = Instant::now();
        let mut failure = self.connect_failure.lock().await;
        if let Some(open) = self.usable() {
            return Ok(open);
        }
        if let Some((at, reason)) = failure.as_ref()
            && *at >= wanted_since
        {
            return Err(NoAnswer::NotSent(reason.clone()));
        }
        let opened = timeout(self.connect_timeout, self.connect()).await;
        let opened = opened.unwrap_or_else(|_| Err(format!("no connection within {:?}", self.connect_timeout)));
        match opened {
            Ok(sender) => {
                let sender = Arc::new(sender);
                self.open.store(Some(sender.clone()));
                *failure = None;
                Ok(sender)
            }
            Err(reason) => {
                *failure = Some((Instant::now(), reason.clone()));
                Err(NoAnswer::NotSent(reason))
            }
        }
    }

    fn usable(&self) -> Option<Arc<Sender>> {
        self.open.load_full().filter(|open| !open.is_closed())
    }

    async fn connect(&self) -> Result<Sender, String> {
        let stream = match self.address {
            Some(address) => TcpStream::connect((address, self.port)).await,
            None => TcpStream::connect((self.host.as_str(), self.port)).await,
        };
        let stream = stream.map_err(|error| with_causes(&error))?;
        // Without it a small request may wait 40 ms for an acknowledgement. It fails only on a broken socket, where the
        // next write fails too.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http2::Builder::new(Gathering)
            .timer(TokioTimer::new())
            // A stream never carries more than the longest answer that is read.
            .initial_stream_window_size(u32::try_from(MAX_ANSWER_BYTES).ok())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| with_causes(&error))?;
        tokio::spawn(behind_others(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to a participant failed");
            }
        }));
        Ok(sender)
    }
}

/// Runs the tasks of a connection behind others, so that requests of many calls are written together.
#[derive(Clone, Copy)]
struct Gathering;

impl<F> hyper::rt::Executor<F> for Gathering
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(behind_others(task));
    }
}

async fn exchange(sender: &Sender, request: Outgoing) -> Result<Answered, NoAnswer> {
    let mut sender = sender.clone();
    let response: Response<Incoming> = sender.try_send_request(request).await.map_err(|mut failed| {
        // The request is returned only if none of it was sent.
        let unsent = failed.take_message().is_some();
        let error = failed.into_error();
        match unsent || was_not_looked_at(&error) {
            true => NoAnswer::NotSent(with_causes(&error)),
            false => NoAnswer::Lost(with_causes(&error)),
        }
    })?;
    let (head, body) = response.into_parts();
    // Dropping an unread body resets its stream.
    match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
        Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() && is_refusal(&head) => {
            Ok(Response::from_parts(head, Bytes::new()))
        }
        Err(error) if error.is::<LengthLimitError>() => {
            Err(NoAnswer::Lost(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes")))
        }
        Err(error) => Err(NoAnswer::Lost(with_causes(&*error))),
    }
}

fn is_refusal(head: &Parts) -> bool {
    let decision = head.headers.get(wire::SAGA_DECISION).and_then(|value| value.to_str().ok());
    is_recorded_refusal(head.status.as_u16(), decision)
}

/// Tells whether the server declares that it has not processed the request: it closes the connection gracefully and
/// names the last stream that it will answer (RFC 9113, 6.8), or refuses the stream (8.7).
fn was_not_looked_at(error: &hyper::Error) -> bool {
    let of_protocol = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    of_protocol.is_some_and(|error| {
        let went_away = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (went_away || refused)
    })
}
