//! Requests that a page of another origin makes a browser send. Without a preflight it can send only what a form can; that
//! is enough for routes without a body, and for browsers that leave the content type out.
//!
//! The rule is that of Go's `http.CrossOriginProtection`: browsers say where a request comes from, other clients say nothing.

use hyper::{
    Method,
    header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN},
    http::uri::Authority,
};

use super::{ApiError, cors::Cors};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// A page cannot set it without a preflight.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Checks that a request that may change something does not come from a page of another origin, unless it is listed.
///
/// # Errors
/// 403.
pub(super) fn check(
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&Authority>,
    cors: Option<&Cors>,
) -> Result<(), ApiError> {
    if method.is_safe() || cors.is_some_and(|cors| cors.allows(headers)) {
        return Ok(());
    }
    let is_our_page = match (headers.get(SEC_FETCH_SITE), headers.get(ORIGIN)) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => is_this_host(origin, headers, authority),
        (None, None) => true,
    };
    if is_our_page {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "a page of another origin may change nothing here unless http.cors_origins lists the origin",
    ))
}

fn is_this_host(origin: &HeaderValue, headers: &HeaderMap, authority: Option<&Authority>) -> bool {
    let Some((scheme, host)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
    let named = [HOST, FORWARDED_HOST].map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    let named = named.into_iter().flatten().chain(authority.map(Authority::as_str));
    named.into_iter().any(|named| bare(named) == bare(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(method: Method, headers: &[(&str, &str)], origins: &[&str]) -> bool {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let name = |name: &str| HeaderName::try_from(name).unwrap();
        let headers = headers.iter().map(|(key, value)| (name(key), HeaderValue::try_from(*value).unwrap())).collect();
        check(&method, &headers, None, Cors::of(&origins).as_ref()).is_ok()
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        for (headers, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://proxied")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://a:8000"), ("host", "a:8000")], false),
            (&[("origin", "http://a:8000"), ("host", "A:8000")], true),
            (&[("origin", "https://a"), ("host", "a:443")], true),
            (&[("origin", "http://a"), ("host", "a:443")], false),
            (&[("origin", "http://a:8001"), ("host", "a:8000")], false),
            (&[("origin", "https://shop"), ("host", "10.0.0.1:8000"), ("x-forwarded-host", "shop")], true),
            (&[("origin", "null"), ("host", "null")], false),
        ] {
            assert_eq!(is_allowed(Method::POST, headers, &[]), expected, "{headers:?}");
            assert!(is_allowed(Method::GET, headers, &[]), "{headers:?}");
            assert!(is_allowed(Method::HEAD, headers, &[]), "{headers:?}");
        }
        let page = [("sec-fetch-site", "cross-site"), ("origin", "http://shop"), ("host", "a")];
        assert!(is_allowed(Method::POST, &page, &["http://shop"]));
        assert!(is_allowed(Method::DELETE, &page, &["*"]));
        assert!(!is_allowed(Method::PUT, &page, &["http://other"]));
    }
}
