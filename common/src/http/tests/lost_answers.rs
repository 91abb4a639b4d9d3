//! Answers marked as lost, on both protocols.

use tokio::{io::AsyncWriteExt, time::timeout};

use super::kit::{RequestPipeline, SOON, Server, call, front, read_to_end, request, routes, settings, undescribed};
use crate::http::{Access, StatusCode, json, transport_faults};

#[tokio::test]
async fn without_a_socket_the_marks_are_only_there_to_be_seen() {
    for path in ["/lost/", "/cut/"] {
        assert_eq!(call(&front(routes(), settings(|_| {})), request("POST", path, "")).await.status, 503);
    }
    let marked = transport_faults::lost_reply();
    assert!(marked.extensions().get::<transport_faults::LostReply>().is_some());
}

#[tokio::test]
async fn on_http1_a_lost_reply_and_a_cut_close_the_connection_without_a_byte() {
    let server = Server::start(front(routes(), settings(|_| {}))).await;
    for path in ["/lost/", "/cut/"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(server.talk(head.as_bytes()).await, "", "{path}");
    }
    let answer = server.talk(b"GET /things/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn on_http2_a_lost_reply_resets_its_stream_and_no_other() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut http2 = server.http2().await;
    let beside = tokio::spawn(http2.send_request(server.post("/slow/")));
    pipeline.entered.notified().await;
    // More than any limit on resets that could treat this as an attack.
    for _ in 0..1_500 {
        let error = http2.send_request(server.post("/lost/")).await.unwrap_err();
        assert!(!error.is_closed(), "{error:?}");
    }
    pipeline.open.notify_one();
    assert_eq!(timeout(SOON, beside).await.unwrap().unwrap().unwrap().status(), 200);
    assert_eq!(http2.send_request(server.post("/things/7")).await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn on_http2_a_cut_takes_everything_on_the_connection_down() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut http2 = server.http2().await;
    let beside = tokio::spawn(http2.send_request(server.post("/slow/")));
    pipeline.entered.notified().await;
    assert!(http2.send_request(server.post("/cut/")).await.is_err());
    assert!(timeout(SOON, beside).await.unwrap().unwrap().is_err());
    assert!(http2.send_request(server.post("/things/7")).await.is_err());
    let mut other = server.http2().await;
    assert_eq!(other.send_request(server.post("/things/7")).await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn the_work_behind_a_lost_reply_is_done() {
    let done = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = done.clone();
    let routes = routes().post("/jobs/", Access::Public, undescribed, move |_| {
        let count = count.clone();
        async move {
            match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => Ok(transport_faults::lost_reply()),
                _ => Ok(json(StatusCode::OK, "again")),
            }
        }
    });
    let server = Server::start(front(routes, settings(|_| {}))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /jobs/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    let mut http2 = server.http2().await;
    assert_eq!(http2.send_request(server.post("/jobs/")).await.unwrap().status(), 200);
    assert_eq!(done.load(std::sync::atomic::Ordering::Relaxed), 2);
    server.stop().await;
}
