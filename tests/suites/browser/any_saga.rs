//! Sagas of any definition: their rows in the list, their page, and the attention list.

use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, browser::Browser, browser::Screen, http::send, stack::ORCHESTRATOR,
    stack::with_json, wait_until,
};

use super::graph::assert_well_drawn;
use super::list::{sagas, see_sagas};
use super::operators::impatient;
use super::{buy, dashboard, with_dashboard};

/// Gives a definition to the orchestrator.
pub(super) async fn define(stack: &Stack, title: &str, body: Value) {
    let path = format!("/sagas/definitions/{title}");
    send(with_json(stack.request(reqwest::Method::PUT, ORCHESTRATOR, &path), body)).await.expect(201);
}

/// Runs a saga to its end and returns its id.
pub(super) async fn run(stack: &Stack, definition: &str) -> String {
    run_with(stack, definition, "ada", None).await
}

async fn run_with(stack: &Stack, definition: &str, user: &str, prefer: Option<&str>) -> String {
    let body = json!({ "definition": definition, "input": { "user": user, "product": 3, "amount": 12.5 } });
    let mut request = with_json(stack.request(reqwest::Method::POST, ORCHESTRATOR, "/sagas"), body);
    if let Some(prefer) = prefer {
        request = request.header("prefer", prefer);
    }
    let answer = send(request).await.json();
    answer["saga_id"].as_str().unwrap_or_else(|| panic!("no saga: {answer}")).to_owned()
}

/// Makes a definition of steps.
pub(super) fn definition(steps: Vec<Value>) -> Value {
    json!({
        "input": {
            "type": "object",
            "required": ["user", "product", "amount"],
            "properties": {
                "user": { "type": "string" }, "product": { "type": "integer" }, "amount": { "type": "number" }
            }
        },
        "steps": steps
    })
}

/// Makes a step that takes a payment of its own.
pub(super) fn payment(name: &str, after: &[&str]) -> Value {
    json!({
        "name": name, "participant": "payments", "after": after,
        "action": { "method": "POST", "path": "/payments/", "body": {
            "user_id": "{input.user}", "transaction_id": "{saga.step_key}", "amount": "{input.amount}"
        } },
        "compensation": {
            "method": "POST", "path": "/payments/by-transaction/{saga.step_key}/refund/", "body": {}
        },
        "outputs": { "payment": "/payment_id" }
    })
}

/// Makes a step that takes from the stock.
pub(super) fn stock(name: &str, after: &[&str]) -> Value {
    json!({
        "name": name, "participant": "inventory", "after": after,
        "action": { "method": "POST", "path": "/inventory/decrease/", "body": {
            "product_id": "{input.product}", "quantity": 1, "transaction_id": "{saga.id}"
        } },
        "compensation": { "method": "POST", "path": "/inventory/restore/by-transaction/{saga.id}/", "body": {} }
    })
}

/// Makes a step that records a purchase with the payment of an earlier step.
pub(super) fn record(payment: &str, after: &[&str]) -> Value {
    json!({
        "name": "record", "participant": "purchases", "after": after,
        "action": { "method": "POST", "path": "/purchases/", "body": {
            "user_id": "{input.user}", "transaction_id": "{saga.id}", "product_id": "{input.product}",
            "payment_id": format!("{{outputs.{payment}.payment}}"), "amount": "{input.amount}"
        } },
        "compensation": { "method": "DELETE", "path": "/purchases/by-transaction/{saga.id}/cancel/" },
        "outputs": { "purchase": "/purchase_id" }
    })
}

/// Payment and stock at once, then the record of both.
pub(super) fn shop() -> Value {
    definition(vec![payment("charge", &[]), stock("stock", &[]), record("charge", &["charge", "stock"])])
}

