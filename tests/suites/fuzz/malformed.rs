//! Requests that are not HTTP: random, cut off, or contradictory bytes. The connection must end soon without an effect
//! on other clients; an answer, if any, is a problem.

use std::{fmt, net::SocketAddr};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::runner::HANGS_AFTER;

#[derive(Clone)]
pub(crate) struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0[..self.0.len().min(600)].escape_ascii())
    }
}

const FIRST_LINES: [&str; 15] = [
    "POST /payments/ HTTP/1.1",
    "POST /saga/transaction HTTP/1.1",
    "GET / HTTP/1.1",
    "GET /health/live/ HTTP/1.0",
    "GET / HTTP/0.9",
    "GET / HTTP/9.9",
    "GET /",
    " GET / HTTP/1.1",
    "GET  /  HTTP/1.1",
    "PRI * HTTP/2.0",
    "CONNECT example.org:80 HTTP/1.1",
    "CONNECT / HTTP/1.1",
    "GET example.org:80 HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "GET http://[::1/ HTTP/1.1",
];

const HEADERS: [&str; 24] = [
    "host: x",
    "content-length: 5",
    "content-length: -1",
    "content-length: 5, 6",
    "content-length: 99999999999999999999999",
    "content-length: 0x5",
    "transfer-encoding: chunked",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: gzip",
    "transfer-encoding : chunked",
    "content-type: application/json",
    "idempotency-key: a\0b",
    "prefer: respond-async\r\n wait=1",
    "x y: z",
    ": no name",
    "no colon",
    "\0: x",
    "connection: upgrade, http2-settings",
    "upgrade: h2c",
    "http2-settings: AAMAAABkAAQAAP__",
    "expect: 100-continue",
    "expect: 200-maybe",
    "connection: close",
    "traceparent: \u{7f}",
];

const BODIES: [&str; 8] = [
    "",
    "{",
    "{\"a\":1}",
    "5\r\nhello\r\n0\r\n\r\n",
    "-1\r\nx\r\n",
    "ffffffffffffffff\r\nx",
    "5\nhello",
    "0\r\nx: y\r\n\r\n",
];

/// Returns one request for each first line, which chance need not find.
pub(crate) fn first_lines() -> impl Iterator<Item = Bytes> {
    FIRST_LINES.iter().map(|line| Bytes(format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()))
}

/// Generates such requests.
pub(crate) fn requests() -> BoxedStrategy<Bytes> {
    let header = prop_oneof![
        8 => select(&HEADERS[..]).prop_map(|line| line.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
        1 => (10_000usize..600_000).prop_map(|length| [b"x-long: ", &vec![b'x'; length][..]].concat()),
    ];
    let line_end = select(&["\r\n", "\r\n", "\r\n", "\n", "\r"][..]);
    let structured = (select(&FIRST_LINES[..]), vec(header, 0..6), line_end, select(&BODIES[..])).prop_map(
        |(first, headers, end, body)| {
            let mut lines = vec![first.as_bytes().to_vec()];
            lines.extend(headers);
            lines.push(Vec::new());
            lines.push(body.as_bytes().to_vec());
            lines.join(end.as_bytes())
        },
    );
    let cut = (structured.clone(), any::<Index>()).prop_map(|(mut bytes, at)| {
        bytes.truncate(at.index(bytes.len()));
        bytes
    });
    let http2 = vec(any::<u8>(), 0..200).prop_map(|frames| [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frames[..]].concat());
    prop_oneof![5 => structured, 2 => cut, 1 => vec(any::<u8>(), 0..200), 2 => http2].prop_map(Bytes).boxed()
}

/// Sends such a request, closes the sending side, and returns the defect of the answer, if any.
pub(crate) async fn send(address: SocketAddr, request: Bytes) -> Result<(), String> {
    let mut connection = TcpStream::connect(address).await.map_err(|error| format!("cannot connect: {error}"))?;
    let mut received = Vec::new();
    let exchange = async {
        // The service may have closed the connection already.
        let _ = connection.write_all(&request.0).await;
        let _ = connection.shutdown().await;
        let _ = connection.read_to_end(&mut received).await;
    };
    timeout(HANGS_AFTER, exchange).await.map_err(|_| "the connection stays open".to_owned())?;
    let shown = || received.escape_ascii().to_string();
    let Some(status) = received.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)) else { return Ok(()) };
    let text = String::from_utf8_lossy(&received);
    match status {
        // An unknown transfer coding.
        b"501" => {}
        [b'5', ..] => return Err(format!("a failure of the service: {}", shown())),
        [b'4', ..] => {}
        _ => return Ok(()),
    }
    let is_problem = text.contains("content-type: application/problem+json") && text.contains("\"detail\":");
    // The answer to a HEAD has no body.
    let is_head = request.0.starts_with(b"HEAD");
    if is_problem || is_head { Ok(()) } else { Err(format!("an answer that says nothing: {}", shown())) }
}
