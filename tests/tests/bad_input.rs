//! Bad input over all services: each gets the contract's error with every bad field named, and none a 5xx.

use reqwest::Method;
use tests::http::{Answer, send};
use tests::problem::{check, check_fields};
use tests::stack::Stack;
use tests::{StackOptions, with_stack};

/// A write and a body that it accepts, to be spoilt one field at a time.
struct Write {
    service: &'static str,
    path: &'static str,
    good: &'static [(&'static str, &'static str)],
    bad_field_status: u16,
}

const WRITES: [Write; 4] = [
    Write {
        service: "orchestrator",
        path: "/saga/transaction",
        good: &[("user_id", r#""u""#), ("amount", "1")],
        bad_field_status: 422,
    },
    Write {
        service: "payments",
        path: "/payments/",
        good: &[("user_id", r#""u""#), ("transaction_id", r#""t""#), ("amount", "1")],
        bad_field_status: 400,
    },
    Write {
        service: "inventory",
        path: "/inventory/decrease/",
        good: &[("product_id", r#""p""#), ("transaction_id", r#""t""#), ("quantity", "1")],
        bad_field_status: 400,
    },
    Write {
        service: "purchases",
        path: "/purchases/",
        good: &[
            ("user_id", r#""u""#),
            ("transaction_id", r#""t""#),
            ("product_id", "1"),
            ("payment_id", "1"),
            ("amount", "1"),
        ],
        bad_field_status: 400,
    },
];

const BAD_TEXTS: [&str; 7] = [r#""""#, r#"" \t""#, r#""a\u0000b""#, "true", "[1]", r#"{"a":1}"#, r#""\ud800""#];
const BAD_AMOUNTS: [&str; 14] = [
    "0",
    "-1",
    "1e2",
    "1.234",
    "1.230",
    "100000000",
    r#""+1""#,
    r#""1,5""#,
    r#""""#,
    r#"" 1""#,
    r#""NaN""#,
    "true",
    "[]",
    "9999999999999999999999999999999999999999999999999999999999999999",
];
const BAD_QUANTITIES: [&str; 6] = ["0", "-1", "1.5", r#""1""#, "1000001", "99999999999999999999"];

fn body(good: &[(&str, &str)], spoilt: &str, value: &str) -> String {
    let fields: Vec<String> =
        good.iter().map(|(name, text)| format!(r#""{name}":{}"#, if *name == spoilt { value } else { text })).collect();
    format!("{{{}}}", fields.join(","))
}

async fn raw(stack: &Stack, write: &Write, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = stack.request(Method::POST, write.service, write.path);
    send(request.header("content-type", content_type).body(body)).await
}

#[tokio::test]
async fn every_bad_field_is_refused_by_its_name() {
    with_stack(StackOptions::default(), async |stack| {
        let long = format!(r#""{}""#, "ä".repeat(101));
        let mut rows = 0;
        for write in &WRITES {
            for (name, _) in write.good {
                let values: Vec<&str> = match *name {
                    "amount" => BAD_AMOUNTS.to_vec(),
                    "quantity" => BAD_QUANTITIES.to_vec(),
                    _ => BAD_TEXTS.into_iter().chain([long.as_str()]).collect(),
                };
                for value in values {
                    let answer = raw(stack, write, "application/json", body(write.good, name, value)).await;
                    let checked = check_fields(&answer, write.bad_field_status, &[name]);
                    assert!(checked.is_ok(), "{} {name}={value}: {checked:?} {answer:?}", write.service);
                    rows += 1;
                }
            }
        }
        assert!(rows >= 60, "{rows}");
    })
    .await;
}

#[tokio::test]
async fn bodies_that_are_no_json_objects_are_refused() {
    with_stack(StackOptions::default(), async |stack| {
        let deep = "[".repeat(30_000);
        let huge = format!(r#"{{"user_id":"{}"}}"#, "x".repeat(10 * 1024 * 1024));
        for write in &WRITES {
            let rows: [(&str, Vec<u8>, u16); 8] = [
                ("application/json", b"{".to_vec(), 400),
                ("application/json", b"".to_vec(), 400),
                ("application/json", b"[1]".to_vec(), 400),
                ("application/json", b"{\"user_id\":\"\xff\"}".to_vec(), 400),
                ("application/json", deep.clone().into_bytes(), 400),
                ("text/plain", b"{}".to_vec(), 415),
                ("application/x-www-form-urlencoded", b"a=1".to_vec(), 415),
                ("application/json", huge.clone().into_bytes(), 413),
            ];
            for (content_type, body, status) in rows {
                let size = body.len();
                let answer = raw(stack, write, content_type, body).await;
                let checked = check(&answer, status);
                assert!(checked.is_ok(), "{} {content_type} {size}: {checked:?}", write.service);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn unknown_ids_bad_queries_and_wrong_methods_are_problems() {
    with_stack(StackOptions::default(), async |stack| {
        let rows = [
            (Method::GET, "catalog", "/products/abc/", 404),
            (Method::GET, "catalog", "/products/99999999999999999999/", 404),
            (Method::GET, "catalog", "/products/?limit=0", 400),
            (Method::GET, "catalog", "/products/?cursor=x", 400),
            (Method::GET, "payments", "/payments/999/", 404),
            (Method::GET, "payments", "/payments/abc/", 404),
            (Method::GET, "payments", "/payments/by-transaction/nobody/", 404),
            (Method::POST, "payments", "/payments/999/refund/", 404),
            (Method::PUT, "payments", "/payments/", 405),
            (Method::GET, "inventory", "/inventory/nothing/", 404),
            (Method::DELETE, "inventory", "/inventory/decrease/", 405),
            (Method::GET, "purchases", "/purchases/999/", 404),
            (Method::GET, "purchases", "/purchases/?limit=1001", 400),
            (Method::DELETE, "purchases", "/purchases/999/cancel/", 404),
            (Method::GET, "orchestrator", "/saga/transactions?status=LOST", 422),
            (Method::GET, "orchestrator", "/saga/transactions?limit=ten&cursor=x", 422),
            (Method::DELETE, "orchestrator", "/saga/transaction", 405),
            (Method::GET, "orchestrator", "/saga/status/%ff", 400),
        ];
        for (method, service, path, status) in rows {
            let answer = send(stack.request(method, service, path)).await;
            let checked = check(&answer, status);
            assert!(checked.is_ok(), "{service} {path}: {checked:?} {answer:?}");
        }
    })
    .await;
}
