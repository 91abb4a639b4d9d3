//! The replicas of a participant behind one name, and the choice of the replica for the next call.
//!
//! HTTP/2 puts all calls on one connection, and a connection stays with one replica: without this module, one of
//! several addresses would get all calls and the others none. So the name is resolved periodically, each address has
//! its own connections, and calls rotate. An address without an answer is skipped for a moment; one that is removed
//! from the name gets no new calls, and calls in flight there finish.
//!
//! A URL with an address instead of a name is one replica; nothing is resolved.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use common::http::Transport;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::connection::Connection;
use super::url::{BadUrl, Base, Peer};

/// How long an address without an answer is skipped while there are others.
const REST: Duration = Duration::from_secs(1);

/// Resolves a host to all its addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Settings of connections.
#[derive(Clone)]
pub(super) struct Connecting {
    /// The owner of the service.
    pub(super) peer: Peer,
    /// HTTP/2 connections to each address.
    pub(super) connections: usize,
    /// Timeout of a connect.
    pub(super) timeout: Duration,
    /// The way to services of this process.
    pub(super) transport: Transport,
}

/// One address and its connections.
pub(super) struct Replica {
    /// `None` if the connections resolve the name themselves.
    address: Option<IpAddr>,
    connections: Vec<Connection>,
    rests_until: Mutex<Option<Instant>>,
}

impl Replica {
    fn new(base: &Base, address: Option<IpAddr>, how: &Connecting) -> Self {
        let connection = |_| Connection::new(base, address, how);
        let connections = (0..how.connections.max(1)).map(connection).collect();
        Self { address, connections, rests_until: Mutex::new(None) }
    }

    fn rest(&self) {
        *self.rests_until.lock() = Some(Instant::now() + REST);
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }
}

pub(super) struct Replicas {
    service: SmolStr,
    base: Base,
    how: Connecting,
    list: ArcSwap<Vec<Arc<Replica>>>,
    turn: AtomicUsize,
}

/// The replica and the connection for a call.
pub(super) struct Chosen {
    replica: Arc<Replica>,
    connection: usize,
}

impl Chosen {
    pub(super) fn connection(&self) -> &Connection {
        &self.replica.connections[self.connection]
    }

    /// Marks the replica as not answering.
    pub(super) fn rest(&self) {
        self.replica.rest();
    }
}

impl Replicas {
    /// Starts with the URL's host as the only replica.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub(super) fn new(service: SmolStr, url: &str, how: Connecting) -> Result<Self, BadUrl> {
        let base = Base::parse(&service, url, how.peer)?;
        let list = ArcSwap::from_pointee(vec![Arc::new(Replica::new(&base, None, &how))]);
        Ok(Self { service, base, how, list, turn: AtomicUsize::new(0) })
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Returns the replica and the connection for the next call.
    pub(super) fn next(&self) -> Chosen {
        let list = self.list.load();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let at = |turn: usize| &list[turn % list.len()];
        let replica = match list.len() {
            1 => at(0),
            all => (turn..turn + all).map(at).find(|replica| !replica.rests()).unwrap_or_else(|| at(turn)),
        };
        let connection = (turn / list.len()) % replica.connections.len();
        Chosen { replica: replica.clone(), connection }
    }

    pub(super) fn len(&self) -> usize {
        self.list.load().len()
    }

