//! The attention list by causes, and circuit breakers that are open.

use serde_json::json;
use tests::{StackOptions, browser::Screen, stack::ORCHESTRATOR};

use super::any_saga::{define, definition, payment, record};
use super::operators::{buy_in_vain, impatient};
use super::{buy, dashboard, with_dashboard};

const CAUSE: &str = "[data-testid=cause]";

#[tokio::test(flavor = "multi_thread")]
async fn sagas_in_attention_are_in_a_table_by_causes_with_their_sums_the_oldest_and_the_next_try() {
    with_dashboard(impatient(), Screen::Desktop, "attention", async |stack, browser| {
        for _ in 0..3 {
            buy_in_vain(stack).await;
        }
        define(stack, "shop/1", definition(vec![payment("charge", &[]), record("charge", &["charge"])])).await;
        let input = json!({ "user": "ada", "product": 3, "amount": 12.5 });
        stack.post(ORCHESTRATOR, "/sagas", json!({ "definition": "shop", "input": input })).await;
        browser.see_count(CAUSE, 2).await;
        let first = format!("{CAUSE}:nth-of-type(1)");
        for (part, text) in [
            (".cause th", "charge is not undone: payments answered 503"),
            (".cause th", "checkout/1"),
            ("[data-testid=cause-sagas]", "3 sagas"),
            ("[data-testid=cause-sum]", "15.00"),
            ("[data-testid=cause-next]", "in "),
        ] {
            browser.see_text(&format!("{first} {part}"), text).await;
        }
        browser.see_count(&format!("{first} .waiting"), 3).await;
        browser.see_text("[data-testid=attention-whole]", "4 in all · 15.00 · oldest").await;
        browser.see_text("[data-testid=attention-whole]", "next try in").await;
        // A saga of another definition has no amount.
        let second = format!("{CAUSE}:nth-of-type(2)");
        browser.see_text(&format!("{second} .cause th"), "shop/1").await;
        assert_eq!(browser.text_or_nothing(&format!("{second} [data-testid=cause-sum]")).await, "–");
        browser.click(&format!("{first} button[aria-expanded=true]")).await;
        browser.see_count(&format!("{first} .waiting"), 0).await;
        // Times are exact on a look.
        let title = "return document.querySelector('.cause time').title";
        let title = browser.run(title, vec![]).await;
        assert!(title.as_str().is_some_and(|title| title.contains("20") && title.contains('.')), "{title}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_a_tap_on_resolve_opens_the_dialog_and_a_tap_elsewhere_in_the_row_opens_the_saga() {
    // Taps the middle of an element; the topmost element there gets the tap.
    const TAP: &str = "const element = document.querySelector(arguments[0]);
                       element.scrollIntoView({ block: 'center' });
                       const { left, top, width, height } = element.getBoundingClientRect();
                       const hit = document.elementFromPoint(left + width / 2, top + height / 2);
                       hit.click();
                       return [hit.tagName, Math.round(height)]";
    with_dashboard(impatient(), Screen::Phone, "attention", async |stack, browser| {
        let id = buy_in_vain(stack).await;
        browser.see(".waiting").await;
        let tapped = browser.run(TAP, vec![".waiting [data-testid=resolve]".into()]).await;
        browser.see("dialog #note").await;
        assert!(tapped[1].as_u64().is_some_and(|height| height >= 44), "a thumb hits the button: {tapped}");
        browser.click("dialog button[type=button]").await;
        browser.see_count("dialog", 0).await;
        for place in [".waiting .a-what", ".waiting td:nth-of-type(1)", ".waiting td:nth-of-type(5)"] {
            let tapped = browser.run(TAP, vec![place.into()]).await;
            browser.see_text("[data-testid=saga-id]", &id).await;
            assert_eq!(tapped[0], "A", "{place}");
            browser.open(&dashboard(stack, "attention")).await;
            browser.see(".waiting").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_is_a_red_pill_with_its_next_probe_and_the_calls_that_it_turned_away() {
    let options = StackOptions::default()
        .set("participants.breaker_failures", 2)
        .set("participants.breaker_pause_ms", 600_000)
        .set("retry.action.attempts", 100);
    with_dashboard(options, Screen::Desktop, "", async |stack, browser| {
        browser.see_count(".breaker", 0).await;
        stack.set_faults("payments", json!({ "charge": { "unavailable_rate": 1 } })).await;
        let buy = json!({ "user_id": "ada", "product_id": 1, "amount": 5 });
        for _ in 0..3 {
            let request = tests::stack::with_json(
                stack.request(reqwest::Method::POST, ORCHESTRATOR, "/saga/transaction"),
                buy.clone(),
            );
            tests::http::send(request.header("prefer", "respond-async")).await.expect(202);
        }
        let pill = "[data-breaker='payments.charge'][data-state=open]";
        for view in ["", "services"] {
            browser.open(&dashboard(stack, view)).await;
            for text in ["Circuit breaker open: Payments charge", "next probe in 9 min", "turned away"] {
                browser.see_text(pill, text).await;
            }
            let red = "const probe = document.createElement('i'); probe.className = 'probe-FAILED'; document.body.append(probe);
                       const colours = [probe, document.querySelector(arguments[0])].map((one) => getComputedStyle(one).color);
                       probe.remove(); return colours[0] === colours[1]";
            assert_eq!(browser.run(red, vec![pill.into()]).await, true, "the pill of {view:?} is red");
        }
        let state = browser.text_or_nothing("[data-actor='payments-client']").await;
        assert!(!state.contains("parked"), "{state}");
        stack.set_faults("payments", json!({ "charge": { "unavailable_rate": 0 } })).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_listed_by_reason_and_durations_have_the_names_of_their_percentiles() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        browser.see_text("[data-testid=throughput] .chart-empty", "No saga ended in the last 5 minutes").await;
        browser.see_text("[data-testid=latency] .chart-empty", "No durations").await;
        browser.see_text("[data-testid=reasons]", "No saga turned back").await;
        stack.set_faults("payments", json!({ "charge": { "failure_rate": 1 } })).await;
        for _ in 0..3 {
            buy(stack, "ada").await;
        }
        stack.set_faults("payments", json!({ "charge": { "failure_rate": 0 } })).await;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let id = buy(stack, "grace").await;
        browser.see_text("[data-testid=reasons] li:first-child", "Payments refused: Error processing payment").await;
        browser.see_text("[data-testid=reasons] li:first-child b", "3").await;
        browser.see_text("[data-testid=reasons] li:nth-child(2) b", "1").await;
        browser.see_count(".chart-empty", 0).await;
        for name in ["p50", "p90", "p99"] {
            browser.see_text("[data-testid=latency] .key", name).await;
        }
        // An interval without an end has no duration: the line has a gap there.
        let recent = stack.get(ORCHESTRATOR, "/ui/api/recent").await.expect(200).json();
        assert!(recent["intervals"].as_array().is_some_and(|all| all.len() < 60), "{recent}");
        assert_eq!((&recent["all"]["compensated"], &recent["since"]), (&json!(4), &json!(null)));
        // Other ranges are part of the address.
        browser.click("[data-range='60']").await;
        browser.see("[data-range='60'][aria-pressed=true]").await;
        browser.see_text("[data-testid=reasons] li:first-child b", "3").await;
        assert_eq!(browser.run("return location.hash", vec![]).await, "#/?range=60");
        browser.click("[data-testid=reasons] li:nth-child(2) a").await;
        browser.see_count("tbody tr", 1).await;
        browser.see(&format!("tr[data-id='{id}']")).await;
        stack.get(ORCHESTRATOR, "/ui/api/recent?minutes=7").await.expect(422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_on_all_sagas_is_shown_with_its_reason_until_it_is_released() {
    with_dashboard(impatient(), Screen::Desktop, "", async |stack, browser| {
        let database = stack.database(ORCHESTRATOR).await;
        database.run("insert into saga_hold (reason) values ('restore of <b>Monday</b>')").await;
        browser.see_text("[data-testid=on-hold]", "restore of <b>Monday</b>").await;
        database.run("delete from saga_hold").await;
        browser.see_count("[data-testid=on-hold]", 0).await;
    })
    .await;
}
