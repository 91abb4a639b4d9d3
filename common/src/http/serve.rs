//! The accept loop: HTTP/1.1 and HTTP/2 with prior knowledge on one port, with the limits that warp's own loop lacks.
//!
//! ```text
//! place free? ─► accept ─► task per connection ─┬─ hyper serves the routes on it
//!                                               ├─ no request in time: asked to end, then cut
//!                                               └─ cut: by the failure lab, or by the end of a stop's grace
//! ```
//! A connection holds its place until it ends, so a stop has finished when all places are free again.

use std::{
    error::Error,
    fmt, io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{debug, info, warn};
use warp::filters::BoxedFilter;

use super::{
    Front, Response, behind_others,
    front::{Gate, filter},
    in_process,
    rate_limit::Peer,
    transport_faults::{CutConnection, LostReply},
};
use crate::config::HttpSettings;

/// How long the loop rests when no connection can be accepted: the process is out of file descriptors, usually.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A peer that is gone without a word is noticed by pings that it does not answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// As large as the headers of a request may be. Hyper's own limit times the cap on connections would be gigabytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Streams that a client gave up before they were looked at. Many of our own calls can time out at once, and the default
/// of 20 takes that for an attack and ends the connection.
const MAX_ABANDONED_STREAMS: usize = 512;

/// How long a stop waits for the first request of a client that has just connected: it is on its way, and a client that
/// is cut off then cannot know what became of it.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(1);

/// How long a connection that is told to end gets to say so to its client.
const GOODBYE_TIME: Duration = Duration::from_millis(200);

/// Serves until `shutdown`, then lets the listener go, lets requests at work finish, for as long as `http.drain_grace_ms`
/// allows, and returns. If nobody else has the listener then, clients that come later are refused and can go elsewhere;
/// in the listen queue they would wait unheard. If the future is dropped, its connections are cut.
pub async fn serve(front: Front, listener: Arc<TcpListener>, shutdown: CancellationToken) {
    let http = front.settings.http.clone();
    let (service, draining) = (front.service, front.draining.clone());
    let is_known = front.settings.participants.in_process;
    let max_connections = u32::try_from(http.max_connections).unwrap_or(u32::MAX);
    let gate = Arc::new(Gate::of(front));
    let server = Server {
        service,
        header_time: Duration::from_millis(http.header_timeout_ms),
        protocol: Arc::new(protocol(&http)),
        routes: filter(gate.clone()),
        drain: shutdown.clone(),
        // Not a child of the shutdown: requests at work outlive that.
        cut: CancellationToken::new(),
    };
    let cut_on_drop = server.cut.clone().drop_guard();
    let places = Arc::new(Semaphore::new(max_connections as usize));
    let calls = Arc::new(Semaphore::new(in_process::PLACES as usize));
    let known = listener.local_addr().ok().filter(|_| is_known);
    let known = known.map(|address| in_process::make_known(address, gate, calls.clone(), server.cut.clone()));

    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => server.spawn(stream, peer, place),
            Err(error) => {
                warn!(service, %error, "no connection can be accepted");
                sleep(ACCEPT_REST).await;
            }
        }
    }

    draining.begin();
    drop(known);
    drop(listener);
    let grace = Duration::from_millis(http.drain_grace_ms);
    let all_done =
        || futures::future::join(places.acquire_many(max_connections), calls.acquire_many(in_process::PLACES));
    if timeout(grace, all_done()).await.is_err() {
        let open = max_connections as usize - places.available_permits();
        info!(service, open, "connections are cut: they did not finish within http.drain_grace_ms");
        drop(cut_on_drop);
        let _ = timeout(GOODBYE_TIME, all_done()).await;
    }
}

/// Waits for a free place first: connections beyond the cap wait in the listen queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Without it a small answer may wait 40 ms for an acknowledgement. It can only fail on a connection that is gone.
    let _ = stream.set_nodelay(true);
    Ok((stream, Peer(peer.ip().to_canonical()), place))
}