/// Asserts that a part of the page shows no value that is missing.
async fn assert_no_leftovers(browser: &Browser, css: &str) {
    let text = browser.text_or_nothing(css).await;
    assert!(!text.is_empty(), "{css} is empty");
    for leftover in ["null", "NaN", "undefined", "[object"] {
        assert!(!text.contains(leftover), "{css} has {leftover}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_sagas_of_all_definitions_and_is_filtered_by_definition() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        define(stack, "shop/1", shop()).await;
        let bought = buy(stack, "grace").await;
        let mut ran = Vec::new();
        for user in ["ada", "alan", "zora", "edsger", "ken"] {
            ran.push(run_with(stack, "shop", user, None).await);
        }
        let newest_first: Vec<_> = ran.iter().rev().collect();
        see_sagas(browser, &[&newest_first[..], &[&bought]].concat()).await;
        assert_no_leftovers(browser, "tbody").await;
        let row = format!("tr[data-id='{}']", ran[0]);
        browser.see_text(&format!("{row} .c-definition"), "shop/1").await;
        for cell in [".c-user", ".c-product", ".c-amount"] {
            assert_eq!(browser.text_or_nothing(&format!("{row} {cell}")).await, "–", "{cell}");
        }
        let row = format!("tr[data-id='{bought}']");
        for (cell, text) in [(".c-definition", "checkout/1"), (".c-user", "grace"), (".c-amount", "5.00")] {
            assert_eq!(browser.text_or_nothing(&format!("{row} {cell}")).await, text);
        }
        // The picture of purchases counts no step of another saga, even one with the same name and participant.
        browser.see_text(".flow-step:nth-child(4) .flow-count.good", "1 done").await;
        browser.see_text(".flow-step:nth-child(2) .flow-count.good", "1 done").await;
        // The page that is open learns of the definition when it connects again.
        browser.reload().await;
        browser.choose("#filter-definition", "shop").await;
        see_sagas(browser, &newest_first).await;
        browser.see("[data-testid=picture] [data-node=record]").await;
        browser.choose("#filter-definition", "checkout").await;
        see_sagas(browser, &[&bought]).await;
        // The filters are in the address.
        browser.reload().await;
        browser.see("#filter-definition").await;
        see_sagas(browser, &[&bought]).await;
        browser.click(".filters button").await;
        // The text is searched for in inputs and definitions too.
        browser.type_into("#filter-text", "zora").await;
        see_sagas(browser, &[&ran[2]]).await;
        browser.click(".filters button").await;
        browser.type_into("#filter-text", "checkout").await;
        see_sagas(browser, &[&bought]).await;
        browser.open(&dashboard(stack, "?definition=shop&text=alan")).await;
        see_sagas(browser, &[&ran[1]]).await;
    })
    .await;
}

