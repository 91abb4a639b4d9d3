//! Accessibility of the dashboard: no serious finding of axe-core in any view on any screen, no page wider than the
//! screen, no text that is cut, and a Spanish translation.

use serde_json::json;
use tests::{Stack, StackOptions, browser::Browser, browser::Screen, browser::with_browser, with_stack};

use super::any_saga::{define, run, shop};
use super::operators::{buy_in_vain, impatient};
use super::{buy, dashboard, with_dashboard};

#[tokio::test(flavor = "multi_thread")]
async fn no_view_has_serious_findings_in_the_light() {
    look_at_all_views(Screen::Desktop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_has_serious_findings_in_the_dark() {
    look_at_all_views(Screen::Dark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_has_serious_findings_on_a_tablet_or_is_wider_than_it() {
    look_at_all_views(Screen::Tablet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_has_serious_findings_on_a_phone_or_is_wider_than_it() {
    look_at_all_views(Screen::Phone).await;
}

async fn look_at_all_views(screen: Screen) {
    with_dashboard(impatient(), screen, "", async |stack, browser| {
        browser.see_text("[data-testid=list]", "No sagas yet").await;
        assert_fine(browser, screen, "nothing bought").await;
        buy(stack, "grace").await;
        let largest = json!({ "user_id": "long-".repeat(20), "product_id": 1, "amount": 99_999_999.99 });
        stack.post(tests::stack::ORCHESTRATOR, "/saga/transaction", largest).await.expect(200);
        let failed = buy_in_vain(stack).await;
        define(stack, "shop/1", shop()).await;
        let any = run(stack, "shop").await;
        let long = "booking-of-a-holiday-for-a-group-of-people";
        define(stack, &format!("{long}/1"), shop()).await;
        run(stack, long).await;
        for (view, proof) in [
            ("", format!("tr[data-id='{failed}']")),
            (&format!("saga/{failed}"), "[data-step=charge] .bar".to_owned()),
            ("?definition=shop", format!("tr[data-id='{any}']")),
            (&format!("saga/{any}"), "[data-node=charge][data-state]".to_owned()),
            ("definitions", "[data-definition='shop/1']".to_owned()),
            ("definitions/shop/1", "[data-node=charge]".to_owned()),
            ("attention", ".waiting".to_owned()),
            ("services", "[data-actor=coordinator]".to_owned()),
            ("stock", "[data-product='1'] .quantity".to_owned()),
            ("lab", "#payments-charge-failure_rate".to_owned()),
        ] {
            browser.open(&dashboard(stack, view)).await;
            browser.see(&proof).await;
            assert_fine(browser, screen, view).await;
        }
        // The largest latency can be read in its field.
        let cut = "return [...document.querySelectorAll('details[open] .latency-range input')]
            .map((input) => { input.value = 5000; return input.scrollWidth > input.clientWidth })";
        let cut = browser.run(cut, vec![]).await;
        assert!(
            cut.as_array().is_some_and(|fields| !fields.is_empty() && fields.iter().all(|cut| cut == false)),
            "{cut}"
        );
        browser.open(&dashboard(stack, &format!("saga/{failed}"))).await;
        browser.click("[data-step=charge] [data-testid=exchange] summary").await;
        browser.see("[data-step=charge] .call").await;
        assert_fine(browser, screen, "requests and answers").await;
        browser.type_into("main", "?").await;
        browser.see("dialog .keys").await;
        assert_fine(browser, screen, "the keys").await;
        browser.open(&dashboard(stack, "attention")).await;
        // The page of the saga, which may still be there, has such a button, too.
        browser.click(".attention [data-testid=resolve]").await;
        browser.see("#note").await;
        assert_fine(browser, screen, "a dialog").await;
        browser.open(&dashboard(stack, "")).await;
        browser.choose("#language", "es").await;
        browser.see_text("nav", "Laboratorio de fallos").await;
        assert_fine(browser, screen, "Spanish").await;
        documentation(stack, browser).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_is_wider_than_any_screen_in_either_language() {
    with_stack(impatient(), async |stack: &Stack| {
        // The count of the attention list makes the navigation wider, and so does the line of faults that are on.
        let failed = buy_in_vain(stack).await;
        let faults =
            json!({ "lost_reply_rate": 0.1, "cut_connection_rate": 0.1, "latency_ms": { "min": 0, "max": 1 } });
        stack.set_faults("payments", json!({ "charge": faults })).await;
        for screen in [Screen::Desktop, Screen::Laptop, Screen::Tablet, Screen::Phone] {
            with_browser(screen, async |browser: &Browser| {
                browser.open(&dashboard(stack, "")).await;
                for (language, lab) in [("en", "Failure lab"), ("es", "Laboratorio de fallos")] {
                    browser.choose("#language", language).await;
                    browser.see_text("nav", lab).await;
                    for (view, proof) in [
                        ("", "[data-testid=faults-on]"),
                        (&format!("saga/{failed}"), "[data-step=charge] .bar"),
                        ("definitions", ".definitions"),
                        ("attention", ".waiting"),
                        ("services", "[data-actor=coordinator]"),
                        ("stock", "[data-product='1'] .quantity"),
                        ("lab", "#payments-charge-failure_rate"),
                    ] {
                        browser.open(&dashboard(stack, view)).await;
                        browser.see(proof).await;
                        browser.see_text("[data-testid=attention-count]", "1").await;
                        assert_fits(browser, screen, &format!("{view:?} in {language}")).await;
                    }
                }
            })
            .await;
        }
    })
    .await;
}

/// Checks the page of the API too.
async fn documentation(stack: &Stack, browser: &Browser) {
    browser.open(&format!("http://{}/docs", stack.address(tests::stack::ORCHESTRATOR))).await;
    browser.see("#buy summary").await;
    let findings = browser.serious_findings().await;
    assert!(findings.is_empty(), "/docs: {findings:#?}");
}

async fn assert_fine(browser: &Browser, screen: Screen, what: &str) {
    let findings = browser.serious_findings().await;
    assert!(findings.is_empty(), "{what} ({screen:?}): {findings:#?}");
    assert_fits(browser, screen, what).await;
}

async fn assert_fits(browser: &Browser, screen: Screen, what: &str) {
    let too_wide = "return document.documentElement.scrollWidth > innerWidth";
    assert_eq!(browser.run(too_wide, vec![]).await, false, "{what} ({screen:?}) is wider than the screen");
    assert_eq!(browser.run(CUT, vec![]).await, json!([]), "{what} ({screen:?}) cuts texts");
}

/// Lists the texts that end outside of the page, of their link or button, or of a box that hides them, unless a title
/// has them. Boxes that scroll show all of their texts.
const CUT: &str = r#"
    const cut = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode());) {
        const parent = text.parentElement;
        if (!text.textContent.trim() || parent.closest(".hidden, .skip, option, noscript, title") || !parent.checkVisibility()) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        const { left, right } = range.getBoundingClientRect();
        let [from, to, isWhole] = [0, innerWidth, left === right];
        for (let box = parent; box !== document.body && !isWhole; box = box.parentElement) {
            const { overflowX, display } = getComputedStyle(box);
            isWhole = ["auto", "scroll"].includes(overflowX) || Boolean(box.title);
            const isEdge = ["hidden", "clip"].includes(overflowX) || box.matches("a, button");
            if (!isEdge || display === "inline") continue;
            const edges = box.getBoundingClientRect();
            [from, to] = [Math.max(from, edges.left), Math.min(to, edges.right)];
        }
        if (!isWhole && (left < from - 1 || right > to + 1)) cut.push(`${text.textContent} (${parent.tagName} ${parent.className})`);
    }
    return cut;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_spanish_and_remembers_it_and_it_can_be_dark() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |_, browser| {
        browser.choose("#language", "es").await;
        browser.see_text("nav", "Laboratorio de fallos").await;
        browser.choose("#theme", "dark").await;
        browser.reload().await;
        browser.see_text("nav", "Laboratorio de fallos").await;
        let look = "return [document.documentElement.lang, getComputedStyle(document.documentElement).colorScheme]";
        assert_eq!(browser.run(look, vec![]).await, serde_json::json!(["es", "dark"]));
        let same = "const [en, es] = await Promise.all(['en', 'es'].map((name) => import(new URL(`js/text.${name}.js`, document.baseURI))));
                    return [en, es].map((texts) => Object.entries(texts.default)
                        .map(([key, text]) => key + ' ' + (text.match(/\\{\\w+\\}/g) ?? []).sort()).sort())";
        let texts = browser.run_async(same, vec![]).await;
        assert!(texts[0].as_array().is_some_and(|keys| keys.len() > 100), "{texts}");
        assert_eq!(texts[0], texts[1], "both languages have the same texts with the same places");
    })
    .await;
}
