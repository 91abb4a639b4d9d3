//! The client of a request: the peer address of the connection, unless the peer is a trusted proxy.
//!
//! Behind a trusted proxy, `X-Forwarded-For`, or `Forwarded` (RFC 7239) if the former is absent, is read from its end,
//! where the nearest proxy wrote, up to the first address that is not a trusted proxy's. Everything before that address
//! may be forged. `Forwarded` is ignored beside the other header: most proxies write one of the two and pass the other
//! one on as the client sent it. An IPv6 client is its /64 network, since that is the usual allocation for one
//! customer.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering},
};

use hyper::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use tracing::warn;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How much of an unreadable address is logged; it is untrusted input.
const MAX_SHOWN_CHARS: usize = 64;

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) room: Room,
}

/// The kind of place that a connection occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A place within the limits.
    Free,
    /// A place beyond the limits, for health, metrics and operators.
    Reserved,
}

/// A client, as counted by limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address, or its network.
    pub(super) address: IpAddr,
    pub(super) identified_by: IdentifiedBy,
}

/// How a client was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdentifiedBy {
    /// It is the peer of the connection.
    Itself,
    /// A trusted proxy named it.
    Proxy,
    /// It is a trusted proxy itself, or a trusted proxy did not name it.
    Unnamed,
}

/// Identifies clients.
pub(super) struct Clients {
    trusted: Vec<IpNet>,
    /// Whether an unreadable header was logged already.
    complained: AtomicBool,
}

impl Clients {
    /// Creates it from the trusted proxies of a checked configuration.
    pub(super) fn behind(proxies: &[String]) -> Self {
        let trusted = proxies.iter().filter_map(|text| network(text)).collect();
        Self { trusted, complained: AtomicBool::new(false) }
    }

    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Returns the client of a request, as limits count it.
    pub(super) fn of(&self, peer: Peer, headers: &HeaderMap) -> Client {
        let client = self.named(peer, headers);
        Client { address: bucket_of(client.address), ..client }
    }

    /// Returns the address of the client of a request.
    pub(super) fn address(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        self.named(peer, headers).address
    }

    /// Returns the scheme that the client used: a trusted proxy may have ended its TLS.
    pub(super) fn scheme(&self, peer: Peer, headers: &HeaderMap) -> &'static str {
        let named = || headers.get(FORWARDED_PROTO).map(HeaderValue::as_bytes);
        if self.is_trusted(peer.address) && named() == Some(b"https") { "https" } else { "http" }
    }

    fn named(&self, peer: Peer, headers: &HeaderMap) -> Client {
        let mut client = peer.address;
        if !self.is_trusted(client) {
            return Client { address: client, identified_by: IdentifiedBy::Itself };
        }
        for hop in hops(headers).iter().rev() {
            let Some(before) = address(hop) else {
                self.complain(hop);
                break;
            };
            client = before;
            if !self.is_trusted(client) {
                return Client { address: client, identified_by: IdentifiedBy::Proxy };
            }
        }
        Client { address: client, identified_by: IdentifiedBy::Unnamed }
    }

    fn complain(&self, hop: &str) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            let hop: String = hop.chars().take(MAX_SHOWN_CHARS).collect();
            warn!(
                hop = ?hop,
                "the client address from a trusted proxy cannot be parsed; the clients behind it count as one"
            );
        }
    }
}

/// Returns the clients named by the headers, the nearest last. Several headers of one name form one list.
fn hops(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let lines = |name: &HeaderName| headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    if headers.contains_key(FORWARDED_FOR) {
        return lines(&FORWARDED_FOR).flat_map(|line| split(&line, ',')).map(Cow::Owned).collect();
    }
    let elements = lines(&FORWARDED).flat_map(|line| split(&line, ','));
    let named = elements.map(|element| {
        let mut pairs = split(&element, ';').into_iter();
        let named = pairs.find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| value.trim().to_owned())
        });
        named.unwrap_or_default()
    });
    named.map(Cow::Owned).collect()
}

