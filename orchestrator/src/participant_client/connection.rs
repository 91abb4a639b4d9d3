//! The way to a replica: one HTTP/2 connection, opened on demand and reopened once it is lost, or by HTTP/1.1 one for
//! each call in flight. A service that was started with the same [`Transport`] is called without a socket.
//!
//! Our own services speak HTTP/2, and offer a stream that carries all calls as messages; without one, as in an older
//! version, each call is a request. A participant that a user names may be reached by TLS, where the handshake chooses
//! the version; without TLS the configuration does.
//!
//! This uses Hyper's connection, not a client above it: a call is one request on one known connection, and a saga
//! depends on whether any of the request was sent. Redirects, proxies and automatic retries would hide that.

mod calls;
mod http1;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use common::http::calls::{CallRequest, OutgoingRequest, PATH};
use common::http::{LocalConnection, behind_others};
use common::reason::with_causes;
use common::tls::{HttpVersion, Https};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use self::calls::{Calls, Feed};
use self::http1::Spare;
use super::replicas::Connecting;
use super::url::{Base, Peer};

/// Detects a peer that vanished without closing the connection: it does not answer pings.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a participant's answer: a hundred times the size of our own services' answers.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Window of the answers that a stream of calls has in flight.
const CALLS_WINDOW_BYTES: u32 = 1024 * 1024;

/// The reason for a missing answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// No server takes the request: none listens, or it closes its connections. It may be about to be replaced.
    Away(String),
    /// The request cannot be sent there: the server is not the right one, or does not speak the protocol.
    NotSent(String),
    /// There is no such request, for any server.
    NoRequest(String),
    /// The request may have been seen: the connection or its answer was lost.
    Lost(String),
    /// The deadline passed after the request was sent.
    Late,
}

/// An answer with its body in memory.
pub(super) type Answered = Response<Bytes>;

/// Marks an answer whose body was longer than [`MAX_ANSWER_BYTES`] and is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooLong;

/// A connection to one address.
pub(super) struct Connection {
    base: Base,
    /// The address; `None` resolves the name with each open.
    address: Option<IpAddr>,
    connect_timeout: Duration,
    /// The way to a service of this process; then there are no others.
    local: Option<LocalConnection>,
    tls: Tls,
    /// Where the replica would offer a stream of calls; `None` for participants that are not our own.
    calls_at: Option<Uri>,
    /// Whether the replica is known to speak HTTP/1.1.
    is_http1: AtomicBool,
    open: ArcSwapOption<Shared>,
    /// HTTP/1.1 connections without a call.
    spare: Arc<Spare>,
    /// Held while the connection is opened, so that a thousand calls open one. It contains the time and reason of the
    /// last failure, so that waiting calls fail together and not one after the other.
    connect_failure: Mutex<Option<(Instant, NoAnswer)>>,
}

/// A connection by HTTP/2: a call is a request of its own, or the body of one is a stream of them.
type Http2 = SendRequest<Either<Full<Bytes>, Feed>>;

/// A connection for all calls.
struct Shared {
    sender: Http2,
    /// `None` if the participant offers no stream of calls.
    calls: Option<Calls>,
}

/// The connection for one call.
enum Sender {
    Shared(Arc<Shared>),
    Own(http1::Own),
}

/// Whether connections have TLS.
enum Tls {
    Without,
    With(Https),
    /// No certificate can name the host.
    Impossible(String),
}

impl Connection {
    pub(super) fn new(base: &Base, address: Option<IpAddr>, how: &Connecting) -> Self {
        let known = address.or_else(|| base.host().parse().ok()).filter(|_| how.peer == Peer::Own);
        let local = known.and_then(|address| how.transport.connect(SocketAddr::new(address, base.port())));
        let tls = if base.is_https() {
            Https::to(base.host()).map_or_else(|error| Tls::Impossible(error.to_string()), Tls::With)
        } else {
            Tls::Without
        };
        // A proxy that serves a participant below a path would see the paths of requests, not those of messages.
        let calls_at = (how.peer == Peer::Own && base.is_root()).then(|| base.at(PATH).expect("the path is valid"));
        Self {
            calls_at,
            base: base.clone(),
            address,
            connect_timeout: how.timeout,
            local,
            is_http1: AtomicBool::new(!base.is_https() && how.peer == Peer::Named(HttpVersion::Http1)),
            tls,
            open: ArcSwapOption::empty(),
            spare: Arc::default(),
            connect_failure: Mutex::new(None),
        }
    }

