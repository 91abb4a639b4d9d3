//! Clients that are too many: places within the limits, the few beyond them, and shares behind a proxy.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::kit::{RequestPipeline, SOON, Server, front, read_answer, read_to_end, routes, settings};
use crate::{config::Settings, http::HttpService};

const REQUEST: &[u8] = b"GET /things/7 HTTP/1.1\r\nhost: x\r\n\r\n";
const HEALTH: &[u8] = b"GET /health/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

async fn server(change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(front(routes(), settings(change))).await
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
        timeout(SOON, room).await.expect("a slot is free again");
        server.stop().await;
    }
}

/// As many connections as are accepted beyond a limit.
const RESERVED: usize = 64;

/// Takes the one place within the limit, and every reserved one with a request of an operator that does not end.
async fn fill(server: &Server, pipeline: &RequestPipeline) -> Vec<TcpStream> {
    let mut within = server.connect().await;
    within.write_all(REQUEST).await.unwrap();
    read_answer(&mut within).await;
    let slow = b"POST /slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nauthorization: Bearer operator\r\n\r\n";
    let mut busy = vec![within];
    for _ in 0..RESERVED {
        let mut stream = server.connect().await;
        stream.write_all(slow).await.unwrap();
        timeout(SOON, pipeline.entered.notified()).await.expect("an operator is admitted");
        busy.push(stream);
    }
    busy
}

fn one_place(pipeline: &RequestPipeline, limit: fn(&mut Settings)) -> HttpService {
    let settings = settings(|settings| {
        limit(settings);
        settings.auth.operator_token = "operator".to_owned().into();
    });
    front(pipeline.routes(), settings)
}

#[tokio::test]
async fn clients_wait_in_the_listen_queue_while_every_reserved_connection_is_busy_and_are_answered_then() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(one_place(&pipeline, |settings| settings.http.max_connections = 1)).await;
    let busy = fill(&server, &pipeline).await;
    let mut waiting = Vec::new();
    for request in [HEALTH, REQUEST] {
        let mut stream = server.connect().await;
        stream.write_all(request).await.unwrap();
        waiting.push(stream);
    }
    for stream in &waiting {
        assert!(stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
    // One reserved place is enough for all that wait.
    pipeline.open.notify_one();
    for (stream, status) in waiting.iter_mut().zip(["200 OK", "503 Service Unavailable"]) {
        let answer = read_to_end(stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer:?}");
    }
    pipeline.open.notify_waiters();
    drop(busy);
    server.stop().await;
}

#[tokio::test]
async fn a_peer_whose_reserved_connections_are_all_busy_stops_no_other() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(one_place(&pipeline, |settings| settings.http.max_connections_per_peer = 1)).await;
    let busy = fill(&server, &pipeline).await;
    // It is not let in, and not left to wait.
    for _ in 0..3 {
        assert_eq!(server.talk(HEALTH).await, "");
    }
    // Another address of this machine.
    let another = TcpSocket::new_v4().unwrap();
    another.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut another = another.connect(server.address).await.unwrap();
    another.write_all(REQUEST).await.unwrap();
    assert!(read_answer(&mut another).await.starts_with("HTTP/1.1 200 OK\r\n"));
    drop(busy);
    let answer = async {
        while !server.talk(HEALTH).await.starts_with("HTTP/1.1 200 OK\r\n") {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, answer).await.expect("health is answered again");
    pipeline.open.notify_waiters();
    server.stop().await;
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
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(
        pipeline.routes(),
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
    pipeline.entered.notified().await;
    let second = server.talk(request("GET /things/7", "198.51.100.1").as_bytes()).await;
    assert!(second.starts_with("HTTP/1.1 503 ") && second.to_lowercase().contains("retry-after: 1"), "{second}");
    let health = server.talk(request("GET /health/", "198.51.100.1").as_bytes()).await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    let another = server.talk(request("GET /things/7", "198.51.100.2").as_bytes()).await;
    assert!(another.starts_with("HTTP/1.1 200 "), "{another}");
    pipeline.open.notify_one();
    assert!(read_to_end(&mut slow).await.starts_with("HTTP/1.1 200 "));
    let again = server.talk(request("GET /things/7", "198.51.100.1").as_bytes()).await;
    assert!(again.starts_with("HTTP/1.1 200 "), "{again}");
    server.stop().await;
}
