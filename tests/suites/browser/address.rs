//! The address of the page, the way back, and the keyboard.

use serde_json::json;
use tests::{PATIENCE, Stack, StackOptions, browser::Browser, browser::Screen, stack::ORCHESTRATOR, wait_until};

use super::list::sagas;
use super::{LIVE, buy, dashboard, with_dashboard};

/// Inserts sagas that have ended.
async fn insert_ended(stack: &Stack, sagas: usize) {
    let many = format!(
        "insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                           owner_incarnation, deadline_at, ended_at)
         select ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'checkout', 1, 'user-' || n, 5,
                'COMPENSATED', gen_random_uuid(), 'n', gen_random_uuid(), now(), now()
         from generate_series(1, {sagas}) n"
    );
    stack.database(ORCHESTRATOR).await.run(&many).await;
}

async fn hash(browser: &Browser) -> String {
    browser.run("return location.hash", vec![]).await.as_str().unwrap_or_default().to_owned()
}

async fn see_page(browser: &Browser, number: usize) {
    browser.see_text("[data-testid=page]", &format!("Page {number}")).await;
    browser.see("[data-testid=list][data-ready=true]").await;
}

/// Waits until the page is scrolled to this place.
async fn see_scrolled(browser: &Browser, expected: u64) {
    wait_until(&format!("the page is scrolled to {expected}"), PATIENCE, async || {
        (browser.run("return Math.round(scrollY)", vec![]).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_names_no_saga_says_so() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        for id in ["%", "%E0%A4%A", "", "..", "nobody"] {
            browser.open(&dashboard(stack, &format!("saga/{id}"))).await;
            browser.see_text("[role=alert]", "There is no saga").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_search_page_and_scroll_are_as_they_were_after_back_and_after_a_reload() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        insert_ended(stack, 90).await;
        buy(stack, "ada").await;
        browser.choose("#filter-status", "COMPENSATED").await;
        browser.type_into("#filter-text", "user-").await;
        browser.see_count("tbody tr", 25).await;
        browser.click("#older").await;
        see_page(browser, 2).await;
        browser.click("#older").await;
        see_page(browser, 3).await;
        let address = hash(browser).await;
        for part in ["status=COMPENSATED", "text=user-", "page=3", "before="] {
            assert!(address.contains(part), "{address} has no {part}");
        }
        let shown = sagas(browser).await;
        assert_eq!(shown.len(), 25);
        browser.run("scrollTo(0, 640)", vec![]).await;
        // The place is kept once the page rests.
        wait_until("the place is kept", PATIENCE, async || {
            (browser.run("return history.state?.scroll", vec![]).await == 640).then_some(())
        })
        .await;
        browser.run("document.querySelectorAll('.row-link')[7].click()", vec![]).await;
        browser.see("[data-testid=saga-id]").await;
        see_scrolled(browser, 0).await;
        browser.run("history.back()", vec![]).await;
        see_page(browser, 3).await;
        assert_eq!(sagas(browser).await, shown);
        see_scrolled(browser, 640).await;
        // The link of the page of a saga leads to the same place.
        browser.run("document.querySelectorAll('.row-link')[7].click()", vec![]).await;
        browser.see("[data-testid=saga-id]").await;
        browser.click(".crumb a").await;
        see_page(browser, 3).await;
        see_scrolled(browser, 640).await;
        browser.reload().await;
        browser.see(LIVE).await;
        see_page(browser, 3).await;
        assert_eq!((sagas(browser).await, hash(browser).await), (shown, address));
        browser.click("#newer").await;
        see_page(browser, 2).await;
        browser.click("#newer").await;
        see_page(browser, 1).await;
        assert_eq!(hash(browser).await, "#/?status=COMPENSATED&text=user-");
        // A filter that was chosen is undone by Back.
        browser.click(".filters button").await;
        browser.see_text("tbody .c-user", "ada").await;
        browser.run("history.back()", vec![]).await;
        browser.see_text("tbody .c-user", "user-90").await;
        assert_eq!(browser.run("return document.getElementById('filter-text').value", vec![]).await, "user-");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_a_link_over_its_whole_width_and_the_links_in_it_stay_their_own() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        let id = buy(stack, "ada").await;
        browser.see(&format!("tr[data-id='{id}']")).await;
        let target = "const cell = document.querySelector(arguments[0]); cell.scrollIntoView({ block: 'center' });
                      const { left, top, width, height } = cell.getBoundingClientRect();
                      return document.elementFromPoint(left + width / 2, top + height / 2).closest('a')?.hash ?? null";
        for cell in [".c-user", ".c-steps", ".c-started", ".c-reason"] {
            let link = browser.run(target, vec![format!("tr[data-id='{id}'] {cell}").into()]).await;
            assert_eq!(link, format!("#/saga/{id}"), "{cell}");
        }
        let link = browser.run(target, vec![format!("tr[data-id='{id}'] .c-definition a").into()]).await;
        assert_eq!(link, "#/definitions/checkout/1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_search_go_through_the_rows_and_list_themselves() {
    const ENTER: &str = "\u{e007}";
    const ESCAPE: &str = "\u{e00c}";
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        let bought = [buy(stack, "ada").await, buy(stack, "grace").await, buy(stack, "ken").await];
        browser.see_count("tbody tr", 3).await;
        browser.type_into("main", "jjjk").await;
        browser.see(&format!("tr[data-id='{}'] .row-link:focus", bought[1])).await;
        browser.type_into("main", "?").await;
        for text in ["search", "next row", "previous row"] {
            browser.see_text("dialog", text).await;
        }
        // Keys of the page rest while a dialog is open.
        browser.type_into("dialog button", "j").await;
        browser.see("dialog[open]").await;
        browser.type_into("dialog button", ESCAPE).await;
        browser.see_count("dialog", 0).await;
        browser.type_into("main", &format!("j{ENTER}")).await;
        browser.see_text("[data-testid=saga-id]", &bought[2]).await;
        // From any view. Letters typed into a field are not keys of the page.
        browser.type_into("main", "/").await;
        browser.see("#filter-text:focus").await;
        browser.type_into("#filter-text", "k?j/").await;
        assert_eq!(browser.run("return document.activeElement.value", vec![]).await, json!("k?j/"));
        browser.see_count("dialog", 0).await;
    })
    .await;
}