/// Splits at a character outside of quotes.
fn split(text: &str, mark: char) -> Vec<String> {
    let mut is_quoted = false;
    let parts = text.split(|character| {
        is_quoted ^= character == '"';
        character == mark && !is_quoted
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

/// Parses an address with or without a port; IPv6 with or without brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(hop);
    let plain = |text: &str| text.parse::<IpAddr>().ok();
    let address = plain(hop).or_else(|| {
        let (address, port) = match hop.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (IpAddr::V6(address.parse().ok()?), port)
            }
            None => hop.find(':').and_then(|at| Some((IpAddr::V4(hop[..at].parse().ok()?), &hop[at..])))?,
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok() || port.starts_with('_');
        (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(address)
    });
    address.map(|address| address.to_canonical())
}

/// Parses a network, or a single address as a network; `None` for any other text.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Returns the address that stands for a client: itself, or the /64 network of an IPv6 address.
pub(super) fn bucket_of(client: IpAddr) -> IpAddr {
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
    use super::*;

    fn client(trusted: &[&str], from: &str, name: &HeaderName, lines: &[&'static str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let headers = lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect();
        let peer = Peer { address: from.parse().unwrap(), room: Room::Free };
        Clients::behind(&trusted).of(peer, &headers).address.to_string()
    }

    #[test]
    fn a_client_is_who_the_nearest_trusted_proxy_says() {
        type Case = (&'static [&'static str], &'static str, &'static [&'static str], &'static str);
        let cases: [Case; 15] = [
            (&[], "203.0.113.1", &["198.51.100.9"], "203.0.113.1"),
            (&["10.0.0.0/8"], "203.0.113.1", &["198.51.100.9"], "203.0.113.1"),
            (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.9"], "198.51.100.9"),
            (&["10.0.0.0/8"], "10.0.0.1", &[], "10.0.0.1"),
            (&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1, 198.51.100.9"], "198.51.100.9"),
            (&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1", "198.51.100.9, 10.0.0.2"], "198.51.100.9"),
            (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.9, nonsense"], "10.0.0.1"),
            (&["10.0.0.1"], "10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            (&["10.0.0.1"], "10.0.0.1", &["::ffff:198.51.100.9"], "198.51.100.9"),
            (&["10.0.0.1"], "10.0.0.1", &["198.51.100.3:4711"], "198.51.100.3"),
            (&["10.0.0.1"], "10.0.0.1", &["[2001:db8:1:2:3::1]:443"], "2001:db8:1:2::"),
            (&["10.0.0.1"], "10.0.0.1", &["[2001:db8:1:2:3::1]"], "2001:db8:1:2::"),
            (&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.3:1, 10.0.0.2:80"], "198.51.100.3"),
            (&["10.0.0.1"], "10.0.0.1", &["198.51.100.3:99999"], "10.0.0.1"),
            (&["10.0.0.1"], "10.0.0.1", &["198.51.100.3:"], "10.0.0.1"),
        ];
        for (trusted, from, lines, expected) in cases {
            assert_eq!(client(trusted, from, &FORWARDED_FOR, lines), expected, "{trusted:?} {from} {lines:?}");
        }
    }

    #[test]
    fn the_standard_header_names_the_client_too() {
        type Case = (&'static [&'static str], &'static str);
        let cases: [Case; 9] = [
            (&["for=198.51.100.9"], "198.51.100.9"),
            (&["For=\"198.51.100.9:4711\";proto=http;by=203.0.113.43"], "198.51.100.9"),
            (&["proto=https;for=\"[2001:db8:1:2:3::1]:443\""], "2001:db8:1:2::"),
            (&["for=1.1.1.1, for=198.51.100.9;host=\"a,b;for=2.2.2.2\""], "198.51.100.9"),
            (&["for=1.1.1.1", "for=198.51.100.9, for=10.0.0.2"], "198.51.100.9"),
            (&["for=\"198.51.100.9:_port\""], "198.51.100.9"),
            (&["for=unknown"], "10.0.0.1"),
            (&["for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["by=198.51.100.9"], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &FORWARDED, lines), expected, "{lines:?}");
        }
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.1", &FORWARDED, &["for=198.51.100.9"]), "203.0.113.1");
    }

    #[test]
    fn a_client_cannot_name_itself_through_a_proxy_that_writes_the_other_header() {
        let headers = HeaderMap::from_iter([
            (FORWARDED, HeaderValue::from_static("for=1.1.1.1")),
            (FORWARDED_FOR, HeaderValue::from_static("198.51.100.9")),
        ]);
        let peer = Peer { address: "10.0.0.1".parse().unwrap(), room: Room::Free };
        let client = Clients::behind(&["10.0.0.1".to_owned()]).of(peer, &headers);
        assert_eq!(client, Client { address: "198.51.100.9".parse().unwrap(), identified_by: IdentifiedBy::Proxy });
    }

    #[test]
    fn what_cannot_be_read_is_said_once() {
        let clients = Clients::behind(&["10.0.0.1".to_owned()]);
        let headers = HeaderMap::from_iter([(FORWARDED_FOR, HeaderValue::from_bytes(b"\xff").unwrap())]);
        let peer = Peer { address: "10.0.0.1".parse().unwrap(), room: Room::Free };
        assert!(!clients.complained.load(Ordering::Relaxed));
        assert_eq!(clients.of(peer, &headers).identified_by, IdentifiedBy::Unnamed);
        assert!(clients.complained.load(Ordering::Relaxed));
    }
}
