//! Connections over a real socket: slow, many, half-open, and at shutdown.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::Request as HttpRequest;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;

use super::kit::{RequestPipeline, SOON, Server, front, read_answer, read_to_end, routes, settings};
use crate::{
    config::Settings,
    http::{Draining, HttpService},
};

async fn server(change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(front(routes(), settings(change))).await
}

fn quick_to_lose_patience(settings: &mut Settings) {
    (settings.http.header_timeout_ms, settings.http.idle_timeout_ms) = (200, 200);
}

#[tokio::test]
async fn both_protocols_are_spoken_on_one_port() {
    let server = server(|_| {}).await;
    let answer = server.talk(b"GET /things/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut http2 = server.http2().await;
    let answer = http2.send_request(server.post("/things/7")).await.unwrap();
    assert_eq!(answer.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_headers_is_cut_off() {
    let server = server(quick_to_lose_patience).await;
    for half in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET /things/7 HTTP/1.1\r\nhost:",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let began = Instant::now();
        let answer = server.talk(half).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", String::from_utf8_lossy(half));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_body_gets_408() {
    let server = server(quick_to_lose_patience).await;
    let answer = server.talk(b"POST /things/7 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_with_a_huge_body_hears_413() {
    let server = server(|_| {}).await;
    let huge = vec![b'x'; 10 * 1024 * 1024];
    let declared =
        format!("POST /things/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", huge.len());
    let chunked = format!(
        "POST /things/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        huge.len()
    );
    for head in [declared, chunked] {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        // The client is not cut off while sending: over a real network it would miss the answer.
        stream.write_all(&huge).await.unwrap();
        stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("\"status\":413"), "{answer}");
    }
    let mut http2 = server.http2().await;
    let uri = format!("http://{}/things/7", server.address);
    let answer = http2.send_request(HttpRequest::post(uri).body(Full::from(huge)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 413);
    // The connection stays open.
    assert_eq!(http2.send_request(server.post("/things/7")).await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_a_go_ahead_is_refused_without_one() {
    let server = server(|_| {}).await;
    let head = b"POST /things/7 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n";
    let answer = server.talk(head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_body_in_small_pieces_arrives_whole() {
    let server = server(|_| {}).await;
    let mut stream = server.connect().await;
    let head = b"POST /things/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for piece in ["one", "two", "three", "four"] {
        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains(r#""body":"onetwothreefour""#), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn head_has_the_length_and_no_body_on_the_wire() {
    let server = server(|_| {}).await;
    let answer = server.talk(b"HEAD /things/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: ") && !answer.contains("content-length: 0"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_stop_lets_requests_at_work_finish_on_both_protocols() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut idle = server.connect().await;
    let mut http1 = server.connect().await;
    http1.write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    pipeline.entered.notified().await;
    let mut http2 = server.http2().await;
    let on_http2 = tokio::spawn(http2.send_request(server.post("/slow/")));
    pipeline.entered.notified().await;

    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(!server.serving.is_finished());
    pipeline.open.notify_one();
    let answer = read_to_end(&mut http1).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!server.serving.is_finished());
    pipeline.open.notify_one();
    let answer = timeout(SOON, on_http2).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "\"done\"");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_connects_during_a_stop_is_refused_at_once() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut at_work = server.connect().await;
    at_work.write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    pipeline.entered.notified().await;
    server.shutdown.cancel();
    // A client left waiting in the listen queue cannot try elsewhere, and is reset in the end.
    let refused = async {
        while let Ok(stream) = TcpStream::connect(server.address).await {
            drop(stream);
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, refused).await.unwrap();
    assert!(!server.serving.is_finished());
    pipeline.open.notify_one();
    assert!(read_to_end(&mut at_work).await.starts_with("HTTP/1.1 200 OK\r\n"));
    server.stop().await;
}

#[tokio::test]
async fn requests_that_meet_a_stop_are_answered_on_new_and_on_kept_connections() {
    const GET: &str = "GET /things/7 HTTP/1.1\r\nhost: x\r\n\r\n";
    const POST: &str = "POST /things/7 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let server = server(|_| {}).await;
    let mut clients = Vec::new();
    for (request, status) in [(GET, "200 OK"), (POST, "503 Service Unavailable")] {
        let (new, mut kept) = (server.connect().await, server.connect().await);
        // Its answer shows that both were accepted.
        kept.write_all(GET.as_bytes()).await.unwrap();
        read_answer(&mut kept).await;
        clients.extend([new, kept].map(|stream| (stream, request, status)));
    }
    server.shutdown.cancel();
    let is_refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, is_refused).await.expect("the stop has begun");
    for (stream, request, status) in &mut clients {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer:?}");
        assert!(answer.contains("connection: close\r\n"), "{request}: {answer:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_announced_stop_ends_http1_connections_with_their_next_answer() {
    let announced = CancellationToken::new();
    let draining = Draining::announced_by(announced.clone());
    let server = Server::start(HttpService { draining, ..front(routes(), settings(|_| {})) }).await;
    let request = b"POST /things/7 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let (mut kept, mut http2) = (server.connect().await, server.http2().await);
    kept.write_all(request).await.unwrap();
    assert!(!read_answer(&mut kept).await.contains("connection: close"));
    announced.cancel();
    // Another client may still come, and nothing is refused.
    for mut stream in [kept, server.connect().await] {
        stream.write_all(request).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    for _ in 0..2 {
        assert_eq!(http2.send_request(server.post("/things/7")).await.unwrap().status(), 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_grace() {
    let pipeline = RequestPipeline::default();
    let front = front(pipeline.routes(), settings(|settings| settings.http.drain_grace_ms = 100));
    let draining = front.draining.clone();
    let server = Server::start(front).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    pipeline.entered.notified().await;
    server.stop().await;
    assert!(draining.has_begun());
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_connections_along() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    pipeline.entered.notified().await;
    server.serving.abort();
    assert_eq!(read_to_end(&mut stream).await, "");
}