    /// Sends a request and reads its answer, both before `give_up`. A request that the server certainly has not
    /// processed, because it was closing the connection, is sent again once on a new connection.
    ///
    /// `request` makes the request, or returns the reason why it cannot.
    pub(super) async fn ask(
        &self,
        request: impl Fn() -> Result<OutgoingRequest, String>,
        give_up: Instant,
    ) -> Result<Answered, NoAnswer> {
        if let Some(local) = &self.local {
            let request = request().map_err(NoAnswer::NoRequest)?;
            return ask_in_process(local, request.into(), give_up).await;
        }
        let mut is_second = false;
        loop {
            let Ok(sender) = timeout_at(give_up, self.sender()).await else {
                return Err(NoAnswer::Away("no connection before the timeout".to_owned()));
            };
            let (sender, request) = (sender?, request().map_err(NoAnswer::NoRequest)?);
            let asked = async {
                match sender {
                    Sender::Shared(shared) => match &shared.calls {
                        Some(calls) => (calls.ask(request).await, Some(shared)),
                        None => (Box::pin(exchange(&shared.sender, self.plain(request))).await, Some(shared)),
                    },
                    Sender::Own(own) => (Box::pin(http1::exchange(own, self.plain(request), &self.spare)).await, None),
                }
            };
            match timeout_at(give_up, asked).await {
                Ok((Err(NoAnswer::Away(_)), gone)) if !is_second => {
                    is_second = true;
                    // Discards the connection, unless another call already has. The spare ones were closed with it.
                    gone.map(|sender| self.open.compare_and_swap(&sender, None));
                    self.spare.clear();
                }
                Ok((answered, _)) => return answered,
                Err(_) => return Err(NoAnswer::Late),
            }
        }
    }

    /// Makes the request of plain HTTP.
    fn plain(&self, request: OutgoingRequest) -> Request<Bytes> {
        let OutgoingRequest { method, target, headers, body } = request;
        let mut plain = Request::new(body);
        *plain.method_mut() = method;
        *plain.uri_mut() = self.base.with(target);
        plain.headers_mut().extend(headers);
        plain
    }

    async fn sender(&self) -> Result<Sender, NoAnswer> {
        if self.is_http1.load(Ordering::Relaxed) {
            return match self.spare.take() {
                Some(own) => Ok(Sender::Own(own)),
                None => Box::pin(self.opened()).await,
            };
        }
        if let Some(open) = self.usable() {
            return Ok(Sender::Shared(open));
        }
        let wanted_since = Instant::now();
        let mut failure = self.connect_failure.lock().await;
        if let Some(open) = self.usable() {
            return Ok(Sender::Shared(open));
        }
        if let Some((at, reason)) = failure.as_ref()
            && *at >= wanted_since
        {
            return Err(reason.clone());
        }
        match Box::pin(self.opened()).await {
            Ok(sender) => {
                *failure = None;
                Ok(sender)
            }
            Err(reason) => {
                *failure = Some((Instant::now(), reason.clone()));
                Err(reason)
            }
        }
    }

    fn usable(&self) -> Option<Arc<Shared>> {
        self.open.load_full().filter(|open| !open.is_closed())
    }

    /// Opens a connection; the others use it too if it speaks HTTP/2.
    async fn opened(&self) -> Result<Sender, NoAnswer> {
        let opened = timeout(self.connect_timeout, self.connect()).await;
        let late = |_| Err(NoAnswer::Away(format!("no connection within {:?}", self.connect_timeout)));
        let sender = opened.unwrap_or_else(late)?;
        if let Sender::Shared(shared) = &sender {
            self.open.store(Some(shared.clone()));
        }
        self.is_http1.store(matches!(sender, Sender::Own(_)), Ordering::Relaxed);
        Ok(sender)
    }

