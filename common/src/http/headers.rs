//! Values that the front reads from the headers of a request.

use hyper::header::HeaderMap;
use uuid::Uuid;

use super::TraceContext;
use crate::wire;

/// Returns the first header of a name; `None` if it is absent or not text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// Returns the client's request id if it is safe to log, else a generated one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    const MAX_BYTES: usize = 128;
    let readable =
        |id: &&str| !id.is_empty() && id.len() <= MAX_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
    match text(headers, wire::REQUEST_ID).filter(readable) {
        Some(id) => id.to_owned(),
        None => format!("{:032x}", rand::random::<u128>()),
    }
}

/// Returns the client's trace context, if the request has a valid one.
pub(super) fn parent(headers: &HeaderMap) -> Option<TraceContext> {
    text(headers, wire::TRACEPARENT).and_then(TraceContext::parse)
}

/// Returns the id of the calling saga, if a saga calls.
pub(super) fn saga_id(headers: &HeaderMap) -> Option<Uuid> {
    text(headers, wire::SAGA_ID).and_then(|id| id.parse().ok())
}

/// Returns the prefix that a proxy removed, if it is a plain path: it is used in `Location` headers and pages, where
/// `//elsewhere` or a quote would be dangerous.
pub(super) fn prefix(headers: &HeaderMap) -> String {
    const MAX_BYTES: usize = 200;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    let given = text(headers, wire::FORWARDED_PREFIX).unwrap_or_default().trim_end_matches('/');
    let harmless = given.starts_with('/')
        && given.len() <= MAX_BYTES
        && given.bytes().all(plain)
        && !given.contains("//")
        && given.split('/').all(|segment| segment != ".." && segment != ".");
    if harmless { given.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())])
    }

    #[test]
    fn a_prefix_is_taken_only_if_it_is_a_plain_path() {
        let cases = [
            ("/orchestrator", "/orchestrator"),
            ("/orchestrator/", "/orchestrator"),
            ("/a/b-c_d.e~1", "/a/b-c_d.e~1"),
            ("/", ""),
            ("", ""),
            ("orchestrator", ""),
            ("//evil.example", ""),
            ("/a//b", ""),
            ("/a/../b", ""),
            ("/a\"><script>", ""),
            ("/a, /b", ""),
            ("https://evil.example", ""),
        ];
        for (given, taken) in cases {
            assert_eq!(prefix(&headers(wire::FORWARDED_PREFIX, given.as_bytes())), taken, "{given}");
        }
        assert_eq!(prefix(&headers(wire::FORWARDED_PREFIX, b"/\xff")), "");
    }

    #[test]
    fn a_request_id_is_echoed_only_if_a_log_can_bear_it() {
        assert_eq!(request_id(&headers(wire::REQUEST_ID, b"req-1/2")), "req-1/2");
        for bad in [&b""[..], b"a b", b"\xc3\xa9", b"\xff", &[b'x'; 129]] {
            let made = request_id(&headers(wire::REQUEST_ID, bad));
            assert_eq!(made.len(), 32, "{made}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn a_header_that_is_not_text_is_no_header() {
        assert_eq!(text(&headers("x-note", "é".as_bytes()), "x-note"), Some("é"));
        assert_eq!(text(&headers("x-note", b"\xff"), "x-note"), None);
    }
}
