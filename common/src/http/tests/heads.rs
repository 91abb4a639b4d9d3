//! Heads that are invalid, or valid but unusual: each invalid one is answered by a problem with the reason.

use http_body_util::{BodyExt, Empty};
use hyper::{Request as HttpRequest, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;

use super::kit::{Server, front, read_to_end, routes, settings};
use crate::config::Settings;

async fn server(change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(front(routes(), settings(change))).await
}

/// Splits an answer into its status, its headers in lower case, and its body.
fn parse(answer: &str) -> (u16, String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"));
    (status, head.to_lowercase(), body)
}

#[track_caller]
fn assert_problem(sent: &str, answer: &str, expected: u16) -> String {
    let sent: String = sent.chars().take(120).collect();
    let (status, head, body) = parse(answer);
    assert_eq!(status, expected, "{sent:?}: {answer}");
    assert!(head.contains("content-type: application/problem+json"), "{sent:?}: {answer}");
    assert!(head.contains("x-request-id: "), "{sent:?}: {answer}");
    let problem: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{sent:?}: {error}: {answer}"));
    assert_eq!(problem["status"], expected, "{sent:?}");
    head
}

#[tokio::test]
async fn a_head_that_breaks_the_rules_is_a_problem_that_says_so() {
    let server = server(|_| {}).await;
    let long = "x".repeat(70_000);
    let too_long = "x".repeat(9_000);
    let cases = [
        ("GET /things/7 HTTP/1.1\r\n\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nhost: a, b\r\n\r\n", 400),
        ("GET  /things/7  HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        ("GET /things/7\r\n\r\n", 400),
        ("GET /things/7 HTTP/9.9\r\nhost: x\r\n\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nhost: x\r\nx y: z\r\n\r\n", 400),
        ("GET /things/7 HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        ("GET example.org:80 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        ("POST /things/7 HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        ("POST /things/7 HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12", 400),
        ("POST /things/7 HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /things/7 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        ("POST /things/7 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity\r\n\r\n", 501),
        ("POST /things/7 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (&format!("GET /things/{too_long} HTTP/1.1\r\nhost: x\r\n\r\n"), 414),
        (&format!("GET /things/{long} HTTP/1.1\r\nhost: x\r\n\r\n"), 414),
        (&format!("GET /things/7 HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"), 431),
        (&format!("GET /things/7 HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200)), 431),
    ];
    for (head, status) in cases {
        assert_problem(head, &server.talk(head.as_bytes()).await, status);
    }
    // HTTP/1.0 has no Host.
    let (status, _, _) = parse(&server.talk(b"GET /things/7 HTTP/1.0\r\n\r\n").await);
    assert_eq!(status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_breaks_off_or_never_ends_is_a_problem_too() {
    let server = server(|settings| settings.http.header_timeout_ms = 200).await;
    for (half, status) in [("GET /things/7 HTTP/1.1\r\nhost:", 408), ("G", 408)] {
        assert_problem(half, &server.talk(half.as_bytes()).await, status);
        let mut stream = server.connect().await;
        stream.write_all(half.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_problem(half, &read_to_end(&mut stream).await, 400);
    }
    // Without a request there is no answer.
    let mut stream = server.connect().await;
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    server.stop().await;
}

#[tokio::test]
async fn the_second_request_of_a_connection_is_judged_like_the_first() {
    let server = server(|_| {}).await;
    let good = "GET /things/7 HTTP/1.1\r\nhost: x\r\n\r\n";
    for (bad, status) in [("GET /things/7 HTTP/1.1\r\n\r\n", 400), ("GET /a b HTTP/1.1\r\n\r\n", 400)] {
        let answer = server.talk(format!("{good}{good}{bad}").as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        let last = &answer[answer.rfind("HTTP/1.1 ").unwrap()..];
        assert_problem(bad, last, status);
    }
    server.stop().await;
}

#[tokio::test]
async fn connect_is_answered_on_both_protocols_and_panics_nothing() {
    let server = server(|_| {}).await;
    for head in [
        "CONNECT example.org:80 HTTP/1.1\r\nhost: example.org:80\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ] {
        let answer = server.talk(head.as_bytes()).await;
        let head = assert_problem(head, &answer, 405);
        assert!(head.contains("allow: delete, get, head, post, put"), "{answer}");
    }
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let connect = HttpRequest::connect("example.org:80").body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = sender.send_request(connect).await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()["content-type"].to_str().unwrap()),
        (405.try_into().unwrap(), "application/problem+json")
    );
    // The connection stays open.
    let uri = format!("http://{}/things/7", server.address);
    let answer = sender.send_request(HttpRequest::get(uri).body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn options_of_the_whole_server_are_its_methods() {
    let server = server(|_| {}).await;
    let answer = server.talk(b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let (status, head, body) = parse(&answer);
    assert_eq!((status, body), (204, ""), "{answer}");
    assert!(head.contains("allow: delete, get, head, post, put"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn headers_that_are_too_large_are_a_problem_on_http2_too() {
    let server = server(|_| {}).await;
    for (path, header, status) in [("7", 70_000, 431), ("7", 10, 200), ("9000", 10, 414)] {
        let mut http2 = server.http2().await;
        let path = if path == "7" { path.to_owned() } else { "x".repeat(9_000) };
        let mut request = server.post(&format!("/things/{path}"));
        request.headers_mut().insert("x-long", "x".repeat(header).try_into().unwrap());
        let answer = http2.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!body.is_empty(), "{status}");
    }
    server.stop().await;
}
