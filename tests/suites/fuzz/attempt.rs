//! A generated request and the parts of its address.

use std::fmt;

use proptest::{collection::vec, prelude::*, sample::select};

use super::headers;

#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) protocol: Protocol,
}

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Arbitrary for Protocol {
    type Parameters = ();
    type Strategy = BoxedStrategy<Protocol>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![Just(Self::Http1), Just(Self::Http2)].boxed()
    }
}

impl fmt::Debug for Attempt {
    /// Shows bytes in readable form, for the message of a failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} {} {}", self.protocol, self.method, self.target)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        let shown = &self.body[..self.body.len().min(400)];
        write!(f, "{} bytes: {}", self.body.len(), shown.escape_ascii())
    }
}

/// Texts that are valid, or nearly valid, in an address.
const ODD: [&str; 26] = [
    "0",
    "-1",
    "-0",
    "+1",
    "01",
    "1.0",
    "1e3",
    "9223372036854775807",
    "9223372036854775808",
    "340282366920938463463374607431768211456",
    "null",
    "undefined",
    "NaN",
    "..",
    ".",
    "random",
    "by-transaction",
    "attention",
    "cancel",
    "*",
    "{id}",
    "1'%20or%20'1'='1",
    "019500c6-0000-7000-8000-000000000000",
    "019500C600007000800000000000000",
    "%7B019500c6-0000-7000-8000-000000000000%7D",
    "true",
];

/// Percent-encoded bytes that databases and terminals handle badly.
const NASTY: [&str; 12] = [
    "%00",
    "%ff",
    "%C3%28",
    "a%00b",
    "%ED%A0%80",
    "%20",
    "%2F",
    "%2e%2e%2F",
    "%E2%80%AE",
    "%25",
    "%0d%0aX-Evil:%201",
    "%F0%9F%98%80",
];

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// Generates one segment of a path, never empty.
pub(crate) fn segment(known_ids: Vec<String>) -> BoxedStrategy<String> {
    prop_oneof![
        5 => select(known_ids),
        3 => select(&ODD[..]).prop_map(str::to_owned),
        2 => select(&NASTY[..]).prop_map(str::to_owned),
        2 => "[A-Za-z0-9._~!$&'()*+,;=:@-]{1,24}",
        1 => ".{1,8}".prop_map(|text: String| encoded(text.as_bytes())),
        1 => vec(any::<u8>(), 1..8).prop_map(|bytes| encoded(&bytes)),
        1 => (90usize..3_000).prop_map(|length| "x".repeat(length)),
        1 => (1_000u64..2_000).prop_map(|number| number.to_string()),
    ]
    .boxed()
}

/// Adds a trailing slash and a query to some paths.
pub(crate) fn with_query(
    path: BoxedStrategy<String>,
    names: Vec<String>,
    known_ids: Vec<String>,
) -> BoxedStrategy<String> {
    let name = if names.is_empty() {
        "[a-z_]{0,8}".boxed()
    } else {
        prop_oneof![6 => select(names), 1 => "[a-z_]{0,8}"].boxed()
    };
    let value = prop_oneof![
        3 => segment(known_ids),
        2 => select(&["", "1", "2", "1000", "1001", "COMPLETED", "pending", "FAILED", "user-123"][..]).prop_map(str::to_owned),
    ];
    let pair = prop_oneof![
        8 => (name.clone(), value).prop_map(|(name, value)| format!("{name}={value}")),
        1 => name,
        1 => select(&["=", "&", "%", "%zz", "a=%", "+", "=="][..]).prop_map(str::to_owned),
    ];
    let query = prop_oneof![3 => Just(Vec::new()).boxed(), 4 => vec(pair, 1..4).boxed()];
    (path, any::<bool>(), query)
        .prop_map(|(path, slash, query)| {
            let path = path.trim_end_matches('/');
            let end = if slash || path.is_empty() { "/" } else { "" };
            let question = if query.is_empty() { "" } else { "?" };
            format!("{path}{end}{question}{}", query.join("&"))
        })
        .boxed()
}

/// Generates requests to undescribed addresses.
pub(crate) fn astray() -> BoxedStrategy<Attempt> {
    let part = prop_oneof![
        3 => select(&["", "payments", "products", "inventory", "purchases", "saga", "debug", "actors", "health"][..])
            .prop_map(str::to_owned),
        2 => segment(vec!["1".to_owned()]),
    ];
    let path = vec(part, 0..6).prop_map(|parts| format!("/{}", parts.join("/")));
    let target = with_query(path.boxed(), Vec::new(), vec!["1".to_owned()]);
    let method = select(&["GET", "POST", "PUT", "DELETE", "PATCH", "BREW"][..]).prop_map(str::to_owned);
    (method, target, headers::made_up(&[]), any::<Protocol>())
        .prop_map(|(method, target, headers, protocol)| Attempt { method, target, headers, body: Vec::new(), protocol })
        .boxed()
}
