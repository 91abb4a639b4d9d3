//! Clients that are idle, half closed, not reading, or too many.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::kit::{Gate, SOON, Server, front, read_to_end, routes, settings, undescribed};
use crate::{
    config::Settings,
    http::{Access, StatusCode, event_stream, with_body},
};

const REQUEST: &[u8] = b"GET /things/7 HTTP/1.1\r\nhost: x\r\n\r\n";

async fn server(change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(front(routes(), settings(change))).await
}

/// Reads one answer and keeps the connection open.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let answer = async {
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.to_lowercase().split_once("content-length: ").map(|(_, rest)| rest.to_owned());
                let length: usize = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                if body.len() >= length {
                    return text;
                }
            }
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "the connection ended: {text:?}");
            read.extend_from_slice(&piece[..count]);
        }
    };
    timeout(SOON, answer).await.expect("an answer comes")
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
async fn a_request_at_work_is_no_idleness() {
    let gate = Gate::default();
    let server = Server::start(front(gate.routes(), settings(|settings| settings.http.idle_timeout_ms = 100))).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    gate.entered.notified().await;
    sleep(Duration::from_millis(400)).await;
    gate.open.notify_one();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_says_that_it_sends_no_more_gets_its_answer() {
    let gate = Gate::default();
    let server = Server::start(front(gate.routes(), settings(|_| {}))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    stream.shutdown().await.unwrap();
    gate.entered.notified().await;
    // The client's end of stream arrives before the answer is sent.
    sleep(Duration::from_millis(100)).await;
    gate.open.notify_one();
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
    assert!(received < LENGTH, "it was cut in the middle");
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

#[tokio::test]
async fn beyond_a_limit_connections_are_served_what_operators_need_and_nothing_else() {
    for change in [(|settings: &mut Settings| settings.http.max_connections = 2) as fn(&mut Settings), |settings| {
        settings.http.max_connections_per_peer = 2
    }] {
        let server = server(|settings| {
            change(settings);
            settings.auth.operator_token = "operator".to_owned().into();
        })
        .await;
        let mut within = Vec::new();
        for _ in 0..2 {
            let mut stream = server.connect().await;
            stream.write_all(REQUEST).await.unwrap();
            assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
            within.push(stream);
        }
        for (head, status) in [
            ("GET /things/7 HTTP/1.1\r\nhost: x\r\n", 503),
            ("GET /nothing HTTP/1.1\r\nhost: x\r\n", 503),
            ("GET /health/ HTTP/1.1\r\nhost: x\r\n", 200),
            ("GET /metrics HTTP/1.1\r\nhost: x\r\n", 200),
            ("GET /things/7 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer operator\r\n", 200),
            ("GET /things/7 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n", 503),
        ] {
            let answer = server.talk(format!("{head}\r\n").as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
            let headers = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
            assert!(headers.contains("connection: close"), "{headers}");
            assert_eq!(headers.contains("retry-after: "), status == 503, "{headers}");
        }
        let mut http2 = server.http2().await;
        assert_eq!(http2.send_request(server.post("/things/7")).await.unwrap().status(), 503);
        drop(within);
        let room = async {
            while !server
                .talk(b"GET /things/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .await
                .contains(" 200 OK")
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, room).await.expect("there is room again");
        server.stop().await;
    }
}

#[tokio::test]
async fn idle_connections_beyond_the_limit_do_not_keep_health_from_being_asked() {
    for limit in [(|settings: &mut Settings| settings.http.max_connections = 2) as fn(&mut Settings), |settings| {
        settings.http.max_connections_per_peer = 2
    }] {
        let server = server(limit).await;
        let mut idle = Vec::new();
        for _ in 0..200 {
            idle.push(server.connect().await);
        }
        let answer = server.talk(b"GET /health/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(idle);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_trusted_proxy_has_no_limit_of_connections_and_each_of_its_clients_one_of_requests() {
    let gate = Gate::default();
    let server = Server::start(front(
        gate.routes(),
        settings(|settings| {
            settings.http.max_connections_per_peer = 1;
            settings.http.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
            settings.http.max_in_flight_per_client = 1;
        }),
    ))
    .await;
    let request = |line: &str, client: &str| {
        format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\nx-forwarded-for: {client}\r\n\r\n"
        )
    };
    let mut slow = server.connect().await;
    slow.write_all(request("POST /slow/", "198.51.100.1:4711").as_bytes()).await.unwrap();
    gate.entered.notified().await;
    let second = server.talk(request("GET /things/7", "198.51.100.1").as_bytes()).await;
    assert!(second.starts_with("HTTP/1.1 503 ") && second.to_lowercase().contains("retry-after: 1"), "{second}");
    let health = server.talk(request("GET /health/", "198.51.100.1").as_bytes()).await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    let another = server.talk(request("GET /things/7", "198.51.100.2").as_bytes()).await;
    assert!(another.starts_with("HTTP/1.1 200 "), "{another}");
    gate.open.notify_one();
    assert!(read_to_end(&mut slow).await.starts_with("HTTP/1.1 200 "));
    let again = server.talk(request("GET /things/7", "198.51.100.1").as_bytes()).await;
    assert!(again.starts_with("HTTP/1.1 200 "), "{again}");
    server.stop().await;
}
