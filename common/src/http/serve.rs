//! The accept loop: HTTP/1.1 and HTTP/2 with prior knowledge on one port, with the limits that warp's own loop lacks.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::transport_faults::{CutConnection, LostReply};
use super::{Front, Response, dispatch};

/// As many requests as one HTTP/2 connection may carry at once: the orchestrator has few connections and many sagas.
const MAX_STREAMS: u32 = 8_192;
/// How long the loop rests when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is cancelled, then lets what is in flight finish, for as long as the configuration allows.
pub async fn serve(front: Front, listener: Arc<TcpListener>, shutdown: CancellationToken) {
    let http = front.settings.http.clone();
    let service = front.service;
    let routes = TowerToHyperService::new(warp::service(dispatch::filter(front)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(http.header_timeout_ms));
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    let connections = Arc::new(Semaphore::new(http.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(service, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond the cap a connection is closed at once: waiting would only move the queue.
        let Ok(permit) = connections.clone().try_acquire_owned() else { continue };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(service, %error, "no TCP_NODELAY");
        }
        let cut = CancellationToken::new();
        let faulty = Faulty { routes: routes.clone(), cut: cut.clone() };
        let connection =
            graceful.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), faulty).into_owned());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                ended = connection => {
                    if let Err(error) = ended {
                        debug!(service, %error, "a connection ended");
                    }
                }
            }
            drop(permit);
        });
    }
    let grace = Duration::from_millis(http.drain_grace_ms);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        info!(service, ?grace, "some connections did not end in time");
    }
}

/// The routes, with the transport faults of the failure lab made real.
#[derive(Clone)]
struct Faulty<S> {
    routes: S,
    cut: CancellationToken,
}

/// Told to hyper instead of an answer.
#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a simulated fault took the answer")
    }
}

impl Error for NoAnswer {}

impl<R, S> Service<R> for Faulty<S>
where
    S: Service<R, Response = Response, Error = dispatch::Never>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = NoAnswer;
    type Future = futures::future::BoxFuture<'static, Result<Response, NoAnswer>>;

    fn call(&self, request: R) -> Self::Future {
        let answer = self.routes.call(request);
        let cut = self.cut.clone();
        Box::pin(async move {
            let Ok(response) = answer.await;
            if response.extensions().get::<CutConnection>().is_some() {
                cut.cancel();
                return Err(NoAnswer);
            }
            match response.extensions().get::<LostReply>() {
                Some(_) => Err(NoAnswer),
                None => Ok(response),
            }
        })
    }
}
