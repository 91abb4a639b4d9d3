//! The head of a request, and its checks before any processing (RFC 9110 and 9112).
//!
//! Hyper refuses most invalid heads with empty answers: [`explain`] finds the reason. [`check`] finds invalid heads
//! that hyper accepts and that must not reach the routes.

use hyper::{
    Method, Request, StatusCode, Version,
    header::{HOST, HeaderMap, TRANSFER_ENCODING},
    http::uri::Authority,
};

use super::{ApiError, client::Peer};

/// The longest request target. Servers should accept at least 8000 bytes (RFC 9110, 4.1).
const MAX_TARGET_BYTES: usize = 8 * 1024;

/// The maximum size of all headers together. Hyper enforces it for HTTP/1.
pub(super) const MAX_HEADER_BYTES: usize = 64 * 1024;

/// A request without its body.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// The peer of the connection; `None` without a connection.
    pub(super) peer: Option<Peer>,
    /// The version of HTTP; `None` without a connection.
    pub(super) version: Option<Version>,
    /// The authority of the URI, which HTTP/2 has instead of `Host`.
    pub(super) authority: Option<Authority>,
}

/// The connection of a request, its version of HTTP and its authority, handed through the filter.
#[derive(Clone)]
pub(super) struct Arrived {
    pub(super) peer: Peer,
    pub(super) version: Version,
    pub(super) authority: Option<Authority>,
}

/// Checks a head that was parsed. CONNECT, which has no path, is checked elsewhere.
///
/// # Errors
/// 400, 414, 431 or 501.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), ApiError> {
    let (uri, headers) = (request.uri(), request.headers());
    let Some(target) = uri.path_and_query() else {
        return Err(ApiError::malformed("the request target has no path"));
    };
    if target.as_str().len() > MAX_TARGET_BYTES {
        return Err(ApiError::target_too_long(MAX_TARGET_BYTES));
    }
    if target.path() == "*" && request.method() != Method::OPTIONS {
        return Err(ApiError::malformed("the request target * is only for OPTIONS"));
    }
    match request.version() {
        Version::HTTP_11 => {
            check_host(headers)?;
            check_codings(headers)
        }
        Version::HTTP_2 => {
            if headers.contains_key(HOST) {
                check_host(headers)?;
            }
            let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            if size > MAX_HEADER_BYTES { Err(ApiError::headers_too_large(MAX_HEADER_BYTES)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

fn check_host(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().ok_or_else(|| ApiError::malformed("the request has no Host"))?;
    if hosts.next().is_some() {
        return Err(ApiError::malformed("the request has more than one Host"));
    }
    let is_host =
        |text: &[u8]| text.is_empty() || Authority::try_from(text).is_ok_and(|host| !host.as_str().contains('@'));
    if is_host(host.as_bytes()) { Ok(()) } else { Err(ApiError::malformed("Host must be a name or an address")) }
}

/// Hyper accepts a body whose last coding is chunked, whatever the codings before it are.
fn check_codings(headers: &HeaderMap) -> Result<(), ApiError> {
    let lines = headers.get_all(TRANSFER_ENCODING).iter().map(|line| line.to_str().unwrap_or("\u{fffd}"));
    let unknown = lines.flat_map(|line| line.split(',')).find(|coding| !is_known(coding));
    unknown.map_or(Ok(()), |coding| Err(ApiError::unknown_coding(coding.trim())))
}

fn is_known(coding: &str) -> bool {
    coding.trim().eq_ignore_ascii_case("chunked")
}

/// Explains why hyper refused a head with a status, as far as the head allows. The head may be missing, if it arrived
/// together with the request before it.
pub(super) fn explain(head: &[u8], status: StatusCode) -> ApiError {
    let line_bytes = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
    if status == StatusCode::URI_TOO_LONG || line_bytes > MAX_TARGET_BYTES {
        return ApiError::target_too_long(MAX_TARGET_BYTES);
    }
    if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
        return ApiError::headers_too_large(MAX_HEADER_BYTES);
    }
    if status == StatusCode::REQUEST_TIMEOUT {
        return ApiError::head_timeout();
    }
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let is_http11 = lines.next().is_some_and(|line| line.ends_with(" HTTP/1.1"));
    let codings = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, codings) = line.split_once(':')?;
        name.eq_ignore_ascii_case(TRANSFER_ENCODING.as_str()).then_some(codings)
    });
    let mut codings = codings.flat_map(|codings| codings.split(','));
    match codings.find(|coding| !is_known(coding)).filter(|_| is_http11) {
        Some(coding) => ApiError::unknown_coding(coding.trim()),
        None => ApiError::malformed("the request head is not valid HTTP/1.1"),
    }
}
