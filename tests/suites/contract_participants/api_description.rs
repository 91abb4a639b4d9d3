//! The API descriptions of all five services, the orchestrator included (contract, section 1): valid, complete, and in
//! agreement with real answers. The orchestrator's answers are tested in its own suite.

use std::collections::BTreeSet;

use reqwest::{
    Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions,
    api_description::{ApiDescription, validator},
    http::{Answer, send},
    operations::OPERATIONS,
    stack::{ORCHESTRATOR, SERVICES, new_transaction, with_json},
    with_stack,
};

/// The paths of all services, their methods, and their services: `*` for all five, `+` for the participants. A new
/// route must be added here.
const ROUTES: &str = "
*            GET    /health/
*            GET    /health/live/
*            GET    /metrics/
*            GET    /openapi.json
*            GET    /docs
*            GET    /debug/actors/
*            GET    /debug/actors/{name}
+            GET    /debug/faults/
+            PUT    /debug/faults/
+            GET    /journal/{transaction_id}/
catalog      GET    /products/random/
catalog      GET    /products/{product_id}/
catalog      GET    /products/
payments     POST   /payments/
payments     POST   /payments/{payment_id}/refund/
payments     POST   /payments/by-transaction/{transaction_id}/refund/
payments     GET    /payments/{payment_id}/
payments     GET    /payments/by-transaction/{transaction_id}/
inventory    POST   /inventory/decrease/
inventory    POST   /inventory/restore/by-transaction/{transaction_id}/
inventory    POST   /inventory/restock/
inventory    GET    /inventory/{product_id}/
purchases    POST   /purchases/
purchases    GET    /purchases/
purchases    GET    /purchases/{purchase_id}/
purchases    DELETE /purchases/{purchase_id}/cancel/
purchases    DELETE /purchases/by-transaction/{transaction_id}/cancel/
orchestrator GET    /
orchestrator GET    /ui/
orchestrator GET    /ui/{file}
orchestrator GET    /ui/api/summary
orchestrator GET    /ui/api/sagas
orchestrator GET    /ui/api/services
orchestrator GET    /ui/api/faults
orchestrator GET    /ui/api/attention
orchestrator GET    /ui/api/recent
orchestrator GET    /ui/api/sagas/{saga_id}/changes
orchestrator PUT    /ui/api/faults
orchestrator GET    /ui/api/stock
orchestrator POST   /ui/api/stock
orchestrator POST   /saga/transaction
orchestrator GET    /saga/status/{transaction_id}
orchestrator GET    /saga/transactions
orchestrator GET    /saga/events
orchestrator POST   /saga/{transaction_id}/cancel
orchestrator GET    /saga/attention
orchestrator POST   /saga/attention/retry
orchestrator GET    /saga/{transaction_id}/inspect
orchestrator POST   /saga/{transaction_id}/retry
orchestrator POST   /saga/{transaction_id}/resolve
orchestrator POST   /saga/release
orchestrator POST   /sagas
orchestrator GET    /sagas
orchestrator GET    /sagas/{saga_id}
orchestrator GET    /sagas/events
orchestrator POST   /sagas/{saga_id}/cancel
orchestrator GET    /sagas/{saga_id}/inspect
orchestrator POST   /sagas/{saga_id}/retry
orchestrator POST   /sagas/{saga_id}/resolve
orchestrator GET    /sagas/definitions
orchestrator GET    /sagas/definitions/{name}/{version}
orchestrator PUT    /sagas/definitions/{name}/{version}
";