/// Horizontal extents of bars in the timeline.
async fn extents(browser: &Browser, step: &str, bar: &str) -> (f64, f64) {
    let script =
        "const { left, right } = document.querySelector(arguments[0]).getBoundingClientRect(); return [left, right]";
    let extent = browser.run(script, vec![format!("[data-step={step}] .lane .bar-{bar}").into()]).await;
    (extent[0].as_f64().expect("a number"), extent[1].as_f64().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_saga_has_its_graph_the_bars_of_parallel_steps_and_its_data() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        define(stack, "shop/1", shop()).await;
        let slow = json!({ "min": 300, "max": 300 });
        stack
            .set_faults("payments", json!({ "charge": { "latency_ms": slow }, "refund": { "latency_ms": slow } }))
            .await;
        stack
            .set_faults("inventory", json!({ "decrease": { "latency_ms": slow }, "restore": { "latency_ms": slow } }))
            .await;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let id = run(stack, "shop").await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        browser.see_text("article h1", "Saga shop/1").await;
        browser.see_text("[data-testid=why]", "Purchases refused").await;
        for (step, participant, state, shown) in [
            ("charge", "Payments", "compensated", "undone"),
            ("stock", "Inventory", "compensated", "undone"),
            ("record", "Purchases", "refused", "refused"),
        ] {
            browser.see_text(&format!("[data-node={step}][data-state={state}]"), step).await;
            browser.see_text(&format!("[data-node={step}] .node-detail"), &format!("{participant} · {shown}")).await;
        }
        browser.see_count(".graph .edge", 2).await;
        browser.see_count("[data-edge='charge>record'], [data-edge='stock>record']", 2).await;
        let label = "return document.querySelector('[data-node=record] title').textContent";
        assert_eq!(browser.run(label, vec![]).await, "record, Purchases, refused, after charge, stock");
        // Both actions at once, and both compensations; each compensation after the refusal.
        let refused = extents(browser, "record", "refused").await;
        for bar in ["done", "compensated"] {
            let (charge, stock) = (extents(browser, "charge", bar).await, extents(browser, "stock", bar).await);
            assert!(charge.0 < stock.1 && stock.0 < charge.1, "{bar}: {charge:?} and {stock:?} do not overlap");
            let is_after = charge.0.min(stock.0) >= refused.0;
            assert_eq!(is_after, bar == "compensated", "{bar}: {charge:?}, {stock:?}, {refused:?}");
        }
        // A box leads to the bars of its step, by keyboard too.
        browser.type_into("[data-node=stock]", "\u{e007}").await;
        browser.see(".timeline [data-step=stock]:focus").await;
        browser.see_text("[data-testid=data]", "\"user\": \"ada\"").await;
        browser.see_text("[data-output=charge]", "\"payment\": ").await;
        browser.see_count("[data-output=stock]", 0).await;
        assert_no_leftovers(browser, "article").await;
        let text = browser.text_or_nothing("article").await;
        for word in ["Amount", "User", "Purchase "] {
            assert!(!text.contains(word), "a saga that is no purchase has {word:?}: {text}");
        }
        browser.click("[data-testid=definition]").await;
        browser.see_text("main h1", "shop/1").await;
        // A purchase keeps its facts, and has a graph and data as well.
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 0 } })).await;
        let bought = buy(stack, "grace").await;
        browser.open(&dashboard(stack, &format!("saga/{bought}"))).await;
        browser.see_text("article h1", "Purchase grace · 5.00").await;
        browser.see_count(".graph .node-done", 4).await;
        browser.see_count(".graph .edge", 3).await;
        browser.see_text("[data-output=create]", "purchase_id").await;
        let facts = browser.text_or_nothing(".facts").await;
        assert!(
            ["User", "grace", "Amount", "Payment", "checkout/1"].iter().all(|fact| facts.contains(fact)),
            "{facts}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_of_a_running_saga_shows_where_it_waits_and_it_can_be_cancelled() {
    let options =
        StackOptions::default().set("retry.action.attempts", 100_000).set("participants.breaker_failures", 1_000_000);
    with_dashboard(options, Screen::Desktop, "", async |stack, browser| {
        define(stack, "shop/1", shop()).await;
        stack.set_faults("inventory", json!({ "decrease": { "unavailable_rate": 1 } })).await;
        let id = run_with(stack, "shop", "ada", Some("respond-async")).await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        browser.see("[data-node=charge][data-state=done]").await;
        browser.see("[data-node=record][data-state=pending]").await;
        browser.see("[data-node=stock]:is([data-state=running], [data-state=backing_off])").await;
        browser.see_text("[data-testid=waits]", "Inventory").await;
        browser.click("#cancel").await;
        browser.click("#cancel-sure").await;
        browser.see_text(".toast", "The saga is turning back").await;
        browser.see("article [data-status=COMPENSATED]").await;
        browser.see_text("[data-testid=why]", "It was cancelled").await;
        browser.see("[data-node=charge][data-state=compensated]").await;
        browser.see_text("[data-node=record]", "not reached").await;
    })
    .await;
}

