//! How often one client may ask: a bucket of tokens for each (crate `governor`, GCRA), emptied by requests and refilled
//! by time.
//!
//! Who the client is: the address at the other end of the connection, unless that is a proxy that the operator trusts.
//! Then `X-Forwarded-For` is read from its end, where the nearest proxy wrote, up to the first address that is not a
//! trusted proxy's: what stands before that the client may have made up. An IPv6 client is its /64 network, since that is
//! what one customer gets.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use hyper::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::ApiError;
use crate::config::Settings;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Requests between two rounds that forget clients whose bucket is full again: the memory is bounded by the clients of a
/// short time, and a round costs nothing that one would notice.
const ROUND: u32 = 8_192;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer(pub(super) IpAddr);

/// The buckets.
pub(super) struct RateLimit {
    buckets: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    trusted: Vec<IpNet>,
    asked: AtomicU32,
}

impl RateLimit {
    /// Returns what limits the clients of a service, if anything does.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let per_second = NonZeroU32::new(settings.rate_limit.per_second)?;
        let burst = NonZeroU32::new(settings.rate_limit.burst).unwrap_or(NonZeroU32::MIN);
        Some(Self {
            buckets: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)),
            clock: DefaultClock::default(),
            // The configuration was checked.
            trusted: settings.http.trusted_proxies.iter().filter_map(|text| network(text)).collect(),
            asked: AtomicU32::new(0),
        })
    }

    /// Takes a token from the client's bucket.
    ///
    /// # Errors
    /// 429 if there is none.
    pub(super) fn check(&self, peer: Peer, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % ROUND == ROUND - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        let Err(early) = self.buckets.check_key(&bucket_of(self.client(peer, headers))) else { return Ok(()) };
        let wait = early.wait_time_from(self.clock.now());
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(ApiError::too_many_requests("this client asks too often; nothing was done", seconds.max(1)))
    }

    fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.0;
        // Several headers of a name are one list.
        let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
        let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        while self.is_trusted(client) {
            let Some(Ok(before)) = hops.next().map(|hop| hop.trim().parse::<IpAddr>()) else { break };
            client = before.to_canonical();
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// Reads a network, or an address, which is a network of one. `None` if it is neither.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn bucket_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;
    use crate::config::ConfigSource;

    fn limit(trusted: &[&str]) -> RateLimit {
        let mut settings = ConfigSource::embedded("bench").load().unwrap();
        // A token takes an hour to come back: no test is that slow.
        (settings.rate_limit.per_second, settings.rate_limit.burst) = (1, 2);
        settings.http.trusted_proxies = trusted.iter().map(|text| (*text).to_owned()).collect();
        let limit = RateLimit::of(&settings).unwrap();
        let slow = Quota::with_period(std::time::Duration::from_secs(3_600)).unwrap();
        RateLimit { buckets: RateLimiter::keyed(slow.allow_burst(NonZeroU32::new(2).unwrap())), ..limit }
    }

    fn peer(text: &str) -> Peer {
        Peer(text.parse().unwrap())
    }

    fn forwarded(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn a_client_is_who_the_nearest_trusted_proxy_says() {
        type Case = (&'static [&'static str], &'static str, &'static [&'static str], &'static str);
        let cases: [Case; 9] = [
            (&[], "203.0.113.1", &["198.51.100.9"], "203.0.113.1"),
            (&["10.0.0.0/8"], "203.0.113.1", &["198.51.100.9"], "203.0.113.1"),
            (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.9"], "198.51.100.9"),
            (&["10.0.0.0/8"], "10.0.0.1", &[], "10.0.0.1"),
            (&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1, 198.51.100.9"], "198.51.100.9"),
            (&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1", "198.51.100.9, 10.0.0.2"], "198.51.100.9"),
            (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.9, nonsense"], "10.0.0.1"),
            (&["10.0.0.1"], "10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            (&["10.0.0.1"], "10.0.0.1", &["::ffff:198.51.100.9"], "198.51.100.9"),
        ];
        for (trusted, from, lines, client) in cases {
            let limit = limit(trusted);
            assert_eq!(Peer(limit.client(peer(from), &forwarded(lines))), peer(client), "{trusted:?} {from} {lines:?}");
        }
    }

    #[test]
    fn a_client_that_asks_too_often_hears_when_to_come_back_and_no_other_suffers() {
        let limit = limit(&[]);
        let ask = |from: &str| limit.check(peer(from), &HeaderMap::new());
        assert!(ask("203.0.113.1").is_ok() && ask("203.0.113.1").is_ok());
        let refused = ask("203.0.113.1").unwrap_err();
        assert_eq!(refused.status(), 429);
        assert!(ask("203.0.113.2").is_ok());
        for (address, is_let_in) in [("2001:db8::1", true), ("2001:db8::2", true), ("2001:db8::3", false)] {
            assert_eq!(ask(address).is_ok(), is_let_in, "one network is one client: {address}");
        }
        assert!(ask("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn clients_that_are_long_gone_are_forgotten() {
        let mut settings = ConfigSource::embedded("bench").load().unwrap();
        (settings.rate_limit.per_second, settings.rate_limit.burst) = (1_000_000_000, 1);
        let limit = RateLimit::of(&settings).unwrap();
        for client in 0..ROUND {
            let _ = limit.check(Peer(IpAddr::from(client.to_be_bytes())), &HeaderMap::new());
        }
        assert!(limit.buckets.len() < 100, "{}", limit.buckets.len());
    }
}
