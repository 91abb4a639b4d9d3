//! Who may call what, where tokens are set; and that the services themselves still reach each other.

use reqwest::Method;
use serde_json::json;
use tests::http::{Answer, send};
use tests::stack::{Stack, with_json};
use tests::{StackOptions, with_stack};

async fn call(stack: &Stack, method: Method, service: &str, path: &str, token: Option<&str>) -> Answer {
    let body = json!({"user_id":"u","amount":1,"product_id":7});
    let request = with_json(stack.request(method, service, path), body);
    send(match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
    .await
}

#[tokio::test]
async fn a_purchase_needs_the_api_token_and_goes_through_with_it() {
    for service_token in ["", "the-service"] {
        let options = StackOptions::default().set("auth.api_token", "the-api").set("auth.service_token", service_token);
        with_stack(options, async |stack| {
            let buy = |token| call(stack, Method::POST, "orchestrator", "/saga/transaction", token);
            let refused = buy(None).await.expect(401);
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            buy(Some("wrong")).await.expect(403);
            buy(Some("the-api")).await.expect(200);
        })
        .await;
    }
}

#[tokio::test]
async fn each_token_opens_its_own_doors() {
    let options = StackOptions::default()
        .set("auth.api_token", "the-api")
        .set("auth.service_token", "the-service")
        .set("auth.operator_token", "the-operator");
    with_stack(options, async |stack| {
        let doors = [
            (Method::POST, "payments", "/payments/", None, 401),
            (Method::POST, "payments", "/payments/", Some("the-api"), 403),
            (Method::POST, "payments", "/payments/", Some("the-service"), 200),
            (Method::GET, "catalog", "/products/7/", Some("the-service"), 200),
            (Method::GET, "catalog", "/products/7/", Some("the-api"), 200),
            (Method::GET, "payments", "/debug/actors", None, 401),
            (Method::GET, "payments", "/debug/actors", Some("the-service"), 403),
            (Method::GET, "payments", "/debug/actors", Some("the-operator"), 200),
            (Method::GET, "payments", "/health/", None, 200),
        ];
        for (method, service, path, token, status) in doors {
            let answer = call(stack, method, service, path, token).await;
            assert_eq!(answer.status, status, "{service} {path} {token:?}: {}", answer.text);
        }
    })
    .await;
}
