//! Runs of a definition: ends, repeats, waits, cancels, lists, and the effects of a restart.

use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    problem::{assert_bad_fields, assert_problem},
    stack::ORCHESTRATOR,
    transactions, wait_until, with_stack,
};

use super::{order, put, run, run_with, shop, show};

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_completes_with_its_outputs_and_its_row_says_the_same() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let answer = run(stack, order()).await.expect(200).json();
        assert_eq!(
            (&answer["definition"], &answer["version"], &answer["status"]),
            (&json!("shop"), &json!(1), &json!("COMPLETED"))
        );
        let (payment, purchase) = (&answer["outputs"]["charge"]["payment"], &answer["outputs"]["record"]["purchase"]);
        assert!(payment.is_i64() && purchase.is_i64(), "the JSON type of an output stays: {answer}");
        let view = show(stack, &answer["saga_id"]).await;
        assert_eq!((&view["outputs"], &view["input"]), (&answer["outputs"], &order()["input"]));
        assert_eq!((&view["error"], &view["failed_step"]), (&json!(null), &json!(null)));
        let steps = view["steps"].as_array().unwrap();
        assert_eq!(steps.iter().map(|step| step["state"].as_str().unwrap()).collect::<Vec<_>>(), ["done"; 3]);
        // The family of purchases sees it too, without the fields of purchases.
        let id = answer["saga_id"].as_str().unwrap();
        let purchase = stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json();
        assert_eq!(
            (&purchase["status"], &purchase["user_id"], &purchase["amount"]),
            (&json!("COMPLETED"), &json!(null), &json!(null))
        );
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_any_step_undoes_the_others_whichever_came_first() {
    for (service, operation, step) in
        [("payments", "charge", "charge"), ("inventory", "decrease", "stock"), ("purchases", "create", "record")]
    {
        let options = StackOptions::default().set(&format!("faults.{service}.{operation}.failure_rate"), 1);
        with_stack(options, async |stack: &Stack| {
            put(stack, "shop/1", shop()).await.expect(201);
            let answer = run(stack, order()).await.expect(409).json();
            assert_eq!((&answer["status"], &answer["failed_step"]), (&json!("COMPENSATED"), &json!(step)), "{answer}");
            assert!(answer["error"].as_str().unwrap().starts_with(&format!("409: {service} conflict: ")), "{answer}");
            let view = show(stack, &answer["saga_id"]).await;
            for view in view["steps"].as_array().unwrap() {
                let expected: &[&str] = match view["step"] == step {
                    true => &["refused"],
                    false if step == "record" => &["compensated"],
                    // Payment and stock are asked for at once, so the other one was done; the record never began.
                    false if view["step"] == "record" => &["pending"],
                    false => &["compensated"],
                };
                assert!(expected.contains(&view["state"].as_str().unwrap()), "{step}: {view}");
            }
            transactions::consistent(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_do_not_wait_for_each_other_run_at_once() {
    let slow = |options: StackOptions, operation: &str| {
        options
            .set(&format!("faults.{operation}.latency_ms.min"), 600)
            .set(&format!("faults.{operation}.latency_ms.max"), 600)
    };
    let options = slow(slow(StackOptions::default(), "payments.charge"), "inventory.decrease");
    with_stack(options, async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let answer = run(stack, order()).await.expect(200).json();
        let view = show(stack, &answer["saga_id"]).await;
        let time = |step: usize, name: &str| view["steps"][step][name].as_str().unwrap().to_owned();
        // Each began before the other one was done.
        assert!(time(0, "started_at") < time(1, "finished_at"), "{view}");
        assert!(time(1, "started_at") < time(0, "finished_at"), "{view}");
        assert!(time(2, "started_at") >= time(0, "finished_at").max(time(1, "finished_at")), "{view}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_saga_whatever_the_newest_version_is() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let key = [("idempotency-key", "once")];
        let first = run_with(stack, &key, order()).await.expect(200);
        let mut newer = shop();
        newer["deadline_ms"] = json!(20_000);
        put(stack, "shop/2", newer).await.expect(201);
        let again = run_with(stack, &key, order()).await.expect(200);
        assert_eq!(again.text, first.text);
        assert!(again.is_replayed());
        let with_version = |version: i32| {
            let mut body = order();
            body["version"] = json!(version);
            body
        };
        assert_eq!(run_with(stack, &key, with_version(1)).await.expect(200).text, first.text);
        assert_problem(&run_with(stack, &key, with_version(2)).await, 422);
        let mut other = order();
        other["input"]["product"] = json!(4);
        assert_problem(&run_with(stack, &key, other).await, 422);
        let fresh = run(stack, order()).await.expect(200).json();
        assert_eq!(fresh["version"], 2, "the newest that all live nodes know");
        // A purchase of the same key is another one.
        let body = json!({ "user_id": "ada", "amount": 5 }).to_string();
        let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/saga/transaction");
        let request = request.header("content-type", "application/json").header("idempotency-key", "once").body(body);
        assert!(!tests::http::send(request).await.expect(200).is_replayed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_need_not_wait_and_may_cancel() {
    let options = StackOptions::default()
        .set("faults.payments.charge.latency_ms.min", 1_000)
        .set("faults.payments.charge.latency_ms.max", 1_000);
    with_stack(options, async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let accepted = run_with(stack, &[("prefer", "respond-async")], order()).await.expect(202);
        let id = accepted.json()["saga_id"].as_str().unwrap().to_owned();
        assert_eq!(accepted.header("location"), Some(&*format!("/sagas/{id}")));
        stack.post(ORCHESTRATOR, &format!("/sagas/{id}/cancel"), "").await.expect(202);
        wait_until("it is undone", PATIENCE, async || {
            (stack.get(ORCHESTRATOR, &format!("/sagas/{id}")).await.json()["status"] == "COMPENSATED").then_some(())
        })
        .await;
        let view = show(stack, &json!(id)).await;
        assert_eq!(view["error"], "409: Cancelled");
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_does_not_fit_is_refused_with_every_error() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let bad = json!({ "definition": "shop", "input": { "user": "", "product": 0, "colour": "red" } });
        let answer = run(stack, bad).await.expect(422);
        let fields: Vec<String> = answer.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["field"].as_str().unwrap().to_owned())
            .collect();
        for field in ["/input/user", "/input/product", "/input"] {
            assert!(fields.iter().any(|one| one == field), "{field}: {fields:?}");
        }
        let named = |name: &str| json!({ "definition": name, "input": {} });
        assert_bad_fields(&run(stack, named("ship")).await, 422, &["definition"]);
        // The checkout is started by its own route, which knows its input.
        assert_bad_fields(&run(stack, named("checkout")).await, 422, &["definition"]);
        let mut of_version = order();
        of_version["version"] = json!(9);
        assert_bad_fields(&run(stack, of_version).await, 422, &["version"]);
        assert_bad_fields(&run(stack, json!({ "input": {} })).await, 422, &["definition"]);
        assert_bad_fields(&run(stack, json!({ "steps": [], "input": {} })).await, 422, &["steps"]);
        let rows = stack.database(ORCHESTRATOR).await.number("select count(*) from saga", &[]).await;
        assert_eq!(rows, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_would_change_is_refused_with_its_pointer() {
    with_stack(StackOptions::default().set("sagas.inline", true), async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let shop_with = |input: &str| format!(r#"{{"definition":"shop","input":{input}}}"#);
        let input = r#"{"user":"ada","product":18446744073709551616,"amount":100000000000000.01}"#;
        let answer = stack.post(ORCHESTRATOR, "/sagas", shop_with(input)).await;
        assert_bad_fields(&answer, 422, &["/input/product", "/input/amount"]);
        assert!(
            answer.text.contains("100000000000000.01 cannot be carried exactly: write it as a string"),
            "{answer:?}"
        );
        let twice = shop_with(r#"{"user":"ada","product":3,"amount":12.5,"amount":1}"#);
        assert_bad_fields(&stack.post(ORCHESTRATOR, "/sagas", twice).await, 422, &["/input/amount"]);
        let steps = shop()["steps"].to_string().replace(r#""quantity":1"#, r#""quantity":1e-400"#);
        let inline = format!(r#"{{"steps":{steps},"input":{}}}"#, order()["input"]);
        let answer = stack.post(ORCHESTRATOR, "/sagas", inline).await;
        assert_bad_fields(&answer, 422, &["/steps/1/action/body/quantity"]);
        let rows = stack.database(ORCHESTRATOR).await.number("select count(*) from saga", &[]).await;
        assert_eq!(rows, 0);
        let other_notation = shop_with(r#"{"user":"ada","product":3,"amount":1.250e1}"#);
        stack.post(ORCHESTRATOR, "/sagas", other_notation).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_may_bring_its_steps_along_where_that_is_allowed() {
    with_stack(StackOptions::default().set("sagas.inline", true), async |stack: &Stack| {
        let body = json!({ "steps": shop()["steps"], "input": order()["input"] });
        let answer = run(stack, body.clone()).await.expect(200).json();
        assert_eq!((&answer["definition"], &answer["status"]), (&json!("inline"), &json!("COMPLETED")), "{answer}");
        stack.restart(ORCHESTRATOR).await;
        let view = show(stack, &answer["saga_id"]).await;
        assert_eq!(view["outputs"], answer["outputs"]);
        let mut wrong = body;
        wrong["steps"][0]["participant"] = json!("nobody");
        assert_eq!(run(stack, wrong).await.status, 422);
        transactions::consistent(stack).await;
    })
    .await;
}

/// As the node of a configuration that lacks the participant: it claims the sagas of every node that brought their steps.
#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_steps_cannot_be_run_any_more_is_set_aside_and_named() {
    let options = StackOptions::default()
        .set("sagas.inline", true)
        .set("faults.purchases.create.latency_ms.min", 1_500)
        .set("faults.purchases.create.latency_ms.max", 1_500);
    with_stack(options, async |stack: &Stack| {
        let body = json!({ "steps": shop()["steps"], "input": order()["input"] });
        let accepted = run_with(stack, &[("prefer", "respond-async")], body).await.expect(202).json();
        stack.crash(ORCHESTRATOR).await;
        let saga_log = stack.database(ORCHESTRATOR).await;
        let rename = async |from: &str, to: &str| {
            saga_log.rows("update saga set input = replace(input, $1, $2)", &[&from, &to]).await;
        };
        rename("\"payments\"", "\"gone\"").await;
        stack.start_again(ORCHESTRATOR).await;
        let row = async || -> (Option<String>, i32) {
            let rows = saga_log.rows("select attention, epoch from saga", &[]).await;
            (rows[0].get(0), rows[0].get(1))
        };
        let (reason, epoch) = wait_until("it is named", PATIENCE, async || {
            let (attention, epoch) = row().await;
            attention.map(|reason| (reason, epoch))
        })
        .await;
        assert!(
            reason.ends_with("this node cannot make its definition inline/1: its configuration may lack a participant")
        );
        assert!(epoch < 10, "it was claimed {epoch} times");
        rename("\"gone\"", "\"payments\"").await;
        stack.post(ORCHESTRATOR, "/saga/attention/retry", "").await.expect(202);
        wait_until("it completes", PATIENCE, async || {
            let path = format!("/sagas/{}", accepted["saga_id"].as_str()?);
            (stack.get(ORCHESTRATOR, &path).await.json()["status"] == "COMPLETED").then_some(())
        })
        .await;
        assert_eq!(row().await.0, None);
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_survives_its_orchestrator() {
    let options = StackOptions::default()
        .set("faults.purchases.create.latency_ms.min", 1_500)
        .set("faults.purchases.create.latency_ms.max", 1_500);
    with_stack(options, async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let accepted = run_with(stack, &[("prefer", "respond-async")], order()).await.expect(202).json();
        stack.crash(ORCHESTRATOR).await;
        stack.start_again(ORCHESTRATOR).await;
        let id = accepted["saga_id"].as_str().unwrap().to_owned();
        wait_until("it completes", PATIENCE, async || {
            (stack.get(ORCHESTRATOR, &format!("/sagas/{id}")).await.json()["status"] == "COMPLETED").then_some(())
        })
        .await;
        let view = show(stack, &accepted["saga_id"]).await;
        assert!(view["outputs"]["record"]["purchase"].is_i64(), "{view}");
        assert_eq!(view["takeovers"].as_array().map(Vec::len), Some(1), "{view}");
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_filter_by_definition() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        for _ in 0..3 {
            run(stack, order()).await.expect(200);
        }
        stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "ada", "amount": 5 })).await.expect(200);
        let total = async |query: &str| {
            let page = stack.get(ORCHESTRATOR, &format!("/sagas{query}")).await.expect(200).json();
            (page["total"].as_i64().unwrap(), page["sagas"].as_array().unwrap().len())
        };
        assert_eq!(total("").await, (4, 4));
        assert_eq!(total("?definition=shop").await, (3, 3));
        assert_eq!(total("?definition=checkout").await, (1, 1));
        assert_eq!(total("?definition=shop&status=COMPLETED").await, (3, 3));
        assert_eq!(total("?definition=shop&status=FAILED").await, (0, 0));
        assert_eq!(total("?definition=none").await, (0, 0));
        let page = stack.get(ORCHESTRATOR, "/sagas?definition=shop&limit=2").await.expect(200).json();
        let rest = format!("/sagas?definition=shop&limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
        assert_eq!(stack.get(ORCHESTRATOR, &rest).await.expect(200).json()["sagas"].as_array().unwrap().len(), 1);
        let all = stack.get(ORCHESTRATOR, "/saga/transactions").await.expect(200).json();
        assert_eq!(all["total"], 4, "both families see all sagas");
        for path in ["/sagas", "/saga/transactions", "/ui/api/sagas"] {
            for (name, said) in [
                ("", "expected the name of a definition: a lower-case letter"),
                ("%00", "expected the name of a definition: "),
                ("A", "expected the name of a definition: "),
                (&"x".repeat(64), "expected the name of a definition: "),
                ("checkout/1", "expected the name of a definition without its version: checkout"),
                ("shop%2F1", "expected the name of a definition without its version: shop"),
            ] {
                let answer = stack.get(ORCHESTRATOR, &format!("{path}?definition={name}")).await;
                assert_bad_fields(&answer, 422, &["definition"]);
                assert!(answer.text.contains(said), "{path} {name}: {}", answer.text);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_of_the_orchestrator_itself_says_how_its_sagas_are_started() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let of_steps = json!({ "definition": "inline", "input": { "steps": shop()["steps"], "input": {} } });
        for (request, said) in [
            (json!({ "definition": "checkout" }), "POST /saga/transaction, or `ecommerce order`"),
            (json!({ "definition": "checkout", "version": 1 }), "POST /saga/transaction, or `ecommerce order`"),
            (json!({ "definition": "dtm" }), "POST /api/dtmsvr/submit"),
            (json!({ "definition": "inline" }), "POST /sagas takes steps"),
            (of_steps, "POST /sagas takes steps"),
            (json!({ "definition": "checkouts" }), "there is no definition checkouts"),
        ] {
            let answer = run(stack, request).await;
            assert_bad_fields(&answer, 422, &["definition"]);
            assert!(answer.text.contains(said), "{}", answer.text);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_on_any_saga_speak_of_sagas() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        put(stack, "shop/1", shop()).await.expect(201);
        let done = run(stack, order()).await.expect(200).json();
        let id = done["saga_id"].as_str().expect("a saga has an id");
        let ended = "the saga has ended: COMPLETED";
        for (operation, body, detail) in [
            ("cancel", json!({}), ended),
            ("retry", json!({}), ended),
            ("resolve", json!({ "note": "n" }), "the saga is COMPLETED and not in the attention list"),
        ] {
            for family in ["saga", "sagas"] {
                let answer = stack.post(ORCHESTRATOR, &format!("/{family}/{id}/{operation}"), body.clone()).await;
                assert_eq!(answer.expect(409).json()["detail"], detail, "/{family}/…/{operation}");
            }
        }
    })
    .await;
}
