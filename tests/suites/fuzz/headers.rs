//! Generated headers: those with a meaning here, with values that are right, nearly right, or not text.

use proptest::{collection::vec, prelude::*, sample::select};

/// Headers that every service reads or must tolerate.
const GENERAL: [(&str, &[&str]); 16] = [
    ("accept", &["*/*", "text/html", "application/json;q=0", "text/event-stream", "*", ";;;", "a/b;q=99"]),
    ("accept-encoding", &["gzip", "identity;q=0", "*;q=0"]),
    ("authorization", &["Bearer x", "Bearer", "bearer  ", "Basic eDp5"]),
    ("content-encoding", &["gzip", "identity", "x"]),
    ("if-match", &["*", "\"x\""]),
    ("range", &["bytes=0-1", "bytes=-", "lines=1"]),
    ("saga-attempt", &["1", "0", "-1", "99999999999999999999", "x", "1.5", ""]),
    ("saga-epoch", &["1", "0", "-1", "2147483648", "99999999999999999999", "x"]),
    ("saga-id", &["019500c6-0000-7000-8000-000000000000", "x", ""]),
    ("saga-step", &["charge", "no-such-step", ""]),
    ("saga-decision", &["refused"]),
    (
        "traceparent",
        &[
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-0000000000000000-00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "-",
        ],
    ),
    ("tracestate", &["a=b", "=", ","]),
    ("x-forwarded-for", &["127.0.0.1", "x"]),
    ("x-forwarded-prefix", &["/orchestrator", "/", "//evil.example", "/a/../b", "x", "/\"><script>", "/a?b"]),
    ("x-request-id", &["abc", "", "a b", "\u{9}"]),
];

/// Values of the headers that single routes describe.
const DESCRIBED: [(&str, &[&str]); 3] = [
    ("idempotency-key", &["key-1", "\"key-1\"", " ", "", "key-2"]),
    (
        "prefer",
        &[
            "respond-async",
            "wait=0",
            "wait=1",
            "wait=-1",
            "wait=99999999999999999999",
            "wait=x",
            "respond-async, wait=5",
            "RESPOND-ASYNC",
            ", ;=",
            "return=minimal",
        ],
    ),
    (
        "last-event-id",
        &[
            "1-1-0",
            "0-0-0",
            "1-2-3-4",
            "-1-0-0",
            "9223372036854775807-9223372036854775807-9",
            "18446744073709551616-1-1",
            "x",
        ],
    ),
];

/// Content types that do not match the body.
const TYPES: [&str; 8] = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/problem+json",
    "application/json; charset=utf-16",
    "json",
    "",
    "multipart/form-data; boundary=",
    "+json",
];

/// Generates headers for a route that describes some.
pub(crate) fn made_up(described: &[String]) -> BoxedStrategy<Vec<(String, Vec<u8>)>> {
    let content_type = prop_oneof![
        8 => Just(Some("application/json".to_owned())),
        1 => Just(None),
        1 => select(&TYPES[..]).prop_map(|text| Some(text.to_owned())),
    ];
    let of_route: Vec<String> = described.iter().map(|name| name.to_lowercase()).collect();
    let general = GENERAL.map(|(name, _)| name.to_owned()).to_vec();
    let name = if of_route.is_empty() {
        select(general).boxed()
    } else {
        prop_oneof![select(of_route), select(general)].boxed()
    };
    let header = name.prop_flat_map(|name| {
        let notable = notable(&name);
        (Just(name), value(notable))
    });
    (content_type, vec(header, 0..4))
        .prop_map(|(content_type, mut headers)| {
            let content_type = content_type.map(|text| ("content-type".to_owned(), text.into_bytes()));
            headers.extend(content_type);
            headers
        })
        .boxed()
}

fn notable(name: &str) -> &'static [&'static str] {
    let known = GENERAL.iter().chain(&DESCRIBED).find(|(known, _)| *known == name);
    // A new header without values here gets those of `prefer`.
    known.map_or(DESCRIBED[1].1, |(_, values)| *values)
}

fn value(notable: &'static [&'static str]) -> BoxedStrategy<Vec<u8>> {
    // All bytes that a header value may contain; `malformed` covers the rest.
    let byte = prop_oneof![8 => 0x20u8..0x7f, 1 => 0x80u8..=0xff, 1 => Just(b'\t')];
    prop_oneof![
        5 => select(notable).prop_map(|text| text.as_bytes().to_vec()),
        2 => vec(byte, 0..40),
        1 => (200usize..5_000).prop_map(|length| vec![b'x'; length]),
    ]
    .boxed()
}
