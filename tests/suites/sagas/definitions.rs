//! Definitions over HTTP: one for each name and version, for ever, on every node.

use reqwest::Method;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    http::send,
    problem::{assert_bad_fields, assert_problem},
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};

use super::{order, put, run, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_a_version_mean_one_definition_for_ever() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let given = put(stack, "shop/1", shop()).await.expect(201).json();
        let mut same = shop();
        (same["name"], same["version"]) = (json!("shop"), json!(1));
        let again = put(stack, "shop/1", same.clone()).await.expect(200).json();
        assert_eq!(again["hash"], given["hash"]);
        let mut other = shop();
        other["steps"][0]["timeout_ms"] = json!(500);
        assert_problem(&put(stack, "shop/1", other.clone()).await, 409);
        put(stack, "shop/2", other).await.expect(201);
        assert_eq!(put(stack, "shop/2", same).await.status, 422, "the body names another version than the path");
        let shown = stack.get(ORCHESTRATOR, "/sagas/definitions/shop/1").await.expect(200).json();
        assert_eq!(shown["hash"], given["hash"]);
        // A shown definition can be put again.
        assert_eq!(put(stack, "shop/1", shown["body"].clone()).await.expect(200).json()["hash"], given["hash"]);
        let after = |step: usize| shown["steps"][step]["after"].clone();
        assert_eq!([after(0), after(1), after(2)], [json!([]), json!([]), json!(["charge", "stock"])]);
        stack.get(ORCHESTRATOR, "/sagas/definitions/shop/3").await.expect(404);
        stack.restart(ORCHESTRATOR).await;
        wait_until("it knows its definitions again", PATIENCE, async || {
            let list = stack.get(ORCHESTRATOR, "/sagas/definitions").await.expect(200).json();
            let titles: Vec<String> = list["definitions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| format!("{}/{}", one["name"].as_str().unwrap(), one["version"]))
                .collect();
            (titles == ["checkout/1", "checkout-restoring-stock/1", "shop/2", "shop/1"]).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_wrong_is_refused_with_every_problem() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut wrong = shop();
        wrong["steps"][0]["participant"] = json!("paymnts");
        wrong["steps"][1]["compensation"] = json!(null);
        wrong["steps"][2]["after"] = json!(["charge", "nothing"]);
        let answer = put(stack, "shop/1", wrong).await.expect(422).json();
        let texts = answer["errors"].to_string();
        for text in ["paymnts", "payments", "nothing"] {
            assert!(texts.contains(text), "{text}: {texts}");
        }
        assert!(answer["errors"].as_array().unwrap().len() >= 3, "{texts}");
        for reserved in ["checkout/2", "checkout-mine/1", "inline/1", "dtm/1"] {
            assert_eq!(put(stack, reserved, shop()).await.status, 422, "{reserved}");
        }
        let text = shop().to_string().replace(r#""quantity":1"#, r#""quantity":100000000000000.01"#);
        let path = "/sagas/definitions/shop/1";
        let answer = send(with_json(stack.request(Method::PUT, ORCHESTRATOR, path), text)).await;
        assert_bad_fields(&answer, 422, &["/steps/1/action/body/quantity"]);
        assert_bad_fields(&put(stack, "shop/0", shop()).await, 422, &["version"]);
        assert_bad_fields(&put(stack, "shop/x", shop()).await, 422, &["version"]);
        assert_bad_fields(&put(stack, "Shop/+1", shop()).await, 422, &["name", "version"]);
        assert_bad_fields(&put(stack, "shop/1", json!([])).await, 422, &["body"]);
        assert_problem(&put(stack, "shop/1", json!("text")).await, 422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_soon_runs_what_one_was_given() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.add_replica(ORCHESTRATOR).await;
        put(stack, "shop/1", shop()).await.expect(201);
        for address in stack.addresses_of(ORCHESTRATOR) {
            wait_until("this replica runs it", PATIENCE, async || {
                let request = stack.request_at(reqwest::Method::POST, address, "/sagas");
                let answer = tests::http::send(tests::stack::with_json(request, order())).await;
                (answer.status == 200).then_some(())
            })
            .await;
        }
        let answer = run(stack, order()).await.expect(200).json();
        assert_eq!(answer["version"], 1);
    })
    .await;
}
