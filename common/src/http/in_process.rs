//! Calls between services of one process: through all of the front except the sockets.
//!
//! ```text
//! caller ─► at(address) ─► the same pipeline that answers on the socket ─► response
//! ```
//! A front is registered here by its listen address from its start until it is told to stop, unless
//! `participants.in_process` is off. A call to a registered loopback address is a call to a service of the same
//! process, since no other process can listen there. The handler runs in its caller's task.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    front::{Head, RequestPipeline},
    transport_faults::{CutConnection, LostReply},
};

/// The fronts of this process, by the address that each listens on.
static FRONTS: LazyLock<ArcSwap<HashMap<SocketAddr, Arc<LocalFront>>>> = LazyLock::new(ArcSwap::default);

/// Capacity of concurrent calls of a front; its own admission rejects far earlier.
pub(super) const PLACES: u32 = 1 << 20;

/// A front in this process.
pub struct LocalFront {
    pipeline: Arc<RequestPipeline>,
    /// One permit per call, so that a stop can wait for the calls.
    places: Arc<Semaphore>,
    cut: CancellationToken,
}

/// The answer to a call is lost: by the failure lab, or because the front was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// Finds the front of this process that listens on an address; `None` if there is none, or if the address is not a
/// loopback address.
pub fn at(address: SocketAddr) -> Option<Arc<LocalFront>> {
    if !address.ip().is_loopback() {
        return None;
    }
    let fronts = FRONTS.load();
    let on = |ip: IpAddr| fronts.get(&SocketAddr::new(ip, address.port())).cloned();
    on(address.ip()).or_else(|| match address.ip() {
        IpAddr::V4(_) => on(Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => on(Ipv6Addr::UNSPECIFIED.into()),
    })
}

impl LocalFront {
    /// Answers a request like the socket would.
    ///
    /// # Errors
    /// [`Lost`]: it is unknown whether the work was done.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> Result<hyper::Response<Bytes>, Lost> {
        let _place = self.places.acquire().await.map_err(|_| Lost)?;
        let answer = async {
            let (head, body) = request.into_parts();
            let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
            let head = Head {
                method: head.method,
                path,
                query,
                headers: head.headers,
                peer: None,
                version: None,
                authority: head.uri.authority().cloned(),
            };
            let body = stream::once(async { Ok(body.collect().await?.to_bytes()) });
            let response = self.pipeline.answer(head, body).await;
            let marks = response.extensions();
            if marks.get::<CutConnection>().is_some() || marks.get::<LostReply>().is_some() {
                return Err(Lost);
            }
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|_| Lost)?;
            Ok(hyper::Response::from_parts(head, body.to_bytes()))
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = self.cut.cancelled() => Err(Lost),
        }
    }
}

/// The registration of a front, removed on drop.
pub(super) struct Known(SocketAddr);

/// Registers a front.
pub(super) fn make_known(
    address: SocketAddr,
    pipeline: Arc<RequestPipeline>,
    places: Arc<Semaphore>,
    cut: CancellationToken,
) -> Known {
    let front = Arc::new(LocalFront { pipeline, places, cut });
    FRONTS.rcu(|fronts| {
        let mut fronts = HashMap::clone(fronts);
        fronts.insert(address, front.clone());
        fronts
    });
    Known(address)
}

impl Drop for Known {
    fn drop(&mut self) {
        FRONTS.rcu(|fronts| {
            let mut fronts = HashMap::clone(fronts);
            fronts.remove(&self.0);
            fronts
        });
    }
}
