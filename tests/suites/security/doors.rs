//! Every route of every service, as listed in its description: a request without a token, with a wrong one, or with the
//! token of a lower role is rejected.

use reqwest::Method;
use serde_json::Value;
use tests::{
    Stack,
    http::{Answer, send},
    problem::{assert_problem, check},
    stack::{ORCHESTRATOR, SERVICES, with_json},
    with_stack,
};

use super::{API, OPERATOR, SERVICE, with_all_tokens};

/// Public routes, as in the descriptions: none of them reveals a purchase. The page at `/ui/` asks for the token and
/// shows what the other routes return for it.
const PUBLIC: [&str; 8] =
    ["/health/", "/health/live/", "/metrics/", "/openapi.json", "/docs", "/", "/ui/", "/ui/{file}"];

/// Routes that require the operator's token.
const OPERATORS: [&str; 12] = [
    "/debug/actors/",
    "/debug/actors/{name}",
    "/debug/faults/",
    "/saga/attention",
    "/saga/attention/retry",
    "/saga/{transaction_id}/inspect",
    "/saga/{transaction_id}/retry",
    "/saga/{transaction_id}/resolve",
    "/saga/release",
    "/ui/api/services",
    "/ui/api/faults",
    "/inventory/restock/",
];

/// Returns method and template of every route.
async fn routes(stack: &Stack, service: &str) -> Vec<(Method, String)> {
    let document = stack.get(service, "/openapi.json").await.expect(200).json();
    let paths = document["paths"].as_object().expect("it has paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let methods: Vec<&String> = methods.as_object().expect("methods by name").keys().collect();
        methods
            .into_iter()
            .filter_map(|method| Some((method.to_uppercase().parse::<Method>().ok()?, path.clone())))
            .filter(|(method, _)| [Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(method))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

async fn knock(stack: &Stack, service: &str, route: &(Method, String), token: Option<&str>) -> Answer {
    let (method, template) = route;
    // The values do not matter, since a rejected request never reaches the handler.
    let path: String = template
        .split('/')
        .map(|part| if part.starts_with('{') { "019396b6-7c1f-7000-8000-000000000001" } else { part })
        .collect::<Vec<_>>()
        .join("/");
    let request = with_json(stack.request(method.clone(), service, &path), "{}");
    send(match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_door_but_the_public_ones_opens_without_a_token_or_with_a_wrong_one() {
    with_stack(with_all_tokens(), async |stack: &Stack| {
        for service in SERVICES {
            let routes = routes(stack, service).await;
            assert!(routes.len() > 8, "{service}: {routes:?}");
            for route in routes.iter().filter(|(_, template)| !PUBLIC.contains(&template.as_str())) {
                let stranger = knock(stack, service, route, None).await;
                check(&stranger, 401).unwrap_or_else(|wrong| panic!("{service} {route:?}: {wrong}"));
                assert_eq!(stranger.header("www-authenticate"), Some("Bearer"));
                for wrong in ["wrong-token-3d1e", &OPERATOR[1..], &format!("{OPERATOR}0")] {
                    let guess = knock(stack, service, route, Some(wrong)).await;
                    check(&guess, 403).unwrap_or_else(|wrong| panic!("{service} {route:?}: {wrong}"));
                    assert!(!guess.text.contains(wrong), "a guess is not repeated: {}", guess.text);
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_doors_open_to_the_operators_token_alone() {
    with_stack(with_all_tokens(), async |stack: &Stack| {
        let mut seen = 0;
        for service in SERVICES {
            let routes = routes(stack, service).await;
            for route in routes.iter().filter(|(_, template)| OPERATORS.contains(&template.as_str())) {
                for token in [API, SERVICE] {
                    assert_problem(&knock(stack, service, route, Some(token)).await, 403);
                }
                let operator = knock(stack, service, route, Some(OPERATOR)).await;
                assert!(![401, 403].contains(&operator.status), "{service} {route:?}: {}", operator.text);
                seen += 1;
            }
        }
        // /debug/faults has a GET and a PUT in four services; all five have the two routes of the actors. The
        // orchestrator has six of its own and three more for the page; inventory has one.
        assert_eq!(seen, 5 * 2 + 4 * 2 + 6 + 3 + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_the_api_token_buys_and_cannot_write_past_the_saga() {
    with_stack(with_all_tokens(), async |stack: &Stack| {
        let buy = || {
            with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), r#"{"user_id":"u","amount":5}"#)
        };
        assert_problem(&send(buy()).await, 401);
        assert_problem(&send(buy().bearer_auth("wrong")).await, 403);
        let bought = send(buy().bearer_auth(API)).await.expect(200).json();
        assert_eq!(bought["status"], "COMPLETED");
        for operation in &tests::operations::OPERATIONS {
            let id = tests::stack::new_transaction();
            for request in [operation.action(stack, &id), operation.compensation(stack, &id)] {
                assert_problem(&send(request.bearer_auth(API)).await, 403);
            }
            assert_eq!(operation.rows(stack, &id).await, 0);
        }
    })
    .await;
}
