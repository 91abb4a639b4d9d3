//! Buying, watching, cancelling: the page's view of one purchase.

use serde_json::json;
use tests::{PATIENCE, StackOptions, browser::Screen, stack::ORCHESTRATOR, wait_until};

use super::{buy, dashboard, status, with_dashboard};

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_bought_and_its_end_is_seen_without_reloading() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |_, browser| {
        browser.see_text("[data-testid=list]", "No sagas yet").await;
        browser.click("#buy").await;
        browser.see("tr [data-status=COMPLETED]").await;
        browser.see_text("[data-testid=count-COMPLETED] b", "1").await;
        browser.see_text(".toast", "under way").await;
        browser.click("#buy-100").await;
        browser.see_text("[data-testid=count-COMPLETED] b", "101").await;
        browser.see_count("tbody tr", 25).await;
        // The step counts of the last minute: at least one, since a busy machine may take longer for all.
        browser.see_text(".flow-step .flow-count.good:not(.zero)", "done").await;
        browser.see(".chart canvas").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_whose_answer_a_proxy_loses_is_asked_for_again_with_its_key() {
    // The requests arrive; instead of their first answers the page gets those of a proxy whose replica went.
    const LOSE_ANSWERS: &str = r#"
        const real = window.fetch;
        const lost = [502, 504];
        window.keys = [];
        window.fetch = async (address, options) => {
            const answer = await real(address, options);
            if (options?.method !== "POST") return answer;
            window.keys.push(options.headers["idempotency-key"]);
            return lost.length ? new Response("Bad Gateway", { status: lost.shift() }) : answer;
        };"#;
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        browser.run(LOSE_ANSWERS, Vec::new()).await;
        browser.click("#buy").await;
        browser.see_text(".toast", "under way").await;
        browser.see_text("[data-testid=count-COMPLETED] b", "1").await;
        let keys = browser.run("return window.keys", Vec::new()).await;
        let keys = keys.as_array().expect("the keys of all requests");
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert!(keys[0].is_string() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_eq!(stack.get(ORCHESTRATOR, "/saga/transactions").await.expect(200).json()["total"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_of_a_purchase_tells_why_it_was_compensated() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let id = buy(stack, "ada").await;
        browser.click(&format!("tr[data-id='{id}'] a")).await;
        browser.see_text("[data-testid=why]", "Purchases refused").await;
        browser.see_text("[data-testid=effects]", "5.00 was taken at").await;
        browser.see_text("[data-testid=effects]", "one unit of product 1 stays taken (the shop's rule).").await;
        browser.see_text("[data-testid=saga-id]", &id).await;
        browser.see_text("[data-testid=trace-id]", &id.replace('-', "")).await;
        for (step, state, bars) in [
            ("choose", "done", &["done"][..]),
            ("charge", "compensated", &["done", "compensated"]),
            ("decrease", "done", &["done"]),
            ("create", "refused", &["refused"]),
        ] {
            browser.see(&format!("[data-step={step}] [data-state={state}]")).await;
            for bar in bars {
                browser.see_count(&format!("[data-step={step}] .lane .bar-{bar}"), 1).await;
            }
            let width = "const bars = document.querySelectorAll(arguments[0]); return Math.min(...[...bars].map((bar) => bar.getBoundingClientRect().width))";
            let narrowest = browser.run(width, vec![format!("[data-step={step}] .lane .bar").into()]).await;
            assert!(narrowest.as_f64().is_some_and(|pixels| pixels >= 1.0), "{step}: {narrowest}");
        }
        // The entries of the log and of each service.
        browser.click("#compare").await;
        browser.see_text(".compare", "refund").await;
        // Back, by keyboard only.
        browser.type_into(".crumb a", "\u{e007}").await;
        browser.see(&format!("tr[data-id='{id}']")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_of_the_last_minute_outlive_a_reload_and_the_stock_rule_is_the_servers() {
    let options = StackOptions::default().set("checkout.compensate_inventory", true);
    with_dashboard(options, Screen::Desktop, "", async |stack, browser| {
        let charged = ".flow-step:nth-child(2) .flow-count.good";
        let restored = ".flow-step:nth-child(3) .flow-undo";
        buy(stack, "ada").await;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let id = buy(stack, "ada").await;
        browser.see_text(charged, "2 done").await;
        browser.see_text(restored, "1 undone").await;
        // Changes while no page is open are counted too.
        browser.run("location.href = '../docs'", vec![]).await;
        browser.see("#buy summary").await;
        buy(stack, "ada").await;
        browser.open(&dashboard(stack, "")).await;
        browser.see_text(charged, "3 done").await;
        browser.see_text(restored, "2 undone").await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        browser.see_text("[data-testid=effects]", "one unit of product 1 was put back.").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_waits_says_for_what_and_can_be_cancelled() {
    let options =
        StackOptions::default().set("retry.action.attempts", 100_000).set("participants.breaker_failures", 1_000_000);
    with_dashboard(options, Screen::Desktop, "", async |stack, browser| {
        stack.set_faults("inventory", json!({ "decrease": { "unavailable_rate": 1 } })).await;
        browser.click("#buy").await;
        browser.click("tr[data-id] a").await;
        browser.see_text("[data-testid=waits]", "Inventory").await;
        browser.see_text(".activity", "decrease: ").await;
        browser.click("#cancel").await;
        browser.see_text("dialog", "cannot be continued afterwards").await;
        browser.click("#cancel-sure").await;
        browser.see("article [data-status=COMPENSATED]").await;
        browser.see_text("[data-testid=why]", "cancelled").await;
        browser.see("[data-step=charge] [data-state=compensated]").await;
        browser.see_count("#cancel", 0).await;
        let id = browser.text_or_nothing("[data-testid=saga-id]").await;
        assert_eq!(status(stack, &id).await["status"], "COMPENSATED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_rate_that_is_changed_changes_the_outcomes() {
    const END: &str = "\u{e010}";
    const HOME: &str = "\u{e011}";
    with_dashboard(StackOptions::default(), Screen::Desktop, "lab", async |stack, browser| {
        let slider = "#payments-charge-failure_rate";
        for (key, rate, expected, outcome) in [(END, 1.0, "0%", "COMPENSATED"), (HOME, 0.0, "100%", "COMPLETED")] {
            browser.type_into(slider, key).await;
            wait_until("payments have the new rate", PATIENCE, async || {
                let faults = stack.get("payments", "/debug/faults").await.expect(200).json();
                (faults["charge"]["failure_rate"] == rate).then_some(())
            })
            .await;
            browser.see("[data-testid=saved][data-saved=true]").await;
            browser.see_text("[data-testid=expected]", expected).await;
            browser.click("#buy").await;
            browser.see(&format!("[data-testid=outcomes] a:first-child[data-status={outcome}]")).await;
        }
        browser.see_text("[data-testid=actual]", "50%").await;
        browser.click("#presetPayments").await;
        browser.see_text("[data-testid=expected]", "0%").await;
        // An invalid range is corrected while it is typed.
        browser.type_into("#payments-charge-latency-min", "7\t").await;
        wait_until("payments have the latency", PATIENCE, async || {
            let faults = stack.get("payments", "/debug/faults").await.expect(200).json();
            (faults["charge"]["latency_ms"] == json!({ "min": 7, "max": 7 })).then_some(())
        })
        .await;
        stack.get(ORCHESTRATOR, "/ui/api/faults").await.expect(200);
    })
    .await;
}
