//! A server that stops and restarts while the page is open.

use tests::{StackOptions, browser::Screen, stack::ORCHESTRATOR};

use super::{LIVE, with_dashboard};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_that_the_server_is_away_and_goes_on_when_it_is_back() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        browser.click("#buy").await;
        browser.see_count("tr [data-status=COMPLETED]", 1).await;
        stack.stop(ORCHESTRATOR).await;
        browser.see("[data-testid=connection][data-state=lost]").await;
        browser.see_text(".banner", "No connection to the orchestrator").await;
        // Known sagas are still shown; a new request gets an error message.
        browser.see_count("tr [data-status=COMPLETED]", 1).await;
        browser.click("#buy").await;
        browser.see_text(".toast.bad", "does not answer").await;
        stack.start_again(ORCHESTRATOR).await;
        browser.see(LIVE).await;
        browser.see_count(".banner", 0).await;
        browser.click("#buy").await;
        browser.see_count("tr [data-status=COMPLETED]", 2).await;
        browser.see_text("[data-testid=count-COMPLETED] b", "2").await;
    })
    .await;
}
