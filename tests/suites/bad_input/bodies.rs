//! Bodies that are not a JSON object, have the wrong content type, or are too large, in one piece or in chunks.

use reqwest::Method;
use tests::{
    Stack, StackOptions,
    http::{Answer, send},
    problem, raw, with_stack,
};

use super::{ENDPOINTS, Endpoint, assert_nothing_happened, check_all};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_object_are_400_everywhere() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deep_member = format!(r#"{{"other":{}1{}}}"#, "{\"a\":".repeat(2_000), "}".repeat(2_000));
    let mut rows = Vec::new();
    for endpoint in &ENDPOINTS {
        let bodies: [&[u8]; 18] = [
            b"",
            b" ",
            b"{",
            b"}",
            b"null",
            b"true",
            b"1",
            b"\"text\"",
            b"[]",
            b"[{}]",
            b"{'a':1}",
            b"{\"a\":1,}",
            b"{\"a\":01}",
            b"{} {}",
            b"\xff\xfe",
            b"{\"user_id\":\"\xff\"}",
            deep.as_bytes(),
            deep_member.as_bytes(),
        ];
        rows.extend(bodies.into_iter().map(|body| endpoint.post(body, 400)));
    }
    check_all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_are_413_everywhere() {
    let mut rows = Vec::new();
    for endpoint in &ENDPOINTS {
        for length in [64 * 1024 + 1, 1024 * 1024] {
            let mut body = endpoint.body("", None).into_bytes();
            body.resize(length, b' ');
            rows.push(endpoint.post(body, 413));
        }
    }
    check_all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_said_to_be_json_are_415() {
    const TYPES: [&str; 6] = [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        "",
    ];
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for endpoint in &ENDPOINTS {
            let request = || stack.request(Method::POST, endpoint.service, endpoint.path);
            let good = endpoint.body("", None);
            for content_type in TYPES {
                let request = request().header("content-type", content_type).body(good.clone());
                problem::assert_problem(&send(request).await, 415);
            }
        }
        assert_nothing_happened(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_may_be_said_in_any_of_its_names() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for content_type in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
        ] {
            let request = stack.request(Method::POST, "inventory", "/inventory/decrease/");
            let request = request.header("content-type", content_type).body(r#"{"product_id":1}"#);
            send(request).await.expect(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_an_encoding_that_is_not_read_are_415_and_say_what_is() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for endpoint in &ENDPOINTS {
            let request = |encoding: &'static str| {
                let request = stack.request(Method::POST, endpoint.service, endpoint.path);
                let request = request.header("content-type", "application/json").body(endpoint.body("", None));
                send(request.header("content-encoding", encoding))
            };
            for encoding in ["gzip", "br", "identity, gzip", "x"] {
                let answer = request(encoding).await;
                problem::assert_problem(&answer, 415);
                assert_eq!(answer.header("accept-encoding"), Some("identity"));
            }
        }
        assert_nothing_happened(stack).await;
        for endpoint in &ENDPOINTS {
            let request =
                stack.request(Method::POST, endpoint.service, endpoint.path).header("content-encoding", "Identity");
            send(request.body(endpoint.body("", None))).await.expect(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_before_the_body_says_nothing() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for endpoint in &ENDPOINTS {
            stack
                .post(endpoint.service, endpoint.path, format!("\u{feff}{}", endpoint.body("", None)))
                .await
                .expect(200);
            let twice = stack
                .post(endpoint.service, endpoint.path, format!("\u{feff}\u{feff}{}", endpoint.body("", None)))
                .await;
            problem::assert_problem(&twice, 400);
        }
        for (service, path) in [("payments", "/debug/faults/"), ("orchestrator", "/ui/api/faults")] {
            let request = stack.request(Method::PUT, service, path);
            send(tests::stack::with_json(request, "\u{feff}{\"seed\":7}")).await.expect(200);
        }
    })
    .await;
}

/// Sends raw bytes to each endpoint and checks the status of the problem in the answer.
async fn check_raw(status: u16, request: impl Fn(&Endpoint) -> Vec<u8>) {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for endpoint in &ENDPOINTS {
            let answer: Answer = raw::exchange(stack.address(endpoint.service), &request(endpoint))
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", endpoint.service));
            problem::assert_problem(&answer, status);
        }
        assert_nothing_happened(stack).await;
    })
    .await;
}

fn head(endpoint: &Endpoint, more: &str) -> String {
    let path = endpoint.path;
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{more}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_bodies_are_counted_too() {
    check_raw(413, |endpoint| {
        let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
        let body = format!("{}1\r\n \r\n0\r\n\r\n", chunk.repeat(8));
        format!("{}{body}", head(endpoint, "transfer-encoding: chunked\r\n")).into_bytes()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_refused_by_its_announcement() {
    check_raw(413, |endpoint| head(endpoint, "content-length: 999999999999\r\n").into_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_that_is_small_enough_is_read() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for endpoint in &ENDPOINTS {
            let body = endpoint.body("", None);
            let request =
                format!("{}{:x}\r\n{body}\r\n0\r\n\r\n", head(endpoint, "transfer-encoding: chunked\r\n"), body.len());
            let answer = raw::exchange(stack.address(endpoint.service), request.as_bytes()).await;
            assert_eq!(answer.expect("there is an answer").status, 200, "{}{}", endpoint.service, endpoint.path);
        }
    })
    .await;
}
