//! The page at `/docs`: it loads without external resources, and sends requests.

use tests::{Stack, StackOptions, browser::Screen, browser::with_browser, stack::SERVICES, with_stack};

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_of_every_service_opens_and_tries_a_route() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        with_browser(Screen::Desktop, async |browser| {
            for service in SERVICES {
                browser.open(&format!("http://{}/docs", stack.address(service))).await;
                browser.see_text("#title", service).await;
                browser.click("#health > summary").await;
                browser.click("#health form button").await;
                browser.see_text("#health form .status", "200").await;
                browser.see_text("#health form pre", "\"healthy\"").await;
                let foreign = "return performance.getEntriesByType('resource').filter(({ name }) => !name.startsWith(location.origin)).length";
                assert_eq!(browser.run(foreign, vec![]).await, 0, "{service} loads from elsewhere");
            }
        })
        .await;
    })
    .await;
}