fn protocol(http: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(http.header_timeout_ms))
        .max_buf_size(MAX_HEADER_BYTES);
    // More than the door of the front lets in: a caller that asks for too much hears so, instead of waiting unheard.
    let streams = http.max_in_flight.saturating_mul(2).clamp(256, u32::MAX as usize);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_ABANDONED_STREAMS);
    protocol
}

struct Server {
    service: &'static str,
    header_time: Duration,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    routes: BoxedFilter<(Response,)>,
    drain: CancellationToken,
    cut: CancellationToken,
}

/// What a connection and the requests on it tell each other.
#[derive(Default)]
struct Line {
    /// That a request has come.
    used: AtomicBool,
    /// Told of the first one.
    first: Notify,
    /// That an answer takes the connection down.
    cut: Notify,
}

impl Server {
    fn spawn(&self, stream: TcpStream, peer: Peer, place: OwnedSemaphorePermit) {
        let (service, header_time) = (self.service, self.header_time);
        let (drain, cut) = (self.drain.clone(), self.cut.clone());
        let protocol = self.protocol.clone();
        let line = Arc::new(Line::default());
        let on_line = line.clone();
        let routes = warp::service(self.routes.clone());
        let answer = service_fn(move |mut request: Request<Incoming>| {
            if !on_line.used.swap(true, Ordering::Relaxed) {
                on_line.first.notify_one();
            }
            request.extensions_mut().insert(peer);
            let (mut routes, line) = (routes.clone(), on_line.clone());
            async move {
                let Ok(response) = routes.call(request).await;
                deliver(response, &line)
            }
        });
        tokio::spawn(behind_others(async move {
            let _place = place;
            let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), answer));
            let end = tokio::select! {
                biased;
                () = cut.cancelled() => return,
                () = line.cut.notified() => return,
                () = told_to_end(&drain, &line) => End::WhenDone,
                () = unused(&line, header_time) => End::Now,
                ended = connection.as_mut() => return log(service, ended),
            };
            connection.as_mut().graceful_shutdown();
            if let End::Now = end
                && timeout(GOODBYE_TIME, connection.as_mut()).await.is_ok()
            {
                return;
            }
            // The first request may have come with the goodbye; then the connection lives as long as that.
            if let End::Now = end
                && !line.used.load(Ordering::Relaxed)
            {
                return;
            }
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                () = line.cut.notified() => {}
                ended = connection.as_mut() => log(service, ended),
            }
        }));
    }
}

/// How a connection is to end.
#[derive(Clone, Copy)]
enum End {
    WhenDone,
    Now,
}

/// Ends at a stop; where no request has come by then, with the first one, or when none comes.
async fn told_to_end(drain: &CancellationToken, line: &Line) {
    drain.cancelled().await;
    if !line.used.load(Ordering::Relaxed) {
        let _ = timeout(FIRST_REQUEST_TIME, line.first.notified()).await;
    }
}

/// Ends when no request has come in time. Hyper has a limit for the headers of HTTP/1.1, but none for a client that
/// never says which protocol it speaks, or opens no stream.
async fn unused(line: &Line, header_time: Duration) {
    sleep(header_time).await;
    if line.used.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// Hands an answer over, unless it is marked to get lost. An error instead of an answer resets the stream of HTTP/2, and
/// closes the connection of HTTP/1.1.
fn deliver(response: Response, line: &Line) -> Result<Response, NoAnswer> {
    let marks = response.extensions();
    if marks.get::<CutConnection>().is_some() {
        line.cut.notify_one();
        return Err(NoAnswer);
    }
    if marks.get::<LostReply>().is_some() {
        return Err(NoAnswer);
    }
    Ok(response)
}

/// Clients break connections off all the time: that is no trouble of ours.
fn log(service: &str, ended: Result<(), Box<dyn Error + Send + Sync>>) {
    if let Err(error) = ended {
        debug!(service, error, "a connection broke off");
    }
}

/// Given to hyper in the place of an answer that is to get lost.
#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is lost (simulated)")
    }
}

impl Error for NoAnswer {}
