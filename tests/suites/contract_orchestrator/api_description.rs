//! The orchestrator answers as its API description says. The rules for the descriptions of all services are in the
//! suite of the participants.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, api_description::ApiDescription, http::send, stack::ORCHESTRATOR,
    stack::unknown_saga, stack::with_json, wait_until, with_stack,
};

fn order(stack: &Stack) -> RequestBuilder {
    let body = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_answers_is_as_described() {
    let options = StackOptions::default().set("orchestrator.attention_after_attempts", 1);
    with_stack(options, async |stack: &Stack| {
        let description = ApiDescription::of(stack, ORCHESTRATOR).await;
        let buy = async |request: RequestBuilder, status: u16| -> Value {
            let answer = send(request).await.expect(status);
            assert_eq!(description.check("POST", "/saga/transaction", &answer), Ok(()));
            answer.json()
        };
        let look = async |path: &str, status: u16| {
            let answer = stack.get(ORCHESTRATOR, path).await.expect(status);
            assert_eq!(description.check("GET", path, &answer), Ok(()), "{path}");
        };
        let of = |purchase: &Value| format!("/saga/status/{}", purchase["transaction_id"].as_str().unwrap_or_default());

        let done = buy(order(stack).header("idempotency-key", "k"), 200).await;
        buy(order(stack).header("idempotency-key", "k"), 200).await;
        let other =
            with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), r#"{"user_id":"u","amount":7}"#);
        buy(other.header("idempotency-key", "k"), 422).await;
        buy(order(stack).header("idempotency-key", " "), 422).await;
        let accepted = buy(order(stack).header("prefer", "respond-async"), 202).await;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let reverted = buy(order(stack), 409).await;
        stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 1 } })).await;
        let failed = buy(order(stack), 502).await;

        for purchase in [&done, &accepted, &reverted, &failed] {
            look(&of(purchase), 200).await;
        }
        look(&format!("/saga/status/{}", unknown_saga()), 404).await;
        look("/saga/status/7", 422).await;
        look("/saga/transactions", 200).await;
        look("/saga/transactions?limit=1&status=COMPLETED&user_id=u", 200).await;
        look("/saga/transactions?limit=0", 422).await;
        for path in ["/", "/health/", "/metrics/", "/docs", "/openapi.json", "/debug/actors/"] {
            look(path, 200).await;
        }
        for path in ["/ui/", "/ui/index.html", "/ui/favicon.svg", "/ui/THIRD_PARTY.md"] {
            look(path, 200).await;
        }
        look("/ui/nothing.js", 404).await;
        look("/ui/api/sagas?limit=0", 422).await;
        for path in
            ["/ui/api/summary", "/ui/api/sagas?text=u&limit=1", "/ui/api/services", "/ui/api/faults", "/ui/api/stock"]
        {
            look(path, 200).await;
        }

        let ask = async |path: &str, body: &str, status: u16| {
            let answer = stack.post(ORCHESTRATOR, path, body).await.expect(status);
            assert_eq!(description.check("POST", path, &answer), Ok(()), "{path}");
        };
        let saga = |purchase: &Value, what: &str| {
            format!("/saga/{}/{what}", purchase["transaction_id"].as_str().unwrap_or_default())
        };
        let unknown = json!({ "transaction_id": unknown_saga() });
        let bad = json!({ "transaction_id": "7" });
        look("/saga/attention", 200).await;
        look("/saga/attention?limit=0", 422).await;
        for (purchase, status) in [(&done, 200), (&failed, 200), (&unknown, 404), (&bad, 422)] {
            look(&saga(purchase, "inspect"), status).await;
        }
        for (purchase, status) in [(&failed, 202), (&done, 409), (&unknown, 404), (&bad, 422)] {
            ask(&saga(purchase, "cancel"), "", status).await;
            ask(&saga(purchase, "retry"), "", status).await;
        }
        ask("/saga/attention/retry", "", 202).await;
        for body in ["{}", r#"{"note":""}"#, r#"{"note":" "}"#] {
            ask(&saga(&failed, "resolve"), body, 422).await;
        }
        for (purchase, status) in [(&done, 409), (&unknown, 404), (&bad, 422)] {
            ask(&saga(purchase, "resolve"), r#"{"note":"paid back by hand"}"#, status).await;
        }
        let settled = buy(order(stack), 502).await;
        ask(&saga(&settled, "resolve"), r#"{"note":"paid back by hand"}"#, 200).await;

        stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 0 } })).await;
        wait_until("the failed purchase is undone after all", PATIENCE, async || {
            let status = stack.get(ORCHESTRATOR, &of(&failed)).await.json();
            (status["status"] == "COMPENSATED").then_some(())
        })
        .await;
        look(&of(&failed), 200).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_refuses_is_as_described() {
    let options = StackOptions::default().set("auth.api_token", "client");
    with_stack(options, async |stack: &Stack| {
        let description = ApiDescription::of(stack, ORCHESTRATOR).await;
        let order = |body: &str| with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), body);
        let large = " ".repeat(70_000);
        let rows = [
            (order("{}"), 401),
            (order("{}").bearer_auth("another"), 403),
            (order("{}").bearer_auth("client"), 422),
            (order("[").bearer_auth("client"), 400),
            (order(&large).bearer_auth("client"), 413),
        ];
        for (request, status) in rows {
            let answer = send(request).await.expect(status);
            assert_eq!(description.check("POST", "/saga/transaction", &answer), Ok(()), "{status}");
        }
        let form = stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction").bearer_auth("client").body("a=b");
        let answer = send(form.header("content-type", "application/x-www-form-urlencoded")).await.expect(415);
        assert_eq!(description.check("POST", "/saga/transaction", &answer), Ok(()));
    })
    .await;
}
