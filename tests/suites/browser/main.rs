//! The dashboard in a real Chromium, operated like by a user: read, clicked, typed into; and the page at `/docs`.

mod accessibility;
mod address;
mod any_saga;
mod attention;
mod charts;
mod definitions;
mod documentation;
mod graph;
mod list;
mod operators;
mod purchases;
mod restarts;
mod saga_page;

use serde_json::{Value, json};
use tests::{
    Stack, StackOptions, browser::Browser, browser::Screen, browser::with_browser, stack::ORCHESTRATOR, with_stack,
};

/// Selector of the connection indicator while the stream of changes is connected.
const LIVE: &str = "[data-testid=connection][data-state=live]";

/// Runs a test with a stack and a browser that shows a connected view of its dashboard.
async fn with_dashboard(options: StackOptions, screen: Screen, view: &str, test: impl AsyncFnOnce(&Stack, &Browser)) {
    with_stack(options, async |stack: &Stack| {
        with_browser(screen, async |browser: &Browser| {
            browser.open(&dashboard(stack, view)).await;
            browser.see(LIVE).await;
            test(stack, browser).await;
        })
        .await;
    })
    .await;
}

fn dashboard(stack: &Stack, view: &str) -> String {
    format!("http://{}/ui/#/{view}", stack.address(ORCHESTRATOR))
}

/// Makes a purchase and returns its id.
async fn buy(stack: &Stack, user: &str) -> String {
    let order = json!({ "user_id": user, "product_id": 1, "amount": 5 });
    let answer = stack.post(ORCHESTRATOR, "/saga/transaction", order).await.json();
    answer["transaction_id"].as_str().unwrap_or_else(|| panic!("no transaction: {answer}")).to_owned()
}

async fn status(stack: &Stack, id: &str) -> Value {
    stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json()
}
