//! Places for connections: a limit for all peers together and one per peer, except trusted proxies.
//!
//! Beyond a limit there are a few reserved places, for operators, health and metrics when clients are turned away. A
//! reserved connection without a request makes room for the next one, so a flood cannot hold them.

use std::{collections::VecDeque, io, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::line::{Line, Times};
use crate::{
    config::HttpSettings,
    http::client::{Clients, Peer, Room, bucket_of},
    per_client::{PerClient, Share},
};

/// Number of connections accepted beyond a limit.
const RESERVED: usize = 64;

/// How often a connection that waits for a place looks for one that can give way.
const ROOM_INTERVAL: Duration = Duration::from_millis(50);

/// The places of a server.
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// Total number of permits.
    count: u32,
    of_peers: PerClient,
    clients: Clients,
    times: Times,
    reserved: Mutex<VecDeque<Arc<Line>>>,
}

/// An accepted connection.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: Peer,
    pub(super) line: Arc<Line>,
    pub(super) place: Place,
}

/// The place of a connection, released on drop.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
    reserved: Option<(Arc<Places>, Arc<Line>)>,
}

impl Places {
    pub(super) fn of(http: &HttpSettings) -> Self {
        let count = http.max_connections.saturating_add(RESERVED).min(Semaphore::MAX_PERMITS);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            all: Arc::new(Semaphore::new(count as usize)),
            count,
            of_peers: PerClient::new(http.max_connections_per_peer),
            clients: Clients::behind(&http.trusted_proxies),
            times: Times {
                head: Duration::from_millis(http.header_timeout_ms),
                idle: Duration::from_millis(http.idle_timeout_ms),
                write: Duration::from_millis(http.write_timeout_ms),
            },
            reserved: Mutex::default(),
        }
    }

    /// Accepts the next connection; `None` if the peer has more than its share and there is no reserved place. While
    /// all places are taken, the connection waits for one, and later ones wait in the listen queue.
    pub(super) async fn accept(self: &Arc<Self>, listener: &TcpListener) -> io::Result<Option<Accepted>> {
        let (stream, from) = listener.accept().await?;
        let permit = loop {
            if let Ok(permit) = self.all.clone().try_acquire_owned() {
                break permit;
            }
            make_room(&mut self.reserved.lock());
            if let Ok(permit) = timeout(ROOM_INTERVAL, self.all.clone().acquire_owned()).await {
                break permit.map_err(io::Error::other)?;
            }
        };
        // Without it a small answer may wait 40 ms for an acknowledgement. It fails only on a closed connection.
        let _ = stream.set_nodelay(true);
        let admitted = self.admit(permit, from.ip().to_canonical());
        Ok(admitted.map(|(peer, line, place)| Accepted { stream, peer, line, place }))
    }

    fn admit(self: &Arc<Self>, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<(Peer, Arc<Line>, Place)> {
        let is_within = self.all.available_permits() >= RESERVED;
        let share = if self.clients.is_trusted(address) {
            Some(Share::uncounted())
        } else {
            self.of_peers.take(bucket_of(address))
        };
        if let Some(share) = share.filter(|_| is_within) {
            let place = Place { _permit: permit, _share: Some(share), reserved: None };
            return Some((Peer { address, room: Room::Free }, Arc::new(Line::new(self.times)), place));
        }
        // A reserved connection is for one request, which must come soon.
        let line = Arc::new(Line::new(Times { idle: self.times.head, ..self.times }));
        let mut reserved = self.reserved.lock();
        if reserved.len() >= RESERVED && !make_room(&mut reserved) {
            return None;
        }
        reserved.push_back(line.clone());
        let place = Place { _permit: permit, _share: None, reserved: Some((self.clone(), line.clone())) };
        Some((Peer { address, room: Room::Reserved }, line, place))
    }

    /// Waits until all places are free.
    pub(super) async fn all_free(&self) -> Option<SemaphorePermit<'_>> {
        self.all.acquire_many(self.count).await.ok()
    }

    pub(super) fn taken(&self) -> usize {
        self.count as usize - self.all.available_permits()
    }
}

/// Ends the oldest reserved connection without a request in flight; returns whether there was one.
fn make_room(reserved: &mut VecDeque<Arc<Line>>) -> bool {
    let idle = reserved.iter().position(|line| line.is_idle());
    let ended = idle.and_then(|place| reserved.remove(place));
    if let Some(line) = &ended {
        line.cut.notify_one();
    }
    ended.is_some()
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((places, line)) = self.reserved.take() {
            places.reserved.lock().retain(|other| !Arc::ptr_eq(other, &line));
        }
    }
}
