//! Definitions in the folder of the configuration.

use std::fs;

use serde_json::json;
use tests::{PATIENCE, Stack, StackOptions, files::TemporaryFolder, stack::ORCHESTRATOR, wait_until, with_stack};

use super::{order, run};

const SHOP: &str = r#"
name = "shop"
version = 1

[input]
type = "object"
required = ["user", "product", "amount"]
properties = { user = { type = "string" }, product = { type = "integer" }, amount = { type = "number" } }

[[steps]]
name = "charge"
participant = "payments"
outputs = { payment = "/payment_id" }
[steps.action]
method = "POST"
path = "/payments/"
body = { user_id = "{input.user}", transaction_id = "{saga.id}", amount = "{input.amount}" }
[steps.compensation]
method = "POST"
path = "/payments/by-transaction/{saga.id}/refund/"
body = {}
"#;

/// Makes a folder of configuration with one definition.
fn folder(shop: &str) -> TemporaryFolder {
    let folder = TemporaryFolder::new();
    for name in ["default.toml", "development.toml", "production.toml", "bench.toml"] {
        let from = format!("{}/../config/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(from, folder.path().join(name)).expect("a copy");
    }
    fs::create_dir(folder.path().join("sagas")).expect("a folder");
    fs::write(folder.path().join("sagas/shop.toml"), shop).expect("a file");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_folder_of_the_configuration_is_a_definition() {
    let folder = folder(SHOP);
    with_stack(StackOptions::default().folder(folder.path().to_owned()), async |stack: &Stack| {
        wait_until("it is known", PATIENCE, async || {
            (stack.get(ORCHESTRATOR, "/sagas/definitions/shop/1").await.status == 200).then_some(())
        })
        .await;
        let answer = run(stack, order()).await.expect(200).json();
        assert_eq!(answer["status"], "COMPLETED");
        let shown = stack.get(ORCHESTRATOR, "/sagas/definitions/shop/1").await.expect(200).json();
        assert!(shown["origin"].as_str().unwrap().ends_with("sagas/shop.toml"), "{shown}");
        assert_eq!(shown["steps"][0]["kind"], json!("compensable"));
    })
    .await;
}
