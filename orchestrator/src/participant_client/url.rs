//! The URL of a participant, parsed once: every call is to a path below it.

use common::config::is_callable;
use common::tls::HttpVersion;
use hyper::Uri;
use hyper::http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use smol_str::SmolStr;
use thiserror::Error;

/// The URL of a participant cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key}: expected a URL such as http://{participant}:8000, found {url:?}")]
pub struct BadUrl {
    key: String,
    participant: SmolStr,
    url: String,
}

/// The owner of a participant, which decides the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// One of our own: HTTP/2 without TLS.
    Own,
    /// One that a user names: `https://` negotiates the version of HTTP, `http://` has this one.
    Named(HttpVersion),
}

/// The part of the URL before the path of a call.
#[derive(Clone, Debug)]
pub(super) struct Base {
    scheme: Scheme,
    authority: Authority,
    /// Without a trailing slash.
    prefix: String,
}

impl Base {
    pub(super) fn parse(participant: &str, url: &str, peer: Peer) -> Result<Self, BadUrl> {
        let section = match peer {
            Peer::Own => "services",
            Peer::Named(_) => "participants",
        };
        let key = format!("{section}.{participant}.url");
        let bad = || BadUrl { key: key.clone(), participant: participant.into(), url: url.to_owned() };
        let parsed: Uri = url.parse().map_err(|_| bad())?;
        let is_possible =
            |scheme: &&Scheme| **scheme == Scheme::HTTP || (peer != Peer::Own && **scheme == Scheme::HTTPS);
        let scheme = parsed.scheme().filter(is_possible).filter(|_| parsed.query().is_none()).ok_or_else(bad)?.clone();
        let authority = parsed.authority().filter(|authority| is_callable(authority)).ok_or_else(bad)?.clone();
        Ok(Self { scheme, authority, prefix: parsed.path().trim_end_matches('/').to_owned() })
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Returns the host: a name or an address, IPv6 without brackets.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether calls go to the server's own paths, not below one.
    pub(super) fn is_root(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Returns the path of a call on its server.
    ///
    /// # Errors
    /// If the path is not valid in a URL.
    pub(super) fn target(&self, path: &str) -> Result<PathAndQuery, InvalidUri> {
        if self.is_root() {
            PathAndQuery::try_from(path)
        } else {
            PathAndQuery::try_from(format!("{}{path}", self.prefix))
        }
    }

    /// Returns the URL of a path on the server.
    pub(super) fn with(&self, target: PathAndQuery) -> Uri {
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).expect("a scheme, an authority and a path make a URI")
    }

    /// Returns the URL of a call.
    ///
    /// # Errors
    /// If the path is not valid in a URL.
    pub(super) fn at(&self, path: &str) -> Result<Uri, InvalidUri> {
        Ok(self.with(self.target(path)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_into_what_a_call_needs() {
        for (url, host, port, called) in [
            ("http://payments:8002", "payments", 8002, "http://payments:8002/x/?y=1"),
            ("http://payments", "payments", 80, "http://payments/x/?y=1"),
            ("http://[::1]:8002/", "::1", 8002, "http://[::1]:8002/x/?y=1"),
            ("http://10.0.0.5:1/prefix/", "10.0.0.5", 1, "http://10.0.0.5:1/prefix/x/?y=1"),
        ] {
            let base = Base::parse("payments", url, Peer::Own).unwrap();
            assert_eq!((base.host(), base.port()), (host, port), "{url}");
            assert_eq!(base.at("/x/?y=1").unwrap().to_string(), called);
        }
        let base = Base::parse("flights", "https://flights.example/api", Peer::Named(HttpVersion::Http1)).unwrap();
        assert_eq!((base.host(), base.port()), ("flights.example", 443));
        assert_eq!(base.at("/x").unwrap().to_string(), "https://flights.example/api/x");
    }

    #[test]
    fn a_url_that_no_call_can_go_to_is_said() {
        for url in ["", "payments:8002", "https://payments", "http://", "http://payments/?a=b", "/only/a/path"] {
            let error = Base::parse("payments", url, Peer::Own).unwrap_err().to_string();
            assert!(error.starts_with("services.payments.url") && error.contains(url), "{error}");
        }
        let named = Base::parse("flights", "ftp://flights", Peer::Named(HttpVersion::Http1));
        assert!(named.unwrap_err().to_string().starts_with("participants.flights.url"));
    }
}
