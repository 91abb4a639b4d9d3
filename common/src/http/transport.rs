//! The way of calls between services: the network, or without sockets to the services of the same process.
//!
//! ```text
//! caller ─┬─ a message on a stream (serve::calls) ─┐
//!         └─ LocalConnection ──────────────────────┴─► call::take ─► answer, loss or cut
//! ```
//! `up` makes one [`Transport`] for its services and hands it to each at its start. In process a call ends as on a
//! connection: a cut takes every call of its connection along, and a service that stops takes no further call and
//! answers the calls that it took. A call in process has no client address, so the limits of a client do not apply to
//! it; on the network the service token has that effect.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    call::{self, Caller, Taken},
    calls::{CallAnswer, CallRequest, LOST},
    front::RequestPipeline,
};
use crate::config::reachable;

/// The way between the services of a process. Clones share it; the default is the network.
#[derive(Clone, Default)]
pub struct Transport(Arc<HashMap<SocketAddr, Arc<ArcSwapOption<LocalService>>>>);

impl Transport {
    /// Creates the transport of a process with one service: sockets only.
    pub fn network() -> Self {
        Self::default()
    }

    /// Creates the transport of a process with several services: no sockets between the services that listen on these
    /// addresses.
    pub fn in_process(listening: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(Arc::new(listening.into_iter().map(|address| (reachable(address), Arc::default())).collect()))
    }

    /// Connects to the service of this process at an address; `None` if there is none, so that a socket is needed.
    pub fn connect(&self, address: SocketAddr) -> Option<LocalConnection> {
        let service = self.0.get(&address)?.clone();
        let caller = Caller { peer: None, authority: address.to_string().parse().ok() };
        Some(LocalConnection { service, caller, cut: Arc::default() })
    }

    /// Lets the service that listens on an address take calls, at most `calls` at a time. A cancelled `cut` loses them.
    pub(super) fn serve(
        &self,
        listening: SocketAddr,
        pipeline: Arc<RequestPipeline>,
        calls: u32,
        cut: CancellationToken,
    ) -> Option<TakesCalls> {
        let at = self.0.get(&reachable(listening))?.clone();
        let service = Arc::new(LocalService { pipeline, calls, places: Semaphore::new(calls as usize), cut });
        at.store(Some(service.clone()));
        Some(TakesCalls { at, service })
    }
}

/// A service of this process.
struct LocalService {
    pipeline: Arc<RequestPipeline>,
    calls: u32,
    /// One permit per call, so that a stop can wait for the calls; closed after it.
    places: Semaphore,
    cut: CancellationToken,
}

/// A service that takes calls until this is stopped or dropped.
pub(super) struct TakesCalls {
    at: Arc<ArcSwapOption<LocalService>>,
    service: Arc<LocalService>,
}

impl TakesCalls {
    /// Takes no further calls.
    pub(super) fn stop(&self) {
        // Its successor after a restart may already be there.
        self.at.compare_and_swap(&self.service, None);
    }

    /// Waits until all calls that were taken have ended.
    pub(super) async fn all_ended(&self) {
        let _ = self.service.places.acquire_many(self.service.calls).await;
    }
}

impl Drop for TakesCalls {
    fn drop(&mut self) {
        self.stop();
        self.service.places.close();
    }
}

/// A connection without a socket to a service of this process, whether it runs or not.
pub struct LocalConnection {
    service: Arc<ArcSwapOption<LocalService>>,
    caller: Caller,
    /// Notifies all calls if one of them cuts the connection.
    cut: Arc<Notify>,
}

impl LocalConnection {
    /// Makes a call; `None` if the service does not run, so that nothing was done. The future owns what it needs: over
    /// the network a service finishes a call whose caller gave up, so such a caller spawns it instead of dropping it.
    pub fn call(&self, request: CallRequest) -> impl Future<Output = Option<CallAnswer>> + Send + use<> {
        let (service, caller, cut) = (self.service.load_full(), self.caller.clone(), self.cut.clone());
        async move {
            let service = service?;
            let cut_by_another = cut.notified();
            let _place = service.places.acquire().await.ok()?;
            let taken = tokio::select! {
                biased;
                taken = call::take(&service.pipeline, caller, request) => taken,
                () = cut_by_another => Taken::Answered(CallAnswer::of_status(LOST)),
                () = service.cut.cancelled() => Taken::Answered(CallAnswer::of_status(LOST)),
            };
            Some(match taken {
                Taken::Answered(answer) => answer,
                Taken::Cut => {
                    cut.notify_waiters();
                    CallAnswer::of_status(LOST)
                }
            })
        }
    }
}
