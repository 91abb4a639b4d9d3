//! `watch`: its output, its exit codes, and its reconnects.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
    thread,
};

use crate::{
    program::{Ran, Server, command, finish, run},
    support::Folder,
};

const ID: &str = "0190a2f0-0000-7000-8000-0000deadbeef";

/// Answers one request after another and closes each connection; returns the address and the received requests.
fn serving(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let answer = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            let mut buffer = [0; 4096];
            while !request.ends_with("\r\n\r\n") {
                let count = stream.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "the client closed the connection: {request}");
                request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            // A client that has received its last event may have disconnected.
            let _ = stream.write_all(answer.as_bytes());
            request
        };
        answers.into_iter().map(answer).collect()
    });
    (address, asked)
}

/// A stream with these blocks, followed by the end of the connection.
fn stream(blocks: &[String]) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{}", blocks.concat())
}

fn problem(status: &str, detail: &str) -> String {
    let body = format!(r#"{{"detail":"{detail}"}}"#);
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn mark(id: &str) -> String {
    format!(":listening\nid:{id}\nretry:1000\n\n")
}

fn data(status: &str, ended: bool, error: &str) -> String {
    format!(
        r#"{{"transaction_id":"{ID}","kind":"saga","status":"{status}","ended":{ended},"error":{error},"at":"2026-01-02T03:04:05.678901Z"}}"#
    )
}

fn saga(id: &str, status: &str, ended: bool, error: &str) -> String {
    format!("event:saga\ndata:{}\nid:{id}\n\n", data(status, ended, error))
}

fn step(id: &str, state: &str, attempts: u32, error: &str) -> String {
    format!(
        "event:step\ndata:{{\"transaction_id\":\"{ID}\",\"kind\":\"step\",\"step\":\"charge\",\"participant\":\"payments\",\"state\":\"{state}\",\"attempts\":{attempts},\"error\":{error},\"at\":\"2026-01-02T03:04:06.000001Z\"}}\nid:{id}\n\n"
    )
}

fn watch(target: &str, arguments: &[&str]) -> Ran {
    finish(command(&["watch", "--target", target]).args(arguments))
}

#[test]
fn one_purchase_is_followed_to_its_end_in_readable_lines() {
    let blocks = [
        mark("7-0-0"),
        saga("7-0-0", "PENDING", false, "null"),
        step("7-1-0", "running", 1, "null"),
        step("7-2-0", "backing_off", 2, r#""503: a\u001b[31mb""#),
        saga("7-3-0", "COMPENSATING", false, r#""409: payments conflict""#),
        saga("7-4-0", "COMPENSATED", true, r#""409: payments conflict""#),
        saga("7-5-0", "PENDING", false, "null"),
    ];
    let (target, asked) = serving(vec![stream(&blocks)]);
    let ran = watch(&target, &[ID]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected = [
        &format!("03:04:05.678  …deadbeef  PENDING  {ID}"),
        "03:04:06.000  …deadbeef  charge (payments) running",
        r"03:04:06.000  …deadbeef  charge (payments) backing_off, attempt 2  503: a\u{1b}[31mb",
        "03:04:05.678  …deadbeef  COMPENSATING  409: payments conflict",
        "03:04:05.678  …deadbeef  COMPENSATED  409: payments conflict",
    ];
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), expected);
    let request = asked.join().unwrap().remove(0);
    assert!(request.starts_with(&format!("GET /saga/events?saga={ID} HTTP/1.1\r\n")), "{request}");
    assert!(!request.contains("last-event-id"), "{request}");
}

#[test]
fn the_exit_code_tells_how_the_one_purchase_ended() {
    for (status, code) in [("COMPLETED", 0), ("COMPENSATED", 1), ("FAILED", 1)] {
        // FAILED is final only after an operator has resolved it.
        let blocks = [mark("7-0-0"), saga("7-1-0", "FAILED", false, "null"), saga("7-2-0", status, true, "null")];
        let (target, _) = serving(vec![stream(&blocks)]);
        let ran = watch(&target, &[ID]);
        assert_eq!((ran.code, ran.out.lines().count()), (code, 2), "{ran:?}");
    }
}

#[test]
fn a_lost_connection_is_taken_up_where_it_was_left() {
    let answers = vec![
        stream(&[mark("7-0-0")]),
        // A stopping server, then a server briefly unreachable behind a proxy.
        problem("503 Service Unavailable", "the service is stopping"),
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        stream(&[mark("7-0-0"), saga("7-1-0", "PENDING", false, "null")]),
        stream(&[mark("7-1-0"), mark("9-0-0")]),
        stream(&[mark("9-0-0"), saga("9-1-0", "COMPLETED", true, "null")]),
    ];
    let (target, asked) = serving(answers);
    let ran = watch(&target, &[ID]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:?}");
    assert!(ran.err.contains("connection lost") && ran.err.contains("reconnected"), "{ran:?}");
    let came_back_with = |request: String| {
        let id = request.lines().find_map(|line| line.strip_prefix("last-event-id: ").map(str::to_owned));
        id.unwrap_or_default()
    };
    let ids: Vec<String> = asked.join().unwrap().into_iter().map(came_back_with).collect();
    assert_eq!(ids, ["", "7-0-0", "7-0-0", "7-0-0", "7-1-0", "9-0-0"]);
}

#[test]
fn an_event_longer_than_16_mib_is_not_read_and_the_connection_is_made_anew() {
    let endless = format!("event:saga\ndata:{}\nid:7-1-0\n\n", "x".repeat(17 * 1024 * 1024));
    let answers =
        vec![stream(&[mark("7-0-0"), endless]), stream(&[mark("7-0-0"), saga("7-1-0", "COMPLETED", true, "null")])];
    let (target, asked) = serving(answers);
    let ran = watch(&target, &[ID]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{ran:?}");
    assert!(asked.join().unwrap()[1].contains("last-event-id: 7-0-0"), "the event counts as not received");
}

#[test]
fn json_is_the_servers_own_one_event_a_line() {
    let gap = r#"{"kind":"gap","last_event_id":"1-1-0","detail":"some are gone"}"#;
    let blocks = [
        mark("7-0-0"),
        format!("event:gap\ndata:{gap}\nid:7-0-0\n\n"),
        saga("7-1-0", "PENDING", false, "null"),
        "event:weather\ndata:{\"kind\":\"weather\"}\nid:7-2-0\n\n".to_owned(),
        saga("7-3-0", "COMPLETED", true, "null"),
    ];
    let (target, _) = serving(vec![stream(&blocks)]);
    let ran = watch(&target, &[ID, "--json"]);
    let expected = [gap, &data("PENDING", false, "null"), r#"{"kind":"weather"}"#, &data("COMPLETED", true, "null")];
    assert_eq!((ran.code, ran.out.lines().collect::<Vec<_>>()), (0, expected.to_vec()));

    // For people a gap is a notice, and unknown events are omitted.
    let (target, _) = serving(vec![stream(&blocks)]);
    let ran = watch(&target, &[ID]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:?}");
    assert!(ran.err.contains("some are gone"), "{ran:?}");
}

#[test]
fn an_error_at_the_beginning_is_told_and_not_repeated() {
    let (target, _) = serving(vec![problem("404 Not Found", &format!("there is no saga {ID}"))]);
    let ran = watch(&target, &[ID]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.error().contains(&format!("there is no saga {ID}")), "{ran:?}");
    let (target, _) = serving(vec![problem("503 Service Unavailable", "too many listeners")]);
    let ran = watch(&target, &[]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let (target, _) = serving(vec![stream(&["data:hello\n\n".to_owned()])]);
    assert_eq!(watch(&target, &[]).code, 4, "the server is not an orchestrator");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let many: Vec<String> =
        (0..20_000).map(|number| saga(&format!("7-{number}-0"), "PENDING", false, "null")).collect();
    let (target, _) = serving(vec![stream(&many)]);
    let mut child =
        command(&["watch", "--target", &target]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_real_purchase_is_seen_by_who_watches_all_and_by_who_watches_it() {
    let folder = Folder::new();
    let mut up = Server::up(&folder.path().join("data"));
    let front = up.wait_until_up();
    let mut watcher = Server::start(&mut command(&["watch", "--json", "--target", &front]));
    // A purchase that it shows was made after its connection was open.
    let mut id = String::new();
    crate::support::wait_until("a purchase is shown", || {
        let ran = run(&["order", "--user", "u", "--amount", "1", "--json", "--target", &front]);
        let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        id = answer["transaction_id"].as_str().unwrap().to_owned();
        watcher.has_said(r#""status":"COMPLETED""#)
    });
    let ran = watch(&front, &[&id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("COMPLETED"), "{ran:?}");
    let unknown = watch(&front, &[ID]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.error().contains(ID), "{unknown:?}");
    up.stop();
    watcher.wait_for_notice("connection lost");
    watcher.signal(rustix::process::Signal::KILL);
    watcher.wait();
}
