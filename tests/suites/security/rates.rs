//! A client above its rate limit receives 429 with `Retry-After`, and no other client is affected.

use reqwest::{Method, RequestBuilder};
use tests::{
    Stack,
    http::send,
    problem::assert_problem,
    stack::{ORCHESTRATOR, SERVICES, with_json},
    with_stack,
};

use super::{API, OPERATOR, with_all_tokens};

/// More requests than a bucket refilled once a second allows in that time.
const MANY: usize = 40;

fn status_of_nothing(stack: &Stack) -> RequestBuilder {
    let path = "/saga/status/019396b6-7c1f-7000-8000-000000000001";
    stack.request(Method::GET, ORCHESTRATOR, path).bearer_auth(API)
}

/// Sends requests until the answer is 429.
async fn exhaust(request: impl Fn() -> RequestBuilder) {
    for _ in 0..MANY {
        let answer = send(request()).await;
        if answer.status == 429 {
            assert_problem(&answer, 429);
            let seconds: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
            assert!(seconds >= 1, "{seconds}");
            return;
        }
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    panic!("{MANY} requests in a row, and none is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_hears_429_and_health_operators_and_sagas_go_on() {
    let options = with_all_tokens().set("rate_limit.per_second", 1).set("rate_limit.burst", 5);
    with_stack(options, async |stack: &Stack| {
        exhaust(|| status_of_nothing(stack)).await;
        for service in SERVICES {
            for _ in 0..MANY {
                stack.get(service, "/health/").await.expect(200);
            }
        }
        // Operators are not limited, and one saga needs more calls than a bucket holds.
        for _ in 0..MANY {
            let buy = with_json(
                stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"),
                r#"{"user_id":"u","amount":5}"#,
            );
            send(buy.bearer_auth(OPERATOR)).await.expect(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_is_limited_too() {
    let options = with_all_tokens().set("rate_limit.per_second", 1).set("rate_limit.burst", 5);
    with_stack(options, async |stack: &Stack| {
        let mut statuses = Vec::new();
        for guess in 0..MANY {
            let request = stack.request(Method::GET, ORCHESTRATOR, "/saga/attention");
            statuses.push(send(request.bearer_auth(format!("guess-{guess}"))).await.status);
        }
        assert!(statuses.contains(&429), "{statuses:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_addresses_count_only_from_a_trusted_proxy() {
    let options = || with_all_tokens().set("rate_limit.per_second", 1).set("rate_limit.burst", 5);
    with_stack(options(), async |stack: &Stack| {
        // A direct client does not get a new bucket by inventing forwarded addresses.
        let made_up = std::sync::atomic::AtomicUsize::new(0);
        exhaust(|| {
            let number = made_up.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            status_of_nothing(stack).header("x-forwarded-for", format!("198.51.100.{number}"))
        })
        .await;
    })
    .await;
    with_stack(options().set("http.trusted_proxies", "127.0.0.0/8"), async |stack: &Stack| {
        let from = |client: &str| status_of_nothing(stack).header("x-forwarded-for", client.to_owned());
        exhaust(|| from("198.51.100.1")).await;
        send(from("198.51.100.2")).await.expect(404);
        // Addresses that a client puts before the proxy's entry are ignored.
        let made_up = std::sync::atomic::AtomicUsize::new(0);
        exhaust(|| {
            let number = made_up.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            from(&format!("203.0.113.{number}, 198.51.100.3"))
        })
        .await;
    })
    .await;
}
