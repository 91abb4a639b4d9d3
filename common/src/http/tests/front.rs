//! The processing of every request before its handler, and of every answer after it.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request as HttpRequest, header::HeaderValue};

use super::kit::{Answer, RequestPipeline, SOON, call, filter, front, healthy, request, routes, settings, undescribed};
use crate::http::{Access, Check, HealthCheck, HttpService, Routes, StatusCode, json};
use crate::wire;

fn plain() -> HttpService {
    front(routes(), settings(|_| {}))
}

async fn get(path: &str) -> Answer {
    call(&plain(), request("GET", path, "")).await
}

#[tokio::test]
async fn every_path_is_there_with_and_without_its_last_slash_and_without_a_redirect() {
    for path in
        ["/things/7", "/things/7/", "/health", "/health/", "/health/live", "/metrics", "/metrics/", "/", "/files/a/"]
    {
        assert_eq!(get(path).await.status, 200, "{path}");
    }
    for path in ["/things", "/things/", "/things/7//", "//things/7", "/Things/7", "/things/7/parts/1/2", "/files/"] {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.problem()["type"].as_str()), (404, Some("not-found")), "{path}");
    }
}

#[tokio::test]
async fn places_are_decoded_once_and_slashes_in_them_stay() {
    let cases = [
        ("/things/a%2Fb", "id", "a/b"),
        ("/things/%C3%A9%20x", "id", "é x"),
        ("/things/%2525", "id", "%25"),
        ("/things/a+b", "id", "a+b"),
        ("/things/100%", "id", "100%"),
        ("/files/a/b%20c/d", "path", "a/b c/d"),
    ];
    for (path, place, value) in cases {
        assert_eq!(get(path).await.json()["params"][place], value, "{path}");
    }
}

#[tokio::test]
async fn two_methods_of_a_path_may_name_its_places_differently() {
    let answer = call(&plain(), request("POST", "/things/7", "")).await;
    assert_eq!(answer.json()["params"], serde_json::json!({ "name": "7" }));
    let answer = call(&plain(), request("DELETE", "/things/7/parts/8/", "")).await;
    assert_eq!(answer.json()["params"], serde_json::json!({ "id": "7", "part": "8" }));
}

#[tokio::test]
async fn a_path_that_is_not_utf8_is_malformed() {
    let answer = get("/things/%FF").await;
    assert_eq!((answer.status, answer.problem()["type"].as_str()), (400, Some("malformed-request")));
}

#[tokio::test]
async fn a_query_is_decoded_strictly_and_its_first_value_counts() {
    assert_eq!(get("/things/7?limit=%31+2&limit=3").await.json()["limit"], "1 2");
    assert_eq!(get("/things/7/?x").await.json()["limit"], serde_json::Value::Null);
    assert_eq!(get("/things/7?&=&limit=&&").await.json()["limit"], "");
    for query in ["limit=%FF", "%C3%28=1", "other=%E2%82"] {
        let answer = get(&format!("/things/7?{query}")).await;
        assert_eq!((answer.status, answer.problem()["type"].as_str()), (400, Some("malformed-request")), "{query}");
    }
}

#[tokio::test]
async fn another_method_is_405_with_those_that_are_there() {
    for (method, path, allow) in [
        ("DELETE", "/things/7", "GET, HEAD, POST"),
        ("OPTIONS", "/things/7/", "GET, HEAD, POST"),
        ("GET", "/things/7/parts/8", "DELETE"),
        ("HEAD", "/fields", "PUT"),
        ("BREW", "/health/", "GET, HEAD"),
    ] {
        let answer = call(&plain(), request(method, path, "")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method} {path}");
        if method != "HEAD" {
            answer.problem();
        }
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let body = get("/things/7").await.body;
    let answer = call(&plain(), request("HEAD", "/things/7", "")).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    // The body shows the method, and "HEAD" is one letter longer than "GET".
    assert_eq!(answer.header("content-length"), (body.len() + 1).to_string());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(call(&plain(), request("HEAD", "/nothing", "")).await.body.len(), 0);
}

#[tokio::test]
async fn every_answer_carries_its_request_id_and_trace() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    for path in ["/things/7", "/nothing", "/panic", "/health/"] {
        let mut request = request("GET", path, "");
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("req-1"));
        request.headers_mut().insert("traceparent", HeaderValue::try_from(&parent).unwrap());
        let answer = call(&plain(), request).await;
        assert_eq!(answer.header("x-request-id"), "req-1");
        let given_back = answer.header("traceparent");
        assert!(given_back.starts_with(&format!("00-{TRACE}-")) && given_back != parent, "{given_back}");
        let made = get(path).await;
        assert_eq!((made.header("x-request-id").len(), made.header("traceparent").len()), (32, 55));
    }
}

