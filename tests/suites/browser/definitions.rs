//! The page of definitions.

use tests::{StackOptions, browser::Screen};

use super::any_saga::{define, definition, payment, run, shop};
use super::list::see_sagas;
use super::{buy, dashboard, with_dashboard};

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_listed_and_each_has_a_page_that_leads_to_its_sagas() {
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |stack, browser| {
        define(stack, "shop/1", shop()).await;
        define(stack, "shop/2", definition(vec![payment("charge", &[])])).await;
        buy(stack, "grace").await;
        let ran = run(stack, "shop").await;
        browser.click("nav a[href='#/definitions']").await;
        browser.see_count("[data-definition]", 4).await;
        browser.see_text("[data-definition='checkout/1']", "built in").await;
        browser.see_text("[data-definition='checkout/1']", "choose, charge, decrease, create").await;
        browser.see_text("[data-definition='shop/1']", "HTTP").await;
        browser.see("[data-definition='shop/1'] [data-known=true]").await;
        browser.click("[data-definition='shop/1'] th a").await;
        browser.see_text("main h1", "shop/1").await;
        browser.see_text("[data-testid=origin]", "HTTP").await;
        browser.see_text("[data-testid=definition-steps] [data-step=record]", "charge, stock").await;
        browser.see_text("[data-testid=definition-steps] [data-step=charge]", "can be undone").await;
        browser.see_count(".graph .node", 3).await;
        browser.see_count(".graph [data-state]", 0).await;
        browser.see_text("[data-testid=body]", "/payments/by-transaction/{saga.step_key}/refund/").await;
        browser.click("main header a.button").await;
        see_sagas(browser, &[&ran]).await;
        // A definition of the program has no other form.
        browser.open(&dashboard(stack, "definitions/checkout/1")).await;
        browser.see_text("[data-node=choose]", "reads only").await;
        browser.see_text("[data-node=decrease]", "stays").await;
        browser.see_text("[data-testid=body]", "part of the program").await;
        browser.open(&dashboard(stack, "definitions/none/7")).await;
        browser.see_text("main", "knows no definition none/7").await;
    })
    .await;
}
