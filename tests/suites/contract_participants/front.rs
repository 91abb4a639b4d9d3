//! The common duties of every service, the orchestrator included (contract, sections 1 and 2.7).

use domain_services::PARTICIPANTS;
use reqwest::Method;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions, actors, assert_shape,
    http::send,
    problem::{assert_bad_fields, assert_problem},
    stack::{SERVICES, with_json},
    wait_until, with_stack,
};

/// Runs a test on each of the five services of one stack.
async fn each_service(test: impl AsyncFn(&Stack, &str)) {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for service in SERVICES {
            test(stack, service).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_says_that_it_is_healthy_with_and_without_a_slash() {
    each_service(async |stack, service| {
        let build = json!({ "revision": "<text>", "date": "<text>" });
        let expected = json!({ "status": "healthy", "service": service, "version": "<text>", "build": build });
        for path in ["/health", "/health/", "/health/live", "/health/live/"] {
            let answer = stack.get(service, path).await.expect(200);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_shape(&answer.json(), &expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_database_is_unhealthy_but_alive() {
    each_service(async |stack, service| {
        let name = &stack.settings.service(service).database;
        let server = tests::cluster::server_url().await;
        let server = tests::database::Database::connect(server, "postgres").await;
        server.run(&format!("alter database {name} allow_connections false")).await;
        let own = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
        server.run(&own).await;
        let answer = wait_until("the service notices", PATIENCE, async || {
            let answer = stack.get(service, "/health/").await;
            (answer.status == 503).then_some(answer)
        })
        .await;
        let body = answer.json();
        assert_eq!((&body["status"], &body["service"]), (&json!("unhealthy"), &json!(service)));
        assert!(!body["checks"].as_object().expect("checks by name").is_empty(), "{body}");
        stack.get(service, "/health/live/").await.expect(200);
        server.run(&format!("alter database {name} allow_connections true")).await;
        wait_until("the service recovers by itself", PATIENCE, async || {
            (stack.get(service, "/health/").await.status == 200).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_front_are_problems_and_no_recorded_decisions() {
    each_service(async |stack, service| {
        for path in ["/nothing", "/nothing/here/", "/health/nothing"] {
            assert_problem(&stack.get(service, path).await, 404);
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            let answer = send(stack.request(method.clone(), service, "/health/")).await;
            assert_problem(&answer, 405);
            let allow = answer.header("allow").unwrap_or_default();
            assert!(allow.split(", ").any(|allowed| allowed == "GET"), "{method}: {allow:?}");
            assert!(answer.header("access-control-allow-origin").is_none());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_echoed_or_made() {
    each_service(async |stack, service| {
        let request = stack.request(Method::GET, service, "/health/");
        let answer = send(request.header("X-Request-Id", "order-7")).await;
        assert_eq!(answer.header("x-request-id"), Some("order-7"));
        for path in ["/health/", "/nothing"] {
            let made = stack.get(service, path).await;
            assert!(made.header("x-request-id").is_some_and(|id| !id.is_empty()), "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_continued_or_begun() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    each_service(async |stack, service| {
        let request = stack.request(Method::GET, service, "/health/");
        let answer = send(request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
        let parent = answer.header("traceparent").expect("it is given back");
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
        let begun = stack.get(service, "/health/").await;
        let begun = begun.header("traceparent").expect("it is given back").to_owned();
        assert_eq!((begun.len(), begun.contains(TRACE)), (55, false), "{begun}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_in_the_text_format_of_prometheus() {
    each_service(async |stack, service| {
        stack.get(service, "/health/").await.expect(200);
        let answer = stack.get(service, "/metrics").await.expect(200);
        assert!(answer.header("content-type").is_some_and(|text| text.starts_with("text/plain")));
        let label = format!("service=\"{service}\"");
        let counted =
            answer.text.lines().any(|line| line.starts_with("ecommerce_http_requests_total{") && line.contains(&label));
        assert!(counted, "{}", answer.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervision_tree_shows_every_actor_and_each_can_be_looked_at() {
    each_service(async |stack, service| {
        let tree = actors::tree(stack, service).await;
        assert!(tree.name.ends_with(&format!("/{service}")), "{}", tree.name);
        let all = actors::all(&tree);
        assert!(all.len() >= 3, "{tree:#?}");
        for actor in all {
            assert_eq!((actor.status.as_str(), actor.restarts), ("running", 0), "{actor:#?}");
            assert!(!actor.kind.is_empty() && actor.started_at.is_some(), "{actor:#?}");
            let alone = stack.get(service, &format!("/debug/actors/{}", actor.name)).await.expect(200);
            assert_eq!(alone.json()["name"], actor.name);
        }
        assert_problem(&stack.get(service, "/debug/actors/nobody").await, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_settings_are_shown_changed_in_part_and_refused_as_a_whole() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for service in PARTICIPANTS {
            let faults = stack.get(service, "/debug/faults").await.expect(200).json();
            let (operation, before) = faults
                .as_object()
                .and_then(|faults| faults.iter().find(|(_, value)| value.is_object()))
                .expect("there is an operation");
            let change = json!({ operation: { "lost_reply_rate": 0.25, "latency_ms": { "max": 7 } } });
            stack.set_faults(service, change).await;
            let after = stack.get(service, "/debug/faults").await.expect(200).json();
            let mut expected = before.clone();
            expected["lost_reply_rate"] = json!(0.25);
            expected["latency_ms"]["max"] = json!(7);
            assert_eq!(after[operation], expected, "{service}");

            let bad = json!({ operation: { "failure_rate": 1.5, "lost_reply_rate": 0.5 }, "nonsense": {} });
            let put = stack.request(Method::PUT, service, "/debug/faults");
            let fields = [&format!("{operation}.failure_rate"), "nonsense"];
            assert_bad_fields(&send(with_json(put, &bad)).await, 400, &fields);
            let put = stack.request(Method::PUT, service, "/debug/faults");
            assert_problem(&send(with_json(put, "[")).await, 400);
            let still = stack.get(service, "/debug/faults").await.expect(200).json();
            assert_eq!(still, after, "{service}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_needs_the_operator_token_where_one_is_set() {
    let options = StackOptions::default().set("auth.operator_token", "the-operator-token");
    with_stack(options, async |stack: &Stack| {
        for service in SERVICES {
            let request = || stack.request(Method::GET, service, "/debug/actors");
            assert_problem(&send(request()).await, 401);
            assert_problem(&send(request().bearer_auth("another")).await, 403);
            send(request().bearer_auth("the-operator-token")).await.expect(200);
            stack.get(service, "/health/").await.expect(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_is_off_in_production_where_no_operator_token_is_set() {
    let options = StackOptions::default().profile("production").set("auth.service_token", "the-service-token");
    with_stack(options, async |stack: &Stack| {
        for service in SERVICES {
            for path in ["/debug/actors", "/debug/actors/x"] {
                assert_problem(&stack.get(service, path).await, 403);
            }
        }
    })
    .await;
}
