//! The URL of a participant, parsed once: every call is to a path below it.

use hyper::Uri;
use hyper::http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use smol_str::SmolStr;
use thiserror::Error;

/// The URL of a participant cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("services.{service}.url: expected a URL such as http://{service}:8000, found {url:?}")]
pub struct BadUrl {
    service: SmolStr,
    url: String,
}

/// The part of the URL before the path of a call.
#[derive(Clone, Debug)]
pub(super) struct Base {
    authority: Authority,
    /// Without a trailing slash.
    prefix: String,
}

impl Base {
    pub(super) fn parse(service: &str, url: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl { service: service.into(), url: url.to_owned() };
        let parsed: Uri = url.parse().map_err(|_| bad())?;
        let of_http = parsed.scheme() == Some(&Scheme::HTTP) && parsed.query().is_none();
        let authority = parsed.authority().filter(|authority| of_http && !authority.host().is_empty());
        let authority = authority.ok_or_else(bad)?.clone();
        Ok(Self { authority, prefix: parsed.path().trim_end_matches('/').to_owned() })
    }

    /// Returns the host: a name or an address, IPv6 without brackets.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(80)
    }

    /// Returns the URL of a path.
    ///
    /// # Errors
    /// If the path is not valid in a URL.
    pub(super) fn at(&self, path: &str) -> Result<Uri, InvalidUri> {
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(format!("{}{path}", self.prefix))?);
        Ok(Uri::from_parts(parts).expect("a scheme, an authority and a path make a URI"))
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
            let base = Base::parse("payments", url).unwrap();
            assert_eq!((base.host(), base.port()), (host, port), "{url}");
            assert_eq!(base.at("/x/?y=1").unwrap().to_string(), called);
        }
    }

    #[test]
    fn a_url_that_no_call_can_go_to_is_said() {
        for url in ["", "payments:8002", "https://payments", "http://", "http://payments/?a=b", "/only/a/path"] {
            let error = Base::parse("payments", url).unwrap_err().to_string();
            assert!(error.starts_with("services.payments.url") && error.contains(url), "{error}");
        }
    }
}
