//! The replicas of a participant behind one name, and which of them gets the next call.
//!
//! HTTP/2 puts all calls on one connection, and a connection stays with one replica: without this, whoever is behind a
//! name with several addresses would see all calls at one and none at the others. So the name is looked up again and
//! again, each address gets connections of its own, and calls go round. An address that nobody answers at rests for a
//! moment; one that vanishes from the name gets no new calls, and those that are out there end in peace.
//!
//! A URL with an address instead of a name is one replica for ever: nothing is looked up.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::connection::Connection;
use super::url::{BadUrl, Base};

/// How long an address that nobody answered at is left out, while there are others.
const REST: Duration = Duration::from_secs(1);

/// Looks a host up: all its addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connecting {
    /// HTTP/2 connections to each address.
    pub(super) connections: usize,
    /// How long opening one may take.
    pub(super) timeout: Duration,
    /// Whether services of this process are called without one.
    pub(super) in_process: bool,
}

/// One address and the connections to it.
pub(super) struct Replica {
    /// `None` where the connections find the address by themselves.
    address: Option<IpAddr>,
    connections: Vec<Connection>,
    rests_until: Mutex<Option<Instant>>,
}

impl Replica {
    fn new(base: &Base, address: Option<IpAddr>, how: Connecting) -> Self {
        let connection = |_| Connection::new(base, address, how);
        let connections = (0..how.connections.max(1)).map(connection).collect();
        Self { address, connections, rests_until: Mutex::new(None) }
    }

    fn rest(&self) {
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

/// All replicas of a participant.
pub(super) struct Replicas {
    service: &'static str,
    base: Base,
    how: Connecting,
    list: ArcSwap<Vec<Arc<Replica>>>,
    turn: AtomicUsize,
}

/// Who gets a call.
pub(super) struct Chosen {
    replica: Arc<Replica>,
    connection: usize,
}

impl Chosen {
    pub(super) fn connection(&self) -> &Connection {
        &self.replica.connections[self.connection]
    }

    /// Notes that nobody answered there.
    pub(super) fn rest(&self) {
        self.replica.rest();
    }
}

impl Replicas {
    /// Starts with what the URL says.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub(super) fn new(service: &'static str, url: &str, how: Connecting) -> Result<Self, BadUrl> {
        let base = Base::parse(service, url)?;
        let list = ArcSwap::from_pointee(vec![Arc::new(Replica::new(&base, None, how))]);
        Ok(Self { service, base, how, list, turn: AtomicUsize::new(0) })
    }

    /// Returns what goes before every path.
    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Returns who gets the next call, and over which connection.
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

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.list.load().len()
    }

    /// Names the addresses, for people.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.list.load().iter().filter_map(|replica| replica.address).collect()
    }

    /// Whether there is a name to be looked up.
    pub(super) fn is_named(&self) -> bool {
        self.base.host().parse::<IpAddr>().is_err()
    }

    /// Looks the name up for ever.
    pub(super) async fn follow(self: Arc<Self>, lookup: Lookup, every: Duration) {
        let mut works = true;
        loop {
            match lookup(self.base.host().to_owned()).await {
                Ok(found) if !found.is_empty() => {
                    works = true;
                    self.become_these(&found);
                }
                // A name server that is away for a moment takes nobody away: those who were there stay.
                Ok(_) | Err(_) if works => {
                    works = false;
                    warn!(service = self.service, host = self.base.host(), "the participant's name has no address now");
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
            None => Arc::new(Replica::new(&self.base, Some(*address), self.how)),
        });
        info!(service = self.service, addresses = ?found, "the participant's replicas");
        self.list.store(Arc::new(replicas.collect()));
    }
}

/// Asks the system's resolver.
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

    const HOW: Connecting = Connecting { connections: 2, timeout: Duration::from_secs(1), in_process: false };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    fn chosen(replicas: &Replicas, calls: usize) -> Vec<Option<IpAddr>> {
        (0..calls).map(|_| replicas.next().replica.address).collect()
    }

    #[test]
    fn calls_go_round_and_an_address_that_rests_is_left_out() {
        let replicas = Replicas::new("payments", "http://payments:8002", HOW).unwrap();
        assert_eq!(chosen(&replicas, 2), [None, None]);
        replicas.become_these(&[address(2), address(1), address(2)]);
        assert_eq!(replicas.addresses(), [address(1), address(2)]);
        let calls = chosen(&replicas, 10);
        for last in [1, 2] {
            assert_eq!(calls.iter().filter(|call| **call == Some(address(last))).count(), 5, "{calls:?}");
        }
        replicas.list.load()[0].rest();
        assert!(chosen(&replicas, 10).iter().all(|call| *call == Some(address(2))));
        // Where all rest, one is as good as another.
        replicas.list.load()[1].rest();
        assert_eq!(chosen(&replicas, 10).len(), 10);
    }

    #[test]
    fn a_replica_that_stays_keeps_its_connections_and_one_that_vanishes_is_dropped() {
        let replicas = Replicas::new("payments", "http://payments:8002", HOW).unwrap();
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
            assert_eq!(Replicas::new("payments", url, HOW).unwrap().is_named(), named, "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_is_away_takes_nobody_away() {
        let replicas = Arc::new(Replicas::new("payments", "http://payments:8002", HOW).unwrap());
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
