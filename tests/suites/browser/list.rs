//! The list: filters and pages, with few and with many sagas.

use std::collections::BTreeSet;

use serde_json::json;
use tests::{PATIENCE, StackOptions, browser::Browser, browser::Screen, stack::ORCHESTRATOR, wait_until};

use super::{buy, with_dashboard};

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_filtered_by_status_user_and_text() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        let bought = [buy(stack, "ada").await, buy(stack, "grace").await];
        stack.set_faults("payments", json!({ "charge": { "failure_rate": 1 } })).await;
        let refused = [buy(stack, "ada").await, buy(stack, "grace").await];
        see_sagas(browser, &[&refused[1], &refused[0], &bought[1], &bought[0]]).await;
        browser.choose("#filter-status", "COMPENSATED").await;
        see_sagas(browser, &[&refused[1], &refused[0]]).await;
        browser.type_into("#filter-user", "ada").await;
        see_sagas(browser, &[&refused[0]]).await;
        browser.click(".filters button").await;
        see_sagas(browser, &[&refused[1], &refused[0], &bought[1], &bought[0]]).await;
        browser.type_into("#filter-text", "ERROR PROCESSING").await;
        see_sagas(browser, &[&refused[1], &refused[0]]).await;
        browser.click(".filters button").await;
        browser.type_into("#filter-text", &bought[1]).await;
        see_sagas(browser, &[&bought[1]]).await;
        browser.click(".filters button").await;
        // A count is also a filter, and shows that it is pressed.
        browser.click("[data-testid=count-COMPLETED]").await;
        see_sagas(browser, &[&bought[1], &bought[0]]).await;
        browser.see("[data-testid=count-COMPLETED][aria-pressed=true]").await;
        browser.type_into("#filter-text", "nobody").await;
        browser.see_text("[data-testid=list]", "No saga fits").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_sagas_are_paged_through_and_found_while_others_are_bought() {
    const SAGAS: usize = 5_000;
    const ROWS: usize = 250;
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        let many = format!(
            "insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                               owner_incarnation, deadline_at, ended_at)
             select ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'checkout', 1, 'user-' || n, 5,
                    'COMPLETED', gen_random_uuid(), 'n', gen_random_uuid(), now(), now()
             from generate_series(1, {SAGAS}) n"
        );
        stack.database(ORCHESTRATOR).await.run(&many).await;
        browser.see_text("[data-testid=count-COMPLETED] b", "5,000").await;
        browser.choose("#page-size", &ROWS.to_string()).await;
        let mut seen = BTreeSet::new();
        for page in 1..=SAGAS / ROWS {
            browser.see_text("[data-testid=page]", &format!("Page {page}")).await;
            browser.see("[data-testid=list][data-ready=true]").await;
            browser.see_count("tbody tr", ROWS).await;
            seen.extend(sagas(browser).await);
            if page < SAGAS / ROWS {
                browser.click("#older").await;
            }
        }
        assert_eq!(seen.len(), SAGAS);
        assert_eq!(browser.count("#older:disabled").await, 1, "the last page is the last");
        browser.click("#newest").await;
        browser.type_into("#filter-text", "user-4321").await;
        browser.see_count("tbody tr", 1).await;
        browser.see_text("tbody .c-user", "user-4321").await;
        browser.click(".filters button").await;
        // The page still responds during hundreds of changes.
        browser.click("#buy-100").await;
        browser.choose("#filter-status", "PENDING").await;
        browser.choose("#filter-status", "").await;
        browser.see_text("[data-testid=count-COMPLETED] b", "5,100").await;
        browser.see_count("tbody tr", ROWS).await;
    })
    .await;
}

pub(super) async fn sagas(browser: &Browser) -> Vec<String> {
    let ids =
        browser.run("return [...document.querySelectorAll('tbody tr')].map((row) => row.dataset.id)", vec![]).await;
    ids.as_array().into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect()
}

pub(super) async fn see_sagas(browser: &Browser, expected: &[&String]) {
    wait_until(&format!("the list shows {expected:?}"), PATIENCE, async || {
        sagas(browser).await.iter().eq(expected.iter().copied()).then_some(())
    })
    .await;
}
