//! Work of operators: the attention queue, the supervision trees, tokens.

use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions, browser::Screen, browser::with_browser, stack::ORCHESTRATOR, wait_until, with_stack,
};

use super::{LIVE, buy, dashboard, status, with_dashboard};

/// A saga that cannot be undone is in the list at once and is not retried automatically during a test.
pub(super) fn impatient() -> StackOptions {
    StackOptions::default()
        .set("orchestrator.attention_after_attempts", 1)
        .set("retry.failed.backoff_min_ms", 80_000_000)
        .set("retry.failed.backoff_max_ms", 80_000_000)
}

/// Makes a purchase that can neither complete nor be undone.
pub(super) async fn buy_in_vain(stack: &Stack) -> String {
    stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
    stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 1 } })).await;
    buy(stack, "ada").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_purchase_says_why_it_turned_back_why_it_is_stuck_and_who_took_it_over() {
    let options = impatient().set("orchestrator.node_id", "the-node");
    with_dashboard(options, Screen::Desktop, "", async |stack, browser| {
        let id = buy_in_vain(stack).await;
        stack.restart(ORCHESTRATOR).await;
        let retry = async || stack.post(ORCHESTRATOR, &format!("/saga/{id}/retry"), "{}").await.expect(202);
        retry().await;
        wait_until("the next process has tried it", PATIENCE, async || {
            let status = status(stack, &id).await;
            (status["takeovers"][0]["epoch"] == 2 && status["status"] == "FAILED").then_some(())
        })
        .await;
        browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
        browser.see_text("[data-testid=why]", "Purchases refused").await;
        browser.see_text("[data-testid=stuck]", "charge is not undone: payments answered 503").await;
        browser.see_text("[data-testid=takeovers]", "the-node").await;
        browser.see("[data-step=decrease] [data-state=done]").await;
        browser.see("[data-step=create] [data-state=refused]").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_the_attention_queue_is_retried_and_another_is_settled() {
    with_dashboard(impatient(), Screen::Desktop, "attention", async |stack, browser| {
        browser.see_text("main", "No saga needs an operator").await;
        let (first, second) = (buy_in_vain(stack).await, buy_in_vain(stack).await);
        browser.see_text("[data-testid=attention-count]", "2").await;
        browser.see_text(&format!("[data-id='{first}']"), "charge").await;
        // Resolved by a person, with a note.
        browser.click(&format!("[data-id='{second}'] [data-testid=resolve]")).await;
        assert_eq!(browser.count("dialog button[type=submit]:disabled").await, 1, "a note is asked for");
        for settled in ["ada", "5.00", "charge (payments answered 503)"] {
            browser.see_text("dialog", settled).await;
        }
        browser.type_into("#note", "paid back by hand").await;
        browser.type_into("#by", "grace").await;
        browser.click("dialog button[type=submit]").await;
        browser.see_count(".waiting", 1).await;
        assert_eq!(status(stack, &second).await["status"], "FAILED");
        browser.open(&dashboard(stack, &format!("saga/{second}"))).await;
        browser.see_text("[data-testid=settled]", "Settled by grace").await;
        browser.see_text("[data-testid=settled]", "paid back by hand").await;
        browser.open(&dashboard(stack, "attention")).await;
        // Repaired and retried.
        stack.set_faults("payments", json!({ "refund": { "unavailable_rate": 0 } })).await;
        browser.click(&format!("[data-id='{first}'] [data-testid=retry]")).await;
        browser.see_text("main", "No saga needs an operator").await;
        browser.see_count("[data-testid=attention-count]", 0).await;
        wait_until("it is undone", PATIENCE, async || {
            (status(stack, &first).await["status"] == "COMPENSATED").then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trees_of_all_services_are_seen_and_one_that_stops_is_named() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "services", async |stack, browser| {
        for service in ["orchestrator", "catalog", "payments", "inventory", "purchases"] {
            browser.see(&format!("[data-service={service}] [data-actor=front][data-status=running]")).await;
        }
        browser.see("[data-actor=coordinator]").await;
        stack.stop("payments").await;
        browser.see_text("[data-service=payments]", "does not answer").await;
        browser.see_text("main", "1 do not answer").await;
        stack.start_again("payments").await;
        browser.see("[data-service=payments] [data-actor=ledger][data-status=running]").await;
        browser.see_text("main", "All services answer").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_token_is_set_the_page_asks_for_it_and_keeps_it_for_the_tab() {
    let options = StackOptions::default().set("auth.operator_token", "op").set("auth.api_token", "client");
    with_stack(options, async |stack: &Stack| {
        with_browser(Screen::Desktop, async |browser| {
            browser.open(&dashboard(stack, "")).await;
            browser.type_into("#token", "wrong\u{e007}").await;
            browser.see_text("dialog", "is not accepted here").await;
            browser.type_into("#token", "op\u{e007}").await;
            browser.see(LIVE).await;
            browser.click("#buy").await;
            browser.see("tr [data-status=COMPLETED]").await;
            browser.run("location.hash = '#/services'", vec![]).await;
            browser.reload().await;
            browser.see("[data-service=payments] [data-actor=ledger]").await;
            assert_eq!(browser.count("dialog").await, 0);
            assert!(browser.run("return localStorage.length", vec![]).await == 0, "a token is kept for the tab alone");
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_an_operator_logs_in_with_the_token_and_sees_and_does_everything() {
    const OPERATOR: &str = "operator-token-of-the-test";
    let options = impatient()
        .profile("production")
        .set("auth.operator_token", OPERATOR)
        .set("auth.service_token", "service-token-of-the-test")
        .set("faults.purchases.create.failure_rate", 1)
        .set("faults.payments.refund.unavailable_rate", 1);
    with_stack(options, async |stack: &Stack| {
        with_browser(Screen::Desktop, async |browser| {
            browser.open(&dashboard(stack, "")).await;
            browser.see("#token").await;
            assert_eq!(browser.count("tr [data-status]").await, 0, "a stranger sees no purchase");
            browser.type_into("#token", &format!("{OPERATOR}\u{e007}")).await;
            browser.see(LIVE).await;
            browser.click("#buy").await;
            browser.see("tr [data-status=FAILED]").await;
            browser.run("location.hash = '#/attention'", vec![]).await;
            browser.see_text("[data-testid=attention-count]", "1").await;
            browser.click("[data-testid=resolve]").await;
            browser.type_into("#note", "paid back by hand").await;
            browser.click("dialog button[type=submit]").await;
            browser.see_text("main", "No saga needs an operator").await;
            browser.run("location.hash = '#/services'", vec![]).await;
            browser.see_text("main", "This view is off").await;
            browser.run("location.hash = '#/stock'", vec![]).await;
            browser.see("[data-product='1'] input").await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_services_are_not_shown_the_page_says_so() {
    let options = StackOptions::default().set("ui.services", false);
    with_dashboard(options, Screen::Desktop, "services", async |stack, browser| {
        browser.see_text("main", "This view is off").await;
        browser.open(&dashboard(stack, "lab")).await;
        browser.see_text("main h1", "Failure lab").await;
        browser.see_text("main", "This view is off").await;
        stack.get(ORCHESTRATOR, "/ui/api/services").await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_says_which_faults_the_lab_makes_and_leads_there() {
    const LINE: &str = "[data-testid=faults-on]";
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        browser.see_text("[data-testid=list]", "No sagas yet").await;
        browser.see_count(LINE, 0).await;
        let slow = json!({ "failure_rate": 0.5, "latency_ms": { "min": 1, "max": 2 } });
        stack.set_faults("payments", json!({ "charge": slow, "refund": { "failure_rate": 0.1 } })).await;
        stack.set_faults("inventory", json!({ "decrease": { "failure_rate": 0.5, "lost_reply_rate": 0.1 } })).await;
        browser
            .see_text(LINE, "refusals at Payments and Inventory; errors at Payments; lost replies at Inventory")
            .await;
        browser.see_text(LINE, "delays at Payments.").await;
        browser.choose("#language", "es").await;
        browser.see_text(LINE, "rechazos en Pagos e Inventario").await;
        browser.click(&format!("{LINE} a")).await;
        browser.click("#presetHealthy").await;
        browser.see("[data-testid=saved][data-saved=true]").await;
        stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": 0, "max": 0 } } })).await;
        browser.open(&dashboard(stack, "")).await;
        browser.see_count(LINE, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_operator_token_alone_is_set_the_overview_asks_for_none() {
    let options = StackOptions::default().set("auth.operator_token", "op");
    with_dashboard(options, Screen::Desktop, "", async |_, browser| {
        browser.click("#buy").await;
        browser.see("tr [data-status=COMPLETED]").await;
        assert_eq!(browser.count("dialog").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_sold_out_is_restocked_on_its_page() {
    let options = StackOptions::default().set("inventory.initial_stock", 1);
    with_dashboard(options, Screen::Desktop, "stock", async |stack, browser| {
        let quantity = "[data-product='1'] [data-testid=quantity]";
        browser.see_text(quantity, "not sold yet").await;
        buy(stack, "ada").await;
        browser.see_text(quantity, "0 sold out").await;
        browser.type_into("[data-product='1'] input", "2000\u{e007}").await;
        browser.see_text(".toast", "2,000 in stock").await;
        browser.see_text(quantity, "2,000").await;
        let stock = stack.get("inventory", "/inventory/1/").await.expect(200).json();
        assert_eq!(stock["quantity"], 2000);
        stack.stop("inventory").await;
        browser.see_text(quantity, "does not answer").await;
    })
    .await;
}
