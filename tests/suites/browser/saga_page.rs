//! The page of a saga: attempts, requests and answers, and ways to elsewhere.

use serde_json::json;
use tests::{PATIENCE, StackOptions, browser::Screen, stack::ORCHESTRATOR, wait_until};

use super::operators::{buy_in_vain, impatient};
use super::{LIVE, buy, dashboard, status, with_dashboard};

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_is_a_mark_on_its_bar_with_its_error_and_its_pause_also_after_a_reload() {
    let options = StackOptions::default()
        .set("retry.action.attempts", 3)
        .set("retry.action.backoff_min_ms", 20)
        .set("participants.breaker_failures", 1_000_000);
    with_dashboard(options, Screen::Desktop, "", async |stack, browser| {
        stack.set_faults("inventory", json!({ "decrease": { "unavailable_rate": 1 } })).await;
        let id = buy(stack, "ada").await;
        // The page was not open while it ran.
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        let marks = "[data-step=decrease] .lane:nth-of-type(1) .attempt-bad";
        browser.see_count(marks, 3).await;
        let titles = "return [...document.querySelectorAll(arguments[0])].map(({ title }) => title)";
        let titles = browser.run(titles, vec![marks.into()]).await;
        let titles: Vec<_> = titles.as_array().into_iter().flatten().filter_map(|title| title.as_str()).collect();
        for (index, title) in titles.iter().enumerate() {
            assert!(title.contains(&format!("attempt {} · inventory answered 503", index + 1)), "{title}");
            assert_eq!(title.contains("then a pause of"), index < 2, "{title}");
        }
        browser.see_text(".activity", "decrease: ").await;
        browser.reload().await;
        browser.see(LIVE).await;
        browser.see_count(marks, 3).await;
        browser.click("[data-step=decrease] [data-testid=exchange] summary").await;
        browser.see_text("[data-step=decrease] [data-testid=attempts] tbody", "inventory answered 503").await;
        // A step that was done at once has a bar alone.
        assert_eq!(browser.count("[data-step=charge] .attempt").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_request_and_the_answer_of_each_step() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let id = buy(stack, "ada").await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        let inspected = stack.get(ORCHESTRATOR, &format!("/saga/{id}/inspect")).await.expect(200).json();
        assert_eq!(inspected["requests"]["charge"]["action"]["body"]["transaction_id"], json!(id));
        for (step, texts) in [
            ("choose", &["GET /products/1/", "keeps no journal", "product_id"][..]),
            ("charge", &["POST /payments/", "\"amount\"", "200", "payment_id", "/refund/", "compensated"]),
            ("create", &["POST /purchases/", "409", "CONFLICT"]),
        ] {
            let exchange = format!("[data-step={step}] [data-testid=exchange]");
            browser.click(&format!("{exchange} summary")).await;
            for text in texts {
                browser.see_text(&exchange, text).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_has_its_link_its_command_and_the_sagas_like_it() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        let other = buy(stack, "grace").await;
        stack.set_faults("payments", json!({ "charge": { "failure_rate": 1 } })).await;
        let siblings = [buy(stack, "ada").await, buy(stack, "ada").await];
        let page = dashboard(stack, &format!("saga/{}", siblings[0]));
        browser.open(&page).await;
        browser.see("#copy-link").await;
        assert_eq!(browser.count("#open-trace").await, 0, "no viewer is set");
        browser
            .run("window.copied = []; navigator.clipboard.writeText = async (text) => { copied.push(text) }", vec![])
            .await;
        browser.click("#copy-link").await;
        browser.see_text("#copy-link", "Copied").await;
        browser.click("#copy-cli").await;
        browser.see_text("#copy-cli", "Copied").await;
        let target = format!("http://{}", stack.address(ORCHESTRATOR));
        let command = format!("ecommerce inspect {} --target {target}", siblings[0]);
        assert_eq!(browser.run("return window.copied", vec![]).await, json!([page, command]));
        for (sibling, expected) in [("user", 2), ("reason", 2), ("definition", 3)] {
            browser.open(&page).await;
            browser.click(&format!("[data-sibling={sibling}]")).await;
            browser.see_count("tbody tr", expected).await;
            assert_eq!(browser.count(&format!("tr[data-id='{other}']")).await, usize::from(expected == 3));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takeovers_are_in_the_timeline_and_times_are_exact_on_a_look() {
    let options = impatient().set("orchestrator.node_id", "the-node");
    with_dashboard(options, Screen::Desktop, "", async |stack, browser| {
        let id = buy_in_vain(stack).await;
        stack.restart(ORCHESTRATOR).await;
        stack.post(ORCHESTRATOR, &format!("/saga/{id}/retry"), "{}").await.expect(202);
        wait_until("the next process has tried it", PATIENCE, async || {
            (status(stack, &id).await["takeovers"][0]["epoch"] == 2).then_some(())
        })
        .await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        browser.see("[data-step=charge] [data-takeover='2']").await;
        let titles =
            "return ['[data-takeover]', '[data-step=charge] .lane', '[data-testid=takeovers] time', '.facts time']
                          .map((css) => document.querySelector(css).title)";
        let titles = browser.run(titles, vec![]).await;
        for title in titles.as_array().expect("four titles") {
            let title = title.as_str().unwrap_or_default();
            // Milliseconds of a time of day.
            let millis =
                title.split(['.', ' ']).any(|part| part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit()));
            assert!(millis, "{title:?} of {titles}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_slower_than_nine_of_ten_says_so() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        for _ in 0..20 {
            buy(stack, "ada").await;
        }
        let slow = json!({ "charge": { "latency_ms": { "min": 1500, "max": 1500 } } });
        stack.set_faults("payments", slow).await;
        let id = buy(stack, "grace").await;
        wait_until("it is among the ends that are shown", PATIENCE, async || {
            let recent = stack.get(ORCHESTRATOR, "/ui/api/recent?minutes=60").await.expect(200).json();
            (recent["all"]["completed"] == 21).then_some(())
        })
        .await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        browser.see_text("[data-testid=slowness]", "slower than 9").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_links_to_its_trace_in_the_viewer_of_the_configuration() {
    let viewer = "http://jaeger.example/trace/{trace_id}?uiFind={trace_id}";
    with_dashboard(StackOptions::default().set("ui.trace_url", viewer), Screen::Desktop, "", async |stack, browser| {
        let id = buy(stack, "ada").await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        browser.see_text("#open-trace", "Open trace").await;
        let link = browser.run("return document.querySelector('#open-trace').href", vec![]).await;
        assert_eq!(link, viewer.replace("{trace_id}", &id.replace('-', "")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_follows_changes_from_elsewhere() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "lab", async |stack, browser| {
        let shown = "[data-operation=charge] output[for=payments-charge-failure_rate]";
        browser.see_text(shown, "0%").await;
        stack.set_faults("payments", json!({ "charge": { "failure_rate": 0.37 } })).await;
        browser.see_text(shown, "37%").await;
        browser.see_text("[data-testid=expected]", "63%").await;
    })
    .await;
}