    async fn connect(&self) -> Result<Sender, NoAnswer> {
        let stream = match self.address {
            Some(address) => TcpStream::connect((address, self.base.port())).await,
            None => TcpStream::connect((self.base.host(), self.base.port())).await,
        };
        let stream = stream.map_err(|error| NoAnswer::Away(with_causes(&error)))?;
        // Without it a small request may wait 40 ms for an acknowledgement. It fails only on a broken socket, where the
        // next write fails too.
        let _ = stream.set_nodelay(true);
        let is_http1 = self.is_http1.load(Ordering::Relaxed);
        let calls = self.calls_at.as_ref().map(|uri| (uri, self.connect_timeout / 2));
        let opened = match &self.tls {
            Tls::Without if is_http1 => http1::open(stream).await.map(Sender::Own),
            Tls::Without => open_http2(stream, calls).await,
            Tls::With(https) => match https.open(stream).await {
                Ok((stream, HttpVersion::Http1)) => http1::open(stream).await.map(Sender::Own),
                Ok((stream, HttpVersion::Http2)) => open_http2(stream, None).await,
                Err(error) => Err(with_causes(&error)),
            },
            Tls::Impossible(reason) => Err(reason.clone()),
        };
        opened.map_err(NoAnswer::NotSent)
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.calls.as_ref().is_some_and(Calls::is_over)
    }
}

async fn open_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    calls: Option<(&Uri, Duration)>,
) -> Result<Sender, String> {
    // Without a stream of calls, a stream never carries more than the longest answer that is read.
    let window = calls.map_or(u32::try_from(MAX_ANSWER_BYTES).ok(), |_| Some(CALLS_WINDOW_BYTES));
    let (sender, connection) = http2::Builder::new(BehindOthers)
        .timer(TokioTimer::new())
        .initial_stream_window_size(window)
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
    let calls = match calls {
        // A proxy that reads whole requests before it passes them on never answers.
        Some((uri, limit)) => match timeout(limit, Calls::open(&sender, uri.clone())).await {
            Ok(opened) => opened.map_err(|error| with_causes(&error))?,
            Err(_) => None,
        },
        None => None,
    };
    Ok(Sender::Shared(Arc::new(Shared { sender, calls })))
}

/// Runs the tasks of a connection behind others, so that requests of many calls are written together.
#[derive(Clone, Copy)]
struct BehindOthers;

impl<F> hyper::rt::Executor<F> for BehindOthers
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(behind_others(task));
    }
}

async fn ask_in_process(local: &LocalConnection, call: CallRequest, give_up: Instant) -> Result<Answered, NoAnswer> {
    // Boxed, as all ways but a call on an open connection, so that the future of such a call is small.
    let mut call = Box::pin(local.call(call));
    match timeout_at(give_up, &mut call).await {
        Ok(Some(answer)) => calls::received(answer).expect("a service of this process answers by HTTP"),
        Ok(None) => Err(NoAnswer::Away("the participant does not run".to_owned())),
        Err(_) => {
            tokio::spawn(call);
            Err(NoAnswer::Late)
        }
    }
}

async fn exchange(sender: &Http2, request: Request<Bytes>) -> Result<Answered, NoAnswer> {
    let request = request.map(|body| Either::Left(Full::new(body)));
    let response = sender.clone().try_send_request(request).await.map_err(no_answer)?;
    read(response).await
}

fn no_answer<B>(mut failed: TrySendError<Request<B>>) -> NoAnswer {
    // The request is returned only if none of it was sent.
    let unsent = failed.take_message().is_some();
    let error = failed.into_error();
    if unsent || was_not_looked_at(&error) {
        NoAnswer::Away(with_causes(&error))
    } else {
        NoAnswer::Lost(with_causes(&error))
    }
}

async fn read(response: Response<Incoming>) -> Result<Answered, NoAnswer> {
    let (mut head, body) = response.into_parts();
    // Dropping an unread body resets its stream, or closes its connection.
    match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
        Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            head.extensions.insert(TooLong);
            Ok(Response::from_parts(head, Bytes::new()))
        }
        Err(error) => Err(NoAnswer::Lost(with_causes(&*error))),
    }
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
