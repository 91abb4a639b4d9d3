//! Clients that are idle, half closed, or not reading.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::kit::{RequestPipeline, SOON, Server, front, read_answer, read_to_end, routes, settings, undescribed};
use crate::{
    config::Settings,
    http::{Access, StatusCode, event_stream, with_body},
};

const REQUEST: &[u8] = b"GET /things/7 HTTP/1.1\r\nhost: x\r\n\r\n";

async fn server(change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(front(routes(), settings(change))).await
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let server = server(|settings| settings.http.header_timeout_ms = 100).await;
    let mut fresh = server.connect().await;
    let mut used = server.connect().await;
    used.write_all(REQUEST).await.unwrap();
    read_answer(&mut used).await;
    let mut http2 = server.http2().await;
    // Five times the limit of a head.
    sleep(Duration::from_millis(500)).await;
    for stream in [&mut fresh, &mut used] {
        stream.write_all(REQUEST).await.unwrap();
        assert!(read_answer(stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(http2.send_request(server.post("/things/7")).await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end_without_a_word() {
    let server = server(|settings| settings.http.idle_timeout_ms = 200).await;
    let mut fresh = server.connect().await;
    assert_eq!(read_to_end(&mut fresh).await, "");
    let mut used = server.connect().await;
    used.write_all(REQUEST).await.unwrap();
    read_answer(&mut used).await;
    assert_eq!(read_to_end(&mut used).await, "");
    let mut http2 = server.http2().await;
    http2.send_request(server.post("/things/7")).await.unwrap().into_body().collect().await.unwrap();
    let closed = async {
        while http2.ready().await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, closed).await.expect("an idle connection of HTTP/2 is closed too");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_outlives_a_refusal_that_precedes_the_body() {
    let server = server(|_| {}).await;
    for (path, status) in [("/nowhere/", 404), ("/", 405)] {
        for (framing, body) in
            [("content-length: 10", "0123456789"), ("transfer-encoding: chunked", "2\r\nab\r\n0\r\n\r\n")]
        {
            let mut stream = server.connect().await;
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let refused = read_answer(&mut stream).await;
            assert!(refused.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {refused}");
            // A proxy sends the rest, and then a request of another client.
            stream.write_all(body.as_bytes()).await.unwrap();
            stream.write_all(REQUEST).await.unwrap();
            assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"), "{path} {framing}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_at_work_is_no_idleness() {
    let pipeline = RequestPipeline::default();
    let server =
        Server::start(front(pipeline.routes(), settings(|settings| settings.http.idle_timeout_ms = 100))).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    pipeline.entered.notified().await;
    sleep(Duration::from_millis(400)).await;
    pipeline.open.notify_one();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_says_that_it_sends_no_more_gets_its_answer() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    stream.shutdown().await.unwrap();
    pipeline.entered.notified().await;
    // The client's end of stream arrives before the answer is sent.
    sleep(Duration::from_millis(100)).await;
    pipeline.open.notify_one();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\"done\""), "{answer:?}");
    let mut stream = server.connect().await;
    stream.write_all(b"POST /things/7 HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{}").await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "half a body: {answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_listener_that_leaves_is_noticed_though_nothing_is_sent_to_it() {
    let (sender, mut receivers) = tokio::sync::mpsc::unbounded_channel();
    let listen = move |_| {
        let (events, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(events).unwrap();
        async move { Ok(event_stream(receiver)) }
    };
    let routes = routes().get("/events/", Access::Public, undescribed, listen);
    let server = Server::start(front(routes, settings(|_| {}))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /events/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let events = receivers.recv().await.unwrap();
    drop(stream);
    timeout(SOON, events.closed()).await.expect("the stream ends with its client");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_one_that_reads_slowly_is_not() {
    const LENGTH: usize = 64 * 1024 * 1024;
    let routes = routes().get("/large/", Access::Public, undescribed, async |_| {
        Ok(with_body(StatusCode::OK, "text/plain", vec![b'x'; LENGTH]))
    });
    let server = Server::start(front(routes, settings(|settings| settings.http.write_timeout_ms = 300))).await;
    let request = b"GET /large/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut deaf = server.connect().await;
    deaf.write_all(request).await.unwrap();
    sleep(Duration::from_millis(1_500)).await;
    let received = read_to_end(&mut deaf).await.len();
    assert!(received < LENGTH, "the answer was cut");
    let mut slow = server.connect().await;
    slow.write_all(request).await.unwrap();
    let mut received = 0;
    let mut piece = vec![0; 4 * 1024 * 1024];
    while let Ok(count @ 1..) = timeout(SOON, slow.read(&mut piece)).await.unwrap() {
        received += count;
        if received % 7 == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(received > LENGTH, "{received}");
    server.stop().await;
}

#[tokio::test]
async fn an_http2_client_that_gives_no_window_is_cut() {
    let server = server(|settings| settings.http.write_timeout_ms = 300).await;
    let mut stream = server.connect().await;
    // The preface, settings with a window of 0 for every stream, and a GET of /things/7 without Huffman coding.
    let mut bytes =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00".to_vec();
    let headers = b"\x82\x86\x04\x09/things/7\x41\x01x";
    bytes.extend_from_slice(&[0, 0, headers.len() as u8, 1, 5, 0, 0, 0, 1]);
    bytes.extend_from_slice(headers);
    stream.write_all(&bytes).await.unwrap();
    let received = read_to_end(&mut stream).await;
    assert!(!received.contains("\"method\""), "its body was sent: {received:?}");
    server.stop().await;
}
