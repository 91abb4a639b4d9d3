//! The files and data of the dashboard, requested over HTTP. Its appearance is tested in the browser suite.

use reqwest::{Method, header::ACCEPT};
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, http::send, problem::assert_bad_fields, stack::ORCHESTRATOR, stack::with_json,
    wait_until, with_stack,
};

use super::buy;

/// Asks without following where it leads.
async fn get_with(stack: &Stack, path: &str, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, String) {
    let http =
        common::tls::http_client().redirect(reqwest::redirect::Policy::none()).build().expect("a client can be made");
    let mut request = http.get(format!("http://{}{path}", stack.address(ORCHESTRATOR)));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("there is an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_sent_to_the_dashboard_and_a_program_is_told_what_this_is() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        for (prefix, place) in [("", "/ui/"), ("/orchestrator", "/orchestrator/ui/"), ("//evil.example", "/ui/")] {
            let (status, headers, _) =
                get_with(stack, "/", &[(ACCEPT.as_str(), browser), ("x-forwarded-prefix", prefix)]).await;
            assert_eq!((status, headers["location"].to_str().unwrap()), (302, place), "behind {prefix:?}");
        }
        for accept in ["*/*", "application/json", "text/html;q=0", "application/json, text/html; q=0.0"] {
            let (status, _, text) = get_with(stack, "/", &[(ACCEPT.as_str(), accept)]).await;
            assert_eq!(status, 200);
            assert!(text.contains("Saga Orchestrator"), "{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_browser_has_is_not_sent_again_and_the_page_may_load_nothing_foreign() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let (status, headers, page) = get_with(stack, "/ui/", &[]).await;
        assert_eq!(status, 200);
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        // Everything is named relative to the page, so that it works behind any prefix.
        for absolute in ["href=\"/", "src=\"/", "http://", "https://"] {
            assert!(!page.contains(absolute), "{absolute}");
        }
        let tag = headers["etag"].to_str().unwrap();
        let (status, headers, text) = get_with(stack, "/ui/", &[("if-none-match", tag)]).await;
        assert_eq!((status, text.as_str(), headers["etag"].to_str().unwrap()), (304, "", tag));
        let (status, plain, script) = get_with(stack, "/ui/js/main.js", &[]).await;
        assert_eq!((status, plain.get("content-encoding")), (200, None));
        let (_, packed, _) = get_with(stack, "/ui/js/main.js", &[("accept-encoding", "gzip")]).await;
        assert_eq!(packed["content-encoding"], "gzip");
        let length = packed["content-length"].to_str().unwrap().parse::<usize>().unwrap();
        assert!(length < script.len() / 2, "{length} of {}", script.len());
        for known in [&tag[2..], &format!("\"x\", {tag}"), "*"] {
            assert_eq!(get_with(stack, "/ui/", &[("if-none-match", known)]).await.0, 304, "{known}");
        }
        for refused in ["gzip;q=0", "*;q=0", "gzip; q=0.000, br"] {
            let (_, plain, _) = get_with(stack, "/ui/js/main.js", &[("accept-encoding", refused)]).await;
            assert_eq!(plain.get("content-encoding"), None, "{refused}");
        }
        for path in ["/ui/../Cargo.toml", "/ui/%2e%2e/Cargo.toml", "/ui/js", "/ui/js/"] {
            assert_eq!(get_with(stack, path, &[]).await.0, 404, "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_the_dashboard_is_compressed_for_clients_that_take_it() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.database(ORCHESTRATOR).await.run(&ended_sagas(200)).await;
        let path = "/ui/api/sagas?limit=200";
        let (status, plain, text) = get_with(stack, path, &[]).await;
        assert_eq!((status, plain.get("content-encoding")), (200, None));
        let (status, packed, _) = get_with(stack, path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(
            (status, &packed["content-encoding"], &packed["vary"]),
            (200, &"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
        );
        let length = packed["content-length"].to_str().unwrap().parse::<usize>().unwrap();
        assert!(length < text.len() / 4, "{length} of {}", text.len());
        // A small answer fits into a packet.
        let (status, small, _) = get_with(stack, "/ui/api/attention", &[("accept-encoding", "gzip")]).await;
        assert_eq!((status, small.get("content-encoding")), (200, None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ends_of_a_range_are_read_with_their_reasons_and_say_where_they_begin_if_they_are_cut() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.database(ORCHESTRATOR).await.run(&ended_sagas(100)).await;
        let recent = async |minutes: &str| {
            let path = format!("/ui/api/recent?minutes={minutes}");
            stack.get(ORCHESTRATOR, &path).await.expect(200).json()
        };
        let hour = recent("60").await;
        assert_eq!((&hour["all"]["completed"], &hour["all"]["compensated"]), (&json!(25), &json!(75)));
        assert_eq!((&hour["since"], hour["interval_s"].as_i64()), (&json!(null), Some(60)));
        // One reason, whatever the numbers in it.
        let reasons = hour["reasons"].as_array().unwrap();
        assert_eq!(reasons.len(), 1, "{hour}");
        assert_eq!(
            (&reasons[0]["reason"], &reasons[0]["sagas"]),
            (&json!("409: payments conflict: no money …"), &json!(75))
        );
        let more = ended_sagas(20_100).replace("generate_series(1,", "generate_series(101,");
        stack.database(ORCHESTRATOR).await.run(&more).await;
        let day = recent("1440").await;
        assert!(day["since"].is_string(), "{day}");
        let total = |name: &str| day["all"][name].as_i64().unwrap();
        assert_eq!(total("completed") + total("compensated"), 20_000);
        assert_bad_fields(&stack.get(ORCHESTRATOR, "/ui/api/recent?minutes=7").await, 422, &["minutes"]);
        stack.get(ORCHESTRATOR, "/ui/api/sagas/01890000-0000-7000-8000-000000000000/changes").await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_there_with_and_without_its_last_slash_and_finds_its_files_from_both() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let (_, _, page) = get_with(stack, "/ui/", &[]).await;
        let (status, headers, above) = get_with(stack, "/ui", &[]).await;
        assert_eq!(status, 200);
        // A browser resolves `js/main.js` in a page at `/ui` with this base to `/ui/js/main.js`.
        assert!(
            above.contains(r#"<base href="ui/">"#)
                && headers["content-security-policy"].to_str().unwrap().contains("base-uri 'self'")
        );
        assert_eq!(above.replacen("\n  <base href=\"ui/\">", "", 1), page);
        let tag = headers["etag"].to_str().unwrap();
        assert_eq!(get_with(stack, "/ui", &[("if-none-match", tag)]).await.0, 304);
        assert_eq!(get_with(stack, "/ui/", &[("if-none-match", tag)]).await.0, 200, "the other form is not this one");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_counts_what_runs_what_ended_and_how_fast() {
    let options = StackOptions::default()
        .set("orchestrator.attention_after_attempts", 1)
        .set("retry.failed.backoff_min_ms", 60_000_000)
        .set("retry.failed.backoff_max_ms", 60_000_000);
    with_stack(options, async |stack: &Stack| {
        let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
        for _ in 0..3 {
            buy(stack, order.clone()).await.expect(200);
        }
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        buy(stack, order.clone()).await.expect(409);
        stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 1 } })).await;
        buy(stack, order).await.expect(502);
        let ended = json!({ "completed": 3, "compensated": 1, "failed": 0, "is_exact": true });
        // It may be a second old.
        let summary = wait_until("the summary has all", PATIENCE, async || {
            let summary = stack.get(ORCHESTRATOR, "/ui/api/summary").await.expect(200).json();
            (summary["ended"] == ended && summary["failed"] == 1).then_some(summary)
        })
        .await;
        for (status, count) in [("PENDING", 0), ("COMPLETED", 3), ("COMPENSATED", 1), ("FAILED", 1)] {
            let list = stack.get(ORCHESTRATOR, &format!("/ui/api/sagas?status={status}")).await.expect(200).json();
            let sagas = list["transactions"].as_array().unwrap();
            assert!(sagas.len() == count && sagas.iter().all(|saga| saga["status"] == status), "{status}: {list}");
        }
        let of = |name: &str| summary[name].as_i64().unwrap();
        assert_eq!((of("pending"), of("compensating"), of("attention")), (0, 0, 1));
        let recent = stack.get(ORCHESTRATOR, "/ui/api/recent").await.expect(200).json();
        let intervals = recent["intervals"].as_array().unwrap();
        let total = |name: &str| intervals.iter().map(|interval| interval[name].as_i64().unwrap()).sum::<i64>();
        assert_eq!((total("completed"), total("compensated")), (3, 1));
        for interval in intervals {
            let quantiles = ["p50_ms", "p90_ms", "p99_ms"].map(|name| interval[name].as_f64().unwrap());
            assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{interval}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_of_very_many_is_an_estimate_and_says_so() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let sagas = stack.database(ORCHESTRATOR).await;
        sagas.run(&ended_sagas(25_000)).await;
        sagas.run("analyze saga").await;
        let summary = stack.get(ORCHESTRATOR, "/ui/api/summary").await.expect(200).json();
        let ended = &summary["ended"];
        assert_eq!(ended["is_exact"], false, "{ended}");
        let about = |name: &str| ended[name].as_i64().unwrap();
        // One in four completes; a sample of the rows shows it well enough.
        assert!((5_000..=7_500).contains(&about("completed")), "{ended}");
        assert!((17_500..=20_000).contains(&about("compensated")), "{ended}");
    })
    .await;
}

/// SQL that makes so many sagas that ended, one in four of them completed, by as many users.
pub(super) fn ended_sagas(count: u32) -> String {
    format!(
        "insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                           owner_incarnation, deadline_at, ended_at, error)
         select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'checkout', 1, 'user-' || n, 5,
                case when n % 4 = 0 then 'COMPLETED' else 'COMPENSATED' end, gen_random_uuid(), 'n', gen_random_uuid(),
                now(), now(), case when n % 4 = 0 then null else '409: payments conflict: no money ' || n end
         from generate_series(1, {count}) n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_looks_at_a_bounded_part_and_goes_on_from_there() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.database(ORCHESTRATOR).await.run(&ended_sagas(12_000)).await;
        let search =
            async |query: &str| stack.get(ORCHESTRATOR, &format!("/ui/api/sagas?{query}")).await.expect(200).json();
        let users = |page: &Value| {
            let sagas = page["transactions"].as_array().unwrap();
            sagas.iter().map(|saga| saga["user_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        // Newest first: the wanted one is the oldest but a hundred, out of reach of the first part.
        let first = search("text=MONEY%20101&status=COMPENSATED&limit=5").await;
        assert_eq!(users(&first), ["user-10199", "user-10198", "user-10197", "user-10195", "user-10194"]);
        let first = search("text=user-101&user_id=user-101&limit=5").await;
        assert_eq!((users(&first), &first["next_cursor"]), (vec!["user-101".to_owned()], &Value::Null));
        let first = search("text=000000000065&limit=5").await;
        assert_eq!(users(&first), Vec::<String>::new());
        let next =
            search(&format!("text=000000000065&limit=5&cursor={}", first["next_cursor"].as_str().unwrap())).await;
        assert_eq!((users(&next), &next["next_cursor"]), (vec!["user-101".to_owned()], &Value::Null));
        let plain = search("limit=2").await;
        assert_eq!(users(&plain), ["user-12000", "user-11999"]);
        assert!(plain["next_cursor"].is_string());
        assert_eq!(users(&search("status=PENDING").await), Vec::<String>::new());
        let long = format!("/ui/api/sagas?text={}", "x".repeat(101));
        assert_bad_fields(&stack.get(ORCHESTRATOR, &long).await, 422, &["text"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_services_and_replicas_show_their_trees_and_who_does_not_answer_is_named() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.stop("inventory").await;
        let view = stack.get(ORCHESTRATOR, "/ui/api/services").await.expect(200).json();
        let services = view["services"].as_array().unwrap();
        let names: Vec<_> = services.iter().map(|service| service["service"].as_str().unwrap()).collect();
        assert_eq!(names, ["orchestrator", "catalog", "payments", "inventory", "purchases"]);
        for service in services {
            let replica = &service["replicas"][0];
            let is_down = service["service"] == "inventory";
            assert_eq!(replica["error"].is_string(), is_down, "{replica}");
            assert_eq!(replica["actors"]["children"].is_array(), !is_down, "{replica}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_configured_are_all_asked_and_all_changed() {
    let nobody = "http://127.0.0.1:9";
    let options = StackOptions::default().set("ui.replicas.payments", format!("{nobody}, http://localhost:9/"));
    with_stack(options, async |stack: &Stack| {
        let view = stack.get(ORCHESTRATOR, "/ui/api/faults").await.expect(200).json();
        let payments = view["services"].as_array().unwrap().iter().find(|one| one["service"] == "payments").unwrap();
        let urls: Vec<_> =
            payments["replicas"].as_array().unwrap().iter().map(|one| one["url"].as_str().unwrap()).collect();
        assert_eq!(urls, [nobody, "http://localhost:9"]);
        assert!(payments["replicas"].as_array().unwrap().iter().all(|one| one["error"].is_string()), "{payments}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_settings_are_changed_in_one_place_and_bad_ones_are_all_named() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let put = async |body: Value| send(with_json(stack.request(Method::PUT, ORCHESTRATOR, "/ui/api/faults"), body)).await;
        let change = json!({ "payments": { "charge": { "failure_rate": 0.25 } }, "purchases": { "create": { "latency_ms": { "max": 7 } } }, "seed": 9 });
        let view = put(change).await.expect(200).json();
        let charge = &view["services"][1]["replicas"][0]["faults"]["charge"];
        assert_eq!((&view["services"][1]["service"], &charge["failure_rate"]), (&json!("payments"), &json!(0.25)));
        for (service, pointer, value) in [
            ("payments", "/charge/failure_rate", json!(0.25)),
            ("purchases", "/create/latency_ms/max", json!(7)),
            ("catalog", "/seed", json!(9)),
        ] {
            let faults = stack.get(service, "/debug/faults").await.expect(200).json();
            assert_eq!(faults.pointer(pointer), Some(&value), "{service}");
        }
        assert_bad_fields(&put(json!({ "payment": {}, "inventory": 7 })).await, 422, &["payment", "inventory"]);
        let bad = json!({ "payments": { "charge": { "failure_rate": 2 } }, "purchases": { "burn": {} } });
        assert_bad_fields(&put(bad).await, 422, &["payments.charge.failure_rate", "purchases.burn"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_the_services_from_inside_is_for_operators_and_can_be_off() {
    let options = StackOptions::default().set("auth.operator_token", "op").set("auth.api_token", "client");
    with_stack(options, async |stack: &Stack| {
        let ask = |path: &str, token: &str| stack.request(Method::GET, ORCHESTRATOR, path).bearer_auth(token);
        for path in ["/ui/api/services", "/ui/api/faults"] {
            send(stack.request(Method::GET, ORCHESTRATOR, path)).await.expect(401);
            send(ask(path, "client")).await.expect(403);
            let view = send(ask(path, "op")).await.expect(200).json();
            // The others were shown the token too, or they would not have answered.
            let replica = &view["services"][2]["replicas"][0];
            assert_eq!(replica["error"], Value::Null, "{replica}");
        }
        for path in ["/ui/api/summary", "/ui/api/sagas"] {
            send(stack.request(Method::GET, ORCHESTRATOR, path)).await.expect(401);
            send(ask(path, "client")).await.expect(200);
        }
        stack.get(ORCHESTRATOR, "/ui/").await.expect(200);
    })
    .await;
    with_stack(StackOptions::default().set("ui.services", false), async |stack: &Stack| {
        for path in ["/ui/api/services", "/ui/api/faults"] {
            stack.get(ORCHESTRATOR, path).await.expect(404);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_of_all_products_is_listed_and_a_delivery_counts_once() {
    const STOCK: &str = "/ui/api/stock";
    with_stack(StackOptions::default().set("inventory.initial_stock", 5), async |stack: &Stack| {
        let products = stack.get("catalog", "/products/?limit=3").await.expect(200).json();
        let ids: Vec<_> =
            products["products"].as_array().unwrap().iter().map(|one| one["product_id"].to_string()).collect();
        let page = async |query: &str| stack.get(ORCHESTRATOR, &format!("{STOCK}{query}")).await.expect(200).json();
        let first = page("?limit=2").await;
        let second = page(&format!("?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await;
        let listed = [&first["products"][0], &first["products"][1], &second["products"][0]];
        for (one, id) in listed.iter().zip(&ids) {
            assert_eq!((&one["product_id"], &one["quantity"], &one["error"]), (&json!(id), &Value::Null, &Value::Null));
        }

        let restock = async |body: Value| stack.post(ORCHESTRATOR, STOCK, body).await;
        let delivery = json!({ "product_id": ids[0], "quantity": 7, "transaction_id": "restock:1" });
        for _ in 0..2 {
            assert_eq!(restock(delivery.clone()).await.expect(200).json()["quantity"], 12);
        }
        assert_eq!(page("").await["products"][0]["quantity"], 12);
        let other = json!({ "product_id": ids[0], "quantity": 8, "transaction_id": "restock:1" });
        restock(other).await.expect(422);
        for n in 2.. {
            let most = json!({ "product_id": ids[0], "quantity": 1_000_000, "transaction_id": format!("restock:{n}") });
            let answer = restock(most).await;
            if answer.status == 200 {
                continue;
            }
            assert!(answer.expect(409).json()["detail"].as_str().unwrap().contains("would exceed"));
            break;
        }
        assert_bad_fields(&restock(json!({ "quantity": 0 })).await, 422, &["product_id", "quantity"]);
        assert_bad_fields(
            &stack.get(ORCHESTRATOR, &format!("{STOCK}?cursor=x&limit=0")).await,
            422,
            &["limit", "cursor"],
        );

        stack.stop("inventory").await;
        let one = page("?limit=1").await["products"][0].take();
        assert_eq!((&one["quantity"], one["error"].is_string()), (&Value::Null, true), "{one}");
        let answer = restock(delivery).await.expect(503).json();
        assert!(answer["detail"].as_str().unwrap().starts_with("inventory: "), "{answer}");
        stack.stop("catalog").await;
        stack.get(ORCHESTRATOR, STOCK).await.expect(503);
    })
    .await;
}
