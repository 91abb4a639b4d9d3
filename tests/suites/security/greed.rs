//! Clients that take more than their share of memory, time or connections.

use std::{io::Read, net::TcpStream as Blocking, time::Duration};

use bytes::Bytes;
use futures::stream;
use http_body_util::Empty;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Body, Method};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    http::{send, try_send},
    problem::assert_problem,
    stack::{ORCHESTRATOR, SERVICES},
    with_stack,
};
use tokio::{
    io::AsyncReadExt,
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

const DOORS: [(&str, &str); 5] = [
    ("catalog", "/products/random/"),
    ("payments", "/payments/"),
    ("inventory", "/inventory/decrease/"),
    ("purchases", "/purchases/"),
    (ORCHESTRATOR, "/saga/transaction"),
];

async fn assert_serves(stack: &Stack) {
    let bought =
        stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "u", "amount": 5 })).await.expect(200);
    assert_eq!(bought.json()["status"], "COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_are_413_with_and_without_a_declared_length() {
    const MEGABYTE: usize = 1024 * 1024;
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (service, path) in DOORS {
            let method = if service == "catalog" { Method::GET } else { Method::POST };
            let request = || stack.request(method.clone(), service, path).header("content-type", "application/json");
            assert_problem(&send(request().body(vec![b' '; 10 * MEGABYTE])).await, 413);
            if method == Method::GET {
                // Clients send no chunked body with a GET.
                continue;
            }
            let pieces = stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; MEGABYTE]))));
            assert_problem(&send(request().body(Body::wrap_stream(pieces))).await, 413);
        }
        assert_serves(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dawdles_over_its_headers_is_cut_and_nobody_waits_for_it() {
    let options = StackOptions::default().set("http.header_timeout_ms", 500).set("http.idle_timeout_ms", 500);
    with_stack(options, async |stack: &Stack| {
        for service in SERVICES {
            for begun in ["", "POST /sa", "GET /health/ HTTP/1.1\r\nhost: x\r\nx-slow: "] {
                let mut slow = TcpStream::connect(stack.address(service)).await.expect("it listens");
                slow.write_all(begun.as_bytes()).await.expect("it takes the first bytes");
                // On a new connection: a kept-alive one would be idle for just as long, and cut too.
                let health = stack.request(Method::GET, service, "/health/").header("connection", "close");
                send(health).await.expect(200);
                let mut received = Vec::new();
                // A byte from time to time gains nothing: the limit is on the headers as a whole.
                let cut = async {
                    let (mut from, mut to) = slow.split();
                    let drip = async {
                        let mut every = tokio::time::interval(Duration::from_millis(100));
                        loop {
                            every.tick().await;
                            if !begun.is_empty() && to.write_all(b"x").await.is_err() {
                                std::future::pending::<()>().await;
                            }
                        }
                    };
                    tokio::select! {
                        read = from.read_to_end(&mut received) => drop(read),
                        () = drip => {}
                    }
                };
                timeout(PATIENCE, cut).await.unwrap_or_else(|_| panic!("{service} waits for ever after {begun:?}"));
                let answer = String::from_utf8_lossy(&received);
                assert!(!answer.contains(" 200 "), "{service}: {answer}");
            }
        }
    })
    .await;
}

/// Raises the limit of open files: both ends of each connection are in this process, with the stack's own files.
fn allow_open_files(count: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        limit.current = limit.maximum.map_or(Some(count), |maximum| Some(maximum.min(count)));
        setrlimit(Resource::Nofile, limit).expect("the soft limit may grow up to the hard one");
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(now >= count, "this test needs {count} open files, the machine allows {now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_stop_nobody() {
    allow_open_files(5_000);
    // They have one address, and stay open during the whole test.
    let options = StackOptions::default().set("http.max_connections_per_peer", 0).set("http.idle_timeout_ms", 600_000);
    with_stack(options, async |stack: &Stack| {
        for service in [ORCHESTRATOR, "payments"] {
            let mut idle = Vec::new();
            while idle.len() < 2_000 {
                idle.push(TcpStream::connect(stack.address(service)).await.expect("there is room"));
            }
            assert_serves(stack).await;
            for (service, path) in [(service, "/health/"), (service, "/metrics/")] {
                // On a new connection, after all the others.
                let fresh = tests::http::client().get(format!("http://{}{path}", stack.address(service)));
                send(fresh.timeout(PATIENCE)).await.expect(200);
            }
            let still_open = idle.into_iter().filter(is_open).count();
            assert_eq!(still_open, 2_000, "they were there all the time");
        }
    })
    .await;
}

fn is_open(connection: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(connection.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_take_every_place_lose_it() {
    let options = StackOptions::default().set("http.max_connections", 50).set("http.idle_timeout_ms", 500);
    with_stack(options, async |stack: &Stack| {
        let address = stack.address(ORCHESTRATOR);
        let mut idle: Vec<Blocking> = Vec::new();
        while idle.len() < 100 {
            idle.push(Blocking::connect(address).expect("the system takes them into the listen queue"));
        }
        let fresh = tests::http::client().get(format!("http://{address}/health/"));
        send(fresh.timeout(PATIENCE)).await.expect(200);
        let mut first = idle.swap_remove(0);
        first.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        assert_eq!(first.read(&mut [0]).ok(), Some(0), "the first one was cut");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_thousand_connections_of_http2_with_a_request_each_do_not_stop_the_health_check() {
    allow_open_files(9_000);
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let address = stack.address(ORCHESTRATOR);
        let mut open = Vec::new();
        for _ in 0..4_096 {
            let stream = TcpStream::connect(address).await.expect("the system takes it");
            let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let Ok((mut sender, connection)) = shaken else { continue };
            tokio::spawn(async move { drop(connection.await) });
            let request = Request::get(format!("http://{address}/saga/events")).body(Empty::<Bytes>::new());
            open.push(tokio::spawn(async move {
                let answer = sender.send_request(request.expect("it is a request")).await;
                // Kept open without reading.
                (sender, answer)
            }));
        }
        for path in ["/health/", "/metrics"] {
            // While all reserved connections are being answered, one more is turned away; the next probe is not.
            let answer = async {
                loop {
                    let fresh = tests::http::client().get(format!("http://{address}{path}"));
                    match try_send(fresh).await {
                        Ok(answer) => break answer,
                        Err(_) => sleep(Duration::from_millis(100)).await,
                    }
                }
            };
            timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{path} is never answered")).expect(200);
        }
        drop(open);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_json_is_refused_before_it_costs_anything() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (service, path) in DOORS.into_iter().filter(|(service, _)| *service != "catalog") {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let deep = format!("{{\"user_id\":{}1{}}}", open.repeat(9_000), close.repeat(9_000));
                let answer = stack.post(service, path, deep).await;
                assert_problem(&answer, 400);
            }
        }
        assert_serves(stack).await;
    })
    .await;
}