#[tokio::test]
async fn headers_that_are_no_text_do_no_harm() {
    let mut request = request("GET", "/things/7", "");
    for name in ["x-request-id", "traceparent", "x-forwarded-prefix", "authorization", "content-length"] {
        request.headers_mut().insert(name, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    }
    let answer = call(&plain(), request).await;
    assert_eq!((answer.status, answer.json()["prefix"].as_str()), (200, Some("")));
    assert_eq!(answer.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_that_tells_nothing() {
    let answer = get("/panic").await;
    assert_eq!((answer.status, answer.problem()["type"].as_str()), (500, Some("internal-error")));
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
}

#[tokio::test]
async fn a_body_is_json_unless_it_says_otherwise() {
    let cases = [
        (None, 200),
        (Some("application/json"), 200),
        (Some("Application/JSON; charset=utf-8"), 200),
        (Some("application/merge-patch+json"), 200),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/jsonx"), 415),
        (Some(""), 415),
    ];
    for (content_type, status) in cases {
        let mut request = request("PUT", "/fields/", "{}");
        if let Some(content_type) = content_type {
            request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
        }
        let answer = call(&plain(), request).await;
        assert_eq!(answer.status, status, "{content_type:?}");
        if status != 200 {
            answer.problem();
        }
    }
    assert_eq!(call(&plain(), request("PUT", "/fields/", "[]")).await.problem()["status"], 400);
}

#[tokio::test]
async fn a_body_may_have_the_limit_and_not_a_byte_more() {
    let front = front(routes(), settings(|settings| settings.http.body_limit_bytes = 8));
    for (body, status) in [("12345678", 200), ("123456789", 413)] {
        for declared in [true, false] {
            let mut request = request("POST", "/things/7", body);
            if declared {
                request.headers_mut().insert("content-length", HeaderValue::from(body.len()));
            }
            let answer = call(&front, request).await;
            assert_eq!(answer.status, status, "{body} {declared}");
            if status == 413 {
                answer.problem();
            }
        }
    }
}

#[tokio::test]
async fn beyond_the_limit_at_work_requests_are_503_and_health_still_answers() {
    let pipeline = RequestPipeline::default();
    let front = front(pipeline.routes(), settings(|settings| settings.http.max_in_flight = 1));
    let service = filter(front);
    let call = |request: HttpRequest<Full<Bytes>>| {
        let service = warp::service(service.clone());
        async move { tower::ServiceExt::oneshot(service, request).await.unwrap() }
    };
    let slow = tokio::spawn(call(request("POST", "/slow/", "")));
    pipeline.entered.notified().await;
    let refused = call(request("GET", "/things/7", "")).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(call(request("GET", "/health/", "")).await.status(), 200);
    assert_eq!(call(request("GET", "/metrics", "")).await.status(), 200);
    pipeline.open.notify_one();
    assert_eq!(tokio::time::timeout(SOON, slow).await.unwrap().unwrap().status(), 200);
    assert_eq!(call(request("GET", "/things/7", "")).await.status(), 200);
}

#[tokio::test]
async fn while_draining_only_reads_are_answered_and_health_is_bad() {
    let front = plain();
    front.draining.begin();
    for (method, path, status) in [
        ("GET", "/things/7", 200),
        ("HEAD", "/things/7", 200),
        ("POST", "/things/7", 503),
        ("GET", "/health/", 503),
        ("GET", "/health/live/", 200),
    ] {
        let answer = call(&front, request(method, path, "")).await;
        assert_eq!(answer.status, status, "{method} {path}");
        if method == "POST" {
            assert_eq!((answer.header("retry-after"), answer.problem()["status"].as_u64()), ("1", Some(503)));
            assert_eq!(answer.problem()["type"], wire::STOPPING);
        }
    }
    assert!(call(&front, request("GET", "/health/", "")).await.json()["checks"]["draining"].is_string());
}

#[tokio::test]
async fn health_says_what_is_wrong_and_nothing_else() {
    let health: HealthCheck = Arc::new(|| {
        Box::pin(async {
            let database = Check::new("database", Err("cannot be reached".to_owned()));
            vec![database, Check::new("saga-log", Ok(()))]
        })
    });
    let version = env!("CARGO_PKG_VERSION");
    // No binary has stated its build.
    let build = r#""build":{"revision":"unknown","date":"unknown"}"#;
    let answer = call(&HttpService { health, ..plain() }, request("GET", "/health/", "")).await;
    let expected = format!(
        r#"{{"status":"unhealthy","service":"test","version":"{version}",{build},"checks":{{"database":"cannot be reached","saga-log":"ok"}}}}"#
    );
    assert_eq!((answer.status, std::str::from_utf8(&answer.body).unwrap()), (503, expected.as_str()));
    let answer = call(&HttpService { health: healthy(), ..plain() }, request("GET", "/health", "")).await;
    let expected = format!(r#"{{"status":"healthy","service":"test","version":"{version}",{build}}}"#);
    assert_eq!((answer.status, std::str::from_utf8(&answer.body).unwrap()), (200, expected.as_str()));
}

#[tokio::test(start_paused = true)]
async fn health_does_not_wait_for_what_hangs() {
    let health: HealthCheck = Arc::new(|| Box::pin(std::future::pending()));
    let answer = call(&HttpService { health, ..plain() }, request("GET", "/health/", "")).await;
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn requests_are_counted_by_template_and_never_by_path() {
    let metered = |request| async {
        let routes = Routes::new("metered").get("/m/{id}/", Access::Public, undescribed, async |_| {
            Ok(json(StatusCode::IM_A_TEAPOT, "short and stout"))
        });
        call(&HttpService { service: "metered", ..front(routes, settings(|_| {})) }, request).await
    };
    for path in ["/m/secret-1", "/m/secret-2/", "/secret-3"] {
        metered(request("GET", path, "")).await;
    }
    metered(request("SECRET", "/m/1", "")).await;
    let text = String::from_utf8(metered(request("GET", "/metrics", "")).await.body.to_vec()).unwrap();
    for line in [
        r#"ecommerce_http_requests_total{service="metered",route="/m/{id}/",method="GET",status="418"} 2"#,
        r#"ecommerce_http_requests_total{service="metered",route="unmatched",method="GET",status="404"} 1"#,
        r#"ecommerce_http_requests_total{service="metered",route="/m/{id}/",method="other",status="405"} 1"#,
        r#"ecommerce_http_request_seconds_count{service="metered",route="/m/{id}/"} 2"#,
        r#"ecommerce_http_request_seconds_bucket{service="metered",route="/m/{id}/",le="0.01"}"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.to_lowercase().contains("secret"), "{text}");
}

#[test]
#[should_panic(expected = "GET /twice/ is defined twice")]
fn a_route_that_is_there_twice_is_found_at_the_start() {
    let answer = async |_| Ok(json(StatusCode::OK, ""));
    let routes = Routes::new("test").get("/twice", Access::Public, undescribed, answer).get(
        "/twice/",
        Access::Public,
        undescribed,
        answer,
    );
    filter(front(routes, settings(|_| {})));
}

#[tokio::test]
async fn an_id_may_be_called_like_a_word_of_a_route() {
    let answer = |name: &'static str| {
        move |request: crate::http::Request| async move { Ok(json(StatusCode::OK, &format!("{name} {:?}", request.params))) }
    };
    let routes = Routes::new("test")
        .post("/things/refill/", Access::Public, undescribed, answer("refill"))
        .get("/things/any/", Access::Public, undescribed, answer("any"))
        .get("/things/{id}/", Access::Public, undescribed, answer("thing"))
        .put("/things/{id}/parts/", Access::Public, undescribed, answer("parts"))
        .get("/things/of/{owner}/", Access::Public, undescribed, answer("of"));
    let front = front(routes, settings(|_| {}));
    for (method, path, expected) in [
        ("POST", "/things/refill", r#"refill Params([])"#),
        ("GET", "/things/refill/", r#"thing Params([("id", "refill")])"#),
        ("GET", "/things/any", r#"any Params([])"#),
        ("GET", "/things/of/parts", r#"of Params([("owner", "parts")])"#),
        ("PUT", "/things/of/parts/", r#"parts Params([("id", "of")])"#),
    ] {
        let answer = call(&front, request(method, path, "")).await;
        assert_eq!((answer.status, answer.json().as_str()), (200, Some(expected)), "{method} {path}");
    }
    for (method, path, allow) in [
        ("PUT", "/things/refill/", "GET, HEAD, POST"),
        ("POST", "/things/7/", "GET, HEAD"),
        ("POST", "/things/of/parts", "GET, HEAD, PUT"),
    ] {
        let answer = call(&front, request(method, path, "")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method} {path}");
    }
}
