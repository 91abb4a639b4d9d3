//! The accept loop: HTTP/1.1 and HTTP/2 with prior knowledge on one port, with the limits that warp's own loop lacks.
//!
//! ```text
//! place free? (places) ─► accept ─► task per connection ─┬─ hyper serves the routes on its bytes (wire)
//!                                                        ├─ a time limit expires (line): graceful end, or cut
//!                                                        ├─ an invalid head: answered, then ended
//!                                                        └─ cut: by the failure lab, or after the grace of a stop
//! ```
//! A connection holds its place until it ends, so a stop is complete when all places are free again.

mod answer;
mod calls;
mod connection;
mod line;
mod places;
mod wire;

use std::{sync::Arc, time::Duration};

use futures::future::{OptionFuture, join};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    connection::{Connections, GOODBYE_TIME},
    places::Places,
};
use super::{
    HttpService, behind_others,
    front::{RequestPipeline, filter},
    head::MAX_HEADER_BYTES,
    transport::TakesCalls,
};
use crate::config::HttpSettings;

/// Pause after a failed accept: usually the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A peer that vanished is detected by pings without an answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit of streams reset by a client before they were accepted. Many of our own calls can time out at once; hyper's
/// default of 20 treats that as an attack and ends the connection.
const MAX_ABANDONED_STREAMS: usize = 512;

/// Serves until `shutdown`. Then it drops the listener, lets requests in flight finish within `http.drain_grace_ms`,
/// and returns. If the listener has no other owner, later clients are refused and can try elsewhere; in the listen
/// queue they would wait in vain. If the future is dropped, its connections are cut.
///
/// Calls in process are taken from the return of this function on, before the future is polled.
pub fn serve(
    front: HttpService,
    listener: Arc<TcpListener>,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let http = front.settings.http.clone();
    let (service, draining, transport) = (front.service, front.draining.clone(), front.calls.clone());
    let pipeline = Arc::new(RequestPipeline::of(front));
    let connections = Connections {
        service,
        protocol: Arc::new(protocol(&http)),
        pipeline: pipeline.clone(),
        routes: filter(pipeline.clone()),
        drain: shutdown.clone(),
        // Not a child token of the shutdown: requests in flight outlive it.
        cut: CancellationToken::new(),
    };
    let cut_on_drop = connections.cut.clone().drop_guard();
    let in_process = transport.zip(listener.local_addr().ok()).and_then(|(transport, address)| {
        let calls = u32::try_from(pipeline.max_calls()?).unwrap_or(u32::MAX);
        transport.serve(address, pipeline, calls, connections.cut.clone())
    });

    async move {
        let places = Arc::new(Places::of(&http));
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = places.accept(&listener) => accepted,
            };
            match accepted {
                Ok(Some(accepted)) => {
                    is_failing = false;
                    tokio::spawn(behind_others(connections.clone().serve(accepted)));
                }
                Ok(None) => {}
                Err(error) => {
                    // Once, since the next attempt comes soon.
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(service, %error, "cannot accept connections");
                    }
                    sleep(ACCEPT_REST).await;
                }
            }
        }

        draining.begin();
        in_process.iter().for_each(TakesCalls::stop);
        drop(listener);
        let grace = Duration::from_millis(http.drain_grace_ms);
        let calls = || OptionFuture::from(in_process.as_ref().map(TakesCalls::all_ended));
        let all_done = || join(places.all_free(), calls());
        if timeout(grace, all_done()).await.is_err() {
            let open = places.taken();
            info!(service, open, "closing connections that did not finish within http.drain_grace_ms");
            drop(cut_on_drop);
            let _ = timeout(GOODBYE_TIME, all_done()).await;
        }
    }
}

fn protocol(http: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    // The line of a connection has its own limits for heads, which distinguish an idle connection from a slow client.
    protocol.http1().timer(TokioTimer::new()).header_read_timeout(None).half_close(true).max_buf_size(MAX_HEADER_BYTES);
    // More than admission allows: a caller above that limit gets a 503 instead of waiting without an answer.
    let streams = http.max_in_flight.saturating_mul(2).clamp(256, u32::MAX as usize);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_ABANDONED_STREAMS)
        // More than `head::check` allows, so that a client gets a problem: beyond this limit
        // hyper's answer is empty.
        .max_header_list_size(2 * MAX_HEADER_BYTES as u32);
    protocol
}