    /// Returns the resolved addresses.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.list.load().iter().filter_map(|replica| replica.address).collect()
    }

    /// Whether the host is a name, not an address.
    pub(super) fn is_named(&self) -> bool {
        self.base.host().parse::<IpAddr>().is_err()
    }

    /// Resolves the name periodically, for ever.
    pub(super) async fn follow(self: Arc<Self>, lookup: Lookup, every: Duration) {
        let mut works = true;
        loop {
            match lookup(self.base.host().to_owned()).await {
                Ok(found) if !found.is_empty() => {
                    works = true;
                    self.become_these(&found);
                }
                // A failed or empty resolution keeps the known replicas.
                Ok(_) | Err(_) if works => {
                    works = false;
                    warn!(
                        service = %self.service,
                        host = self.base.host(),
                        "the host name of a participant cannot be resolved; its known replicas are kept"
                    );
                }
                Ok(_) | Err(_) => {}
            }
            sleep(every).await;
        }
    }

    fn become_these(&self, found: &[IpAddr]) {
        let mut found = found.to_vec();
        found.sort_unstable();
        found.dedup();
        let before = self.list.load();
        let known: HashMap<IpAddr, &Arc<Replica>> =
            before.iter().filter_map(|replica| Some((replica.address?, replica))).collect();
        if known.len() == found.len() && found.iter().all(|address| known.contains_key(address)) {
            return;
        }
        let replicas = found.iter().map(|address| match known.get(address) {
            Some(replica) => (*replica).clone(),
            None => Arc::new(Replica::new(&self.base, Some(*address), &self.how)),
        });
        info!(service = %self.service, addresses = ?found, "the replicas of a participant changed");
        self.list.store(Arc::new(replicas.collect()));
    }
}

/// The system's resolver.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(url: &str) -> Replicas {
        let (timeout, transport) = (Duration::from_secs(1), Transport::network());
        Replicas::new("payments".into(), url, Connecting { peer: Peer::Own, connections: 2, timeout, transport })
            .unwrap()
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    fn chosen(replicas: &Replicas, calls: usize) -> Vec<Option<IpAddr>> {
        (0..calls).map(|_| replicas.next().replica.address).collect()
    }

    #[test]
    fn calls_go_round_and_an_address_that_rests_is_left_out() {
        let replicas = replicas("http://payments:8002");
        assert_eq!(chosen(&replicas, 2), [None, None]);
        replicas.become_these(&[address(2), address(1), address(2)]);
        assert_eq!(replicas.addresses(), [address(1), address(2)]);
        let calls = chosen(&replicas, 10);
        for last in [1, 2] {
            assert_eq!(calls.iter().filter(|call| **call == Some(address(last))).count(), 5, "{calls:?}");
        }
        replicas.list.load()[0].rest();
        assert!(chosen(&replicas, 10).iter().all(|call| *call == Some(address(2))));
        // If all are skipped, any of them is used.
        replicas.list.load()[1].rest();
        assert_eq!(chosen(&replicas, 10).len(), 10);
    }

    #[test]
    fn a_replica_that_stays_keeps_its_connections_and_one_that_vanishes_is_dropped() {
        let replicas = replicas("http://payments:8002");
        replicas.become_these(&[address(1), address(2)]);
        let stays = replicas.list.load()[1].clone();
        replicas.become_these(&[address(2), address(3)]);
        assert_eq!(replicas.addresses(), [address(2), address(3)]);
        assert!(Arc::ptr_eq(&replicas.list.load()[0], &stays));
    }

    #[test]
    fn only_names_are_looked_up() {
        for (url, named) in [
            ("http://127.0.0.1:8002", false),
            ("http://[::1]:8002", false),
            ("http://payments:8002", true),
            ("http://localhost:1/prefix", true),
        ] {
            assert_eq!(replicas(url).is_named(), named, "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_is_away_takes_nobody_away() {
        let replicas = Arc::new(replicas("http://payments:8002"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let lookup: Lookup = Arc::new(move |_| {
            let turn = count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match turn {
                    0 => Ok(vec![address(1), address(2)]),
                    1 => Ok(Vec::new()),
                    _ => Err(io::Error::other("no name server")),
                }
            })
        });
        let following = tokio::spawn(replicas.clone().follow(lookup, Duration::from_secs(1)));
        while asked.load(Ordering::Relaxed) < 4 {
            sleep(Duration::from_millis(500)).await;
        }
        following.abort();
        assert_eq!(replicas.addresses(), [address(1), address(2)]);
    }
}