/// Runs a test on each of the five services of one stack.
async fn each_description(test: impl AsyncFn(&Stack, &'static str, ApiDescription)) {
    let options = StackOptions::default().set("orchestrator.attention_after_attempts", 1);
    with_stack(options, async |stack: &Stack| {
        for service in SERVICES {
            test(stack, service, ApiDescription::of(stack, service).await).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_document_of_openapi_3_1() {
    let openapi = serde_json::from_str(include_str!("../../data/openapi-3.1.schema.json")).expect("a JSON file");
    let openapi = validator(&openapi);
    each_description(async |_, service, description| {
        let document = description.document();
        let errors: Vec<String> =
            openapi.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{service}: {errors:#?}");
        // That schema leaves the inner schemas to their dialect: JSON Schema 2020-12.
        for (name, schema) in document["components"]["schemas"].as_object().expect("there are schemas") {
            let checked = jsonschema::meta::validate(schema);
            assert!(checked.is_ok(), "{service}: {name}: {}", checked.unwrap_err());
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{service}: {reference} leads nowhere");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lists_exactly_the_routes_of_the_service() {
    each_description(async |stack, service, description| {
        let described: BTreeSet<(&str, &str)> =
            description.operations().iter().map(|one| (one.method, one.path)).collect();
        let rows = ROUTES.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let expected: BTreeSet<(&str, &str)> = rows
            .filter_map(|row| match row[..] {
                [whose, method, path] => {
                    let has = whose == "*" || whose == service || whose == "+" && service != ORCHESTRATOR;
                    has.then_some((method, path))
                }
                _ => None,
            })
            .collect();
        assert_eq!(described, expected, "{service}");
        // Compare with the `Allow` header. An id may equal a literal segment, so a path may match several templates.
        for (_, template) in &described {
            let path = template.replace(['{', '}'], "");
            let fitting = described.iter().filter(|(_, template)| fits(template, &path));
            let methods: BTreeSet<&str> = fitting.map(|(method, _)| *method).collect();
            let answer = send(stack.request(Method::PATCH, service, &path)).await.expect(405);
            let allow: BTreeSet<&str> = answer.header("allow").unwrap_or_default().split(", ").collect();
            let allowed = allow.into_iter().filter(|method| *method != "HEAD").collect();
            assert_eq!(methods, allowed, "{service} {path}");
        }
    })
    .await;
}

/// The definition of the example of `POST /sagas`.
fn trip() -> Value {
    json!({
        "input": { "type": "object", "properties": { "city": { "type": "string" } } },
        "steps": [{
            "name": "look", "participant": "catalog", "read_only": true,
            "action": { "method": "GET", "path": "/products/random/" }
        }]
    })
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(path).all(|(own, given)| own.starts_with('{') || *own == given)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted_and_what_is_called_required_is() {
    each_description(async |stack, service, description| {
        if service == ORCHESTRATOR {
            let request = stack.request(Method::PUT, ORCHESTRATOR, "/sagas/definitions/trip/1");
            send(with_json(request, trip())).await.expect(201);
        }
        // The members of a definition have a reference and tests of their own.
        for one in description.operations().into_iter().filter(|one| !one.path.starts_with("/sagas/definitions/")) {
            let Some(content) = one.operation["requestBody"]["content"]["application/json"].as_object() else {
                continue;
            };
            let (schema, example) = (&content["schema"], &content["example"]);
            assert_eq!(description.validate(schema, example), Ok(()), "{service} {}", one.path);
            let ask = async |body: &Value| {
                let mut body = body.clone();
                if let Some(id) = body.get_mut("transaction_id") {
                    *id = json!(new_transaction());
                }
                let path = place_of(stack, one.path).await;
                let method = Method::from_bytes(one.method.as_bytes()).expect("a method");
                let answer = send(with_json(stack.request(method, service, &path), body)).await;
                assert_eq!(description.check(one.method, &path, &answer), Ok(()), "{service} {path}");
                answer
            };
            assert_eq!(ask(example).await.status, 200, "{service} {}: {example}", one.path);
            let full = description.resolve(schema);
            let required: BTreeSet<&str> =
                full["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            assert!(
                full["properties"]
                    .as_object()
                    .is_some_and(|fields| required.iter().all(|field| fields.contains_key(*field)))
            );
            for field in example.as_object().expect("bodies are objects").keys() {
                let mut without = example.clone();
                without.as_object_mut().expect("it is one").remove(field);
                let answer = ask(&without).await;
                let named: Vec<Value> = match answer.status {
                    200 => Vec::new(),
                    _ => answer.json()["errors"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|one| one["field"].clone())
                        .collect(),
                };
                // Steps may come in its place, so the schema does not require it.
                let is_either = one.path == "/sagas" && field == "definition";
                let is_missed = required.contains(field.as_str()) || is_either;
                let expected = if is_missed { vec![json!(field)] } else { Vec::new() };
                assert_eq!(named, expected, "{service} {} without {field}: {}", one.path, answer.text);
            }
            for field in required {
                assert!(example.get(field).is_some(), "{service} {}: the example has no {field}", one.path);
            }
        }
    })
    .await;
}

/// Replaces the placeholders of a path by existing ids.
async fn place_of(stack: &Stack, path: &str) -> String {
    if path.starts_with("/saga/{transaction_id}/") || path.starts_with("/sagas/{saga_id}/") {
        let id = failed_purchase(stack).await;
        return path.replace("{transaction_id}", &id).replace("{saga_id}", &id);
    }
    let mut path = path.replace("{transaction_id}", &new_transaction());
    if path.contains("{payment_id}") {
        let body = json!({ "user_id": "u", "transaction_id": new_transaction(), "amount": 5 });
        let payment = stack.post("payments", "/payments/", body).await.expect(200).json();
        path = path.replace("{payment_id}", &payment["payment_id"].to_string());
    }
    path
}

/// Makes a purchase that is and stays in the attention list: refunds fail from now on.
async fn failed_purchase(stack: &Stack) -> String {
    stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 1 } })).await;
    stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
    let body = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
    let failed = stack.post(ORCHESTRATOR, "/saga/transaction", body).await.expect(502).json();
    stack.set_faults("purchases", json!({ "create": { "failure_rate": 0 } })).await;
    failed["transaction_id"].as_str().expect("a transaction id is a string").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_participants_answer_is_as_described() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let description = ApiDescription::of(stack, operation.service).await;
            let check = async |method: &str, request: RequestBuilder, status: u16| {
                let built = request.try_clone().and_then(|request| request.build().ok()).expect("a whole request");
                let answer = send(request).await;
                assert_eq!(answer.status, status, "{}: {}", operation.service, answer.text);
                let path = built.url().path().to_owned();
                assert_eq!(description.check(method, &path, &answer), Ok(()), "{}: {path}", operation.service);
                answer
            };
            let how = operation.compensation(stack, "x").build().expect("a request").method().to_string();
            let (done, refused, early) = (new_transaction(), new_transaction(), new_transaction());
            // Done, replayed, other contents.
            check("POST", operation.action(stack, &done), 200).await;
            let again = check("POST", operation.action(stack, &done), 200).await;
            assert!(again.is_replayed());
            check("POST", operation.action_with(stack, &done, operation.other()[0]), 422).await;
            // Undone, replayed, too late.
            check(&how, operation.compensation(stack, &done), 200).await;
            check(&how, operation.compensation(stack, &done), 200).await;
            check("POST", operation.action(stack, &done), 409).await;
            // Undone before it arrived.
            check(&how, operation.compensation(stack, &early), 200).await;
            check("POST", operation.action(stack, &early), 409).await;
            // Refused, replayed.
            stack.set_faults(operation.service, json!({ operation.action: { "failure_rate": 1 } })).await;
            check("POST", operation.action(stack, &refused), 409).await;
            check("POST", operation.action(stack, &refused), 409).await;
            check(&how, operation.compensation(stack, &refused), 200).await;
            // Unavailable.
            stack.set_faults(operation.service, json!({ operation.action: { "unavailable_rate": 1 } })).await;
            check("POST", operation.action(stack, &new_transaction()), 503).await;
            // Unreadable.
            let unused = || new_transaction();
            check("POST", operation.action_with(stack, &unused(), "{}"), 400).await;
            check("POST", operation.action_with(stack, &unused(), "["), 400).await;
            check("POST", operation.action_with(stack, &unused(), &" ".repeat(70_000)), 413).await;
            let text = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
            check("POST", operation.action(stack, &unused()).headers(text), 415).await;
            for id in [done, refused, early] {
                let path = format!("/journal/{id}/");
                check("GET", stack.request(Method::GET, operation.service, &path), 200).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_as_described() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let id = new_transaction();
        for operation in &OPERATIONS {
            operation.act(stack, &id).await.expect(200);
        }
        let by_id = |answer: &Answer, field: &str| answer.json()[field].to_string();
        let payment = stack.get("payments", &format!("/payments/by-transaction/{id}/")).await.expect(200);
        let purchase = stack.get("purchases", &format!("/purchases/{id}/")).await.expect(200);
        let payment = format!("/payments/{}/", by_id(&payment, "payment_id"));
        let purchase = format!("/purchases/{}/", by_id(&purchase, "purchase_id"));
        let (of_transaction, its_purchase) = (format!("/payments/by-transaction/{id}/"), format!("/purchases/{id}/"));
        let rows: [(&str, &str, u16); 22] = [
            ("catalog", "/products/random/", 200),
            ("catalog", "/products/7/", 200),
            ("catalog", "/products/77/", 404),
            ("catalog", "/products/?limit=3", 200),
            ("catalog", "/products/?limit=0", 400),
            ("catalog", "/journal/x/", 200),
            ("payments", &payment, 200),
            ("payments", "/payments/77/", 404),
            ("payments", &of_transaction, 200),
            ("payments", "/payments/by-transaction/x/", 404),
            ("inventory", "/inventory/1/", 200),
            ("inventory", "/inventory/77/", 404),
            ("purchases", &purchase, 200),
            ("purchases", &its_purchase, 200),
            ("purchases", "/purchases/77/", 404),
            ("purchases", "/purchases/?limit=1&user_id=user-1", 200),
            ("purchases", "/purchases/?cursor=x", 400),
            ("payments", "/health/", 200),
            ("payments", "/metrics/", 200),
            ("payments", "/docs", 200),
            ("payments", "/debug/faults/", 200),
            ("payments", "/debug/actors/", 200),
        ];
        for (service, path, status) in rows {
            let description = ApiDescription::of(stack, service).await;
            let answer = stack.get(service, path).await.expect(status);
            assert_eq!(description.check("GET", path, &answer), Ok(()), "{service} {path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_behind_a_prefix_and_needs_no_token() {
    let options = StackOptions::default()
        .set("auth.operator_token", "operator")
        .set("auth.api_token", "client")
        .set("auth.service_token", "service");
    with_stack(options, async |stack: &Stack| {
        for service in SERVICES {
            let prefix = format!("/{service}");
            let ask = async |path: &str| {
                let request = stack.request(Method::GET, service, path).header("X-Forwarded-Prefix", &prefix);
                send(request).await.expect(200)
            };
            let document = ask("/openapi.json").await.json();
            assert_eq!(document["servers"], json!([{ "url": prefix }]));
            let page = ask("/docs").await;
            assert!(page.text.contains(&format!("href=\"{prefix}/openapi.json\"")), "{service}");
            assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
            let head = send(stack.request(Method::HEAD, service, "/docs")).await.expect(200);
            assert_eq!(head.text, "");
        }
    })
    .await;
}