/// Submits a saga as a client of DTM, whose branches have no URL and so are done at once; returns its id.
async fn submit(stack: &Stack) -> String {
    let branch = json!({ "action": "", "compensate": "" });
    let custom = json!({ "concurrent": true, "orders": { "2": [0, 1] } }).to_string();
    let submission = json!({
        "gid": "trip", "trans_type": "saga", "wait_result": true, "custom_data": custom,
        "steps": [branch, branch, branch], "payloads": ["", "", ""]
    });
    let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/api/dtmsvr/submit");
    send(with_json(request, submission)).await.expect(200);
    let list = stack.get(ORCHESTRATOR, "/sagas?definition=dtm").await.expect(200).json();
    list["sagas"][0]["saga_id"].as_str().expect("the saga is listed").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_brings_its_steps_along_has_the_graph_of_these_steps() {
    let options = StackOptions::default()
        .set("sagas.inline", true)
        .set("dtm.enabled", true)
        .set("dtm.allowed_urls", "http://127.0.0.1:9/");
    for screen in [Screen::Desktop, Screen::Phone] {
        with_dashboard(options.clone(), screen, "", async |stack, browser| {
            let steps = shop()["steps"].clone();
            let input = json!({ "user": "ada", "product": 3, "amount": 12.5 });
            let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/sagas");
            let inline = send(with_json(request, json!({ "steps": steps, "input": input }))).await.expect(200).json();
            let inline = inline["saga_id"].as_str().expect("a saga has an id").to_owned();
            let dtm = submit(stack).await;
            for (id, title, nodes) in
                [(inline, "inline", ["charge", "stock", "record"]), (dtm, "dtm", ["01", "02", "03"])]
            {
                browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
                browser.see_text("article h1", &format!("Saga {title}/1")).await;
                for node in nodes {
                    browser.see(&format!("[data-node='{node}'][data-state=done]")).await;
                }
                browser.see_count(".graph .node", 3).await;
                let label = format!("return document.querySelector(\"[data-node='{}'] title\").textContent", nodes[2]);
                let label = browser.run(&label, vec![]).await;
                let after = format!("after {}, {}", nodes[0], nodes[1]);
                assert!(label.as_str().expect("a text").ends_with(&after), "{label}");
                assert_well_drawn(browser, title).await;
                // There is no page of a definition that only this saga has.
                browser.see_text(".facts", &format!("{title}/1")).await;
                assert_eq!(browser.count("[data-testid=definition]").await, 0);
                assert_no_leftovers(browser, "article").await;
            }
            // The page that is open last is that of the saga of DTM's client, who knows it by its gid.
            let facts = browser.text_or_nothing(".facts").await;
            assert!(facts.contains("gid") && facts.contains("trip"), "{facts}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_definition_is_not_known_has_its_timeline_and_no_graph() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        define(stack, "shop/1", shop()).await;
        let id = run(stack, "shop").await;
        let unknown = format!("update saga set definition = 'gone', definition_version = 3 where id = '{id}'");
        stack.database(ORCHESTRATOR).await.run(&unknown).await;
        browser.open(&dashboard(stack, "?definition=gone")).await;
        browser.see_text(&format!("tr[data-id='{id}'] .c-definition"), "gone/3").await;
        browser.click(&format!("tr[data-id='{id}'] .c-id a")).await;
        browser.see_text("article h1", "Saga gone/3").await;
        browser.see_text(".facts", "gone/3").await;
        browser.see_count(".timeline .lane .bar-done", 3).await;
        browser.see_text("[data-output=charge]", "payment").await;
        assert_eq!(browser.count(".graph, [data-testid=definition]").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_of_the_attention_list_is_named_by_its_definition() {
    with_dashboard(impatient(), Screen::Desktop, "attention", async |stack, browser| {
        define(stack, "shop/1", shop()).await;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 1 } })).await;
        let id = run(stack, "shop").await;
        let item = format!("[data-id='{id}']");
        browser.see_text("[data-testid=cause] .cause", "shop/1").await;
        browser.see_text(&item, "charge").await;
        assert_no_leftovers(browser, &item).await;
        let text = browser.text_or_nothing(&item).await;
        assert!(!text.contains("User") && !text.contains("Amount"), "{text}");
        stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 0 } })).await;
        browser.click(&format!("{item} [data-testid=retry]")).await;
        browser.see_text("main", "No saga needs an operator").await;
        browser.open(&dashboard(stack, "?status=COMPENSATED")).await;
        wait_until("it is undone", PATIENCE, async || (sagas(browser).await == [id.clone()]).then_some(())).await;
    })
    .await;
}
