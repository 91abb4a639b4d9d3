//! `restock`: deliveries that count once, and what production must state.

use std::process::Command;

use serde_json::Value;
use tests::http::{client, send};
use tokio::runtime::Runtime;

use crate::{
    program::{Server, command, finish, up_command, up_with},
    support::{Folder, wait_until},
};

/// Makes a `restock` command for a running system.
fn restock(addresses: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = command(&["restock", "--profile", "bench"]);
    for (service, address) in addresses {
        command.env(format!("ECOMMERCE__SERVICES__{}__URL", service.to_uppercase()), address);
    }
    command.args(["--target", &addresses[4].1]).args(arguments);
    command
}

fn metrics(url: &str) -> String {
    Runtime::new().unwrap().block_on(async { send(client().get(format!("{url}/metrics"))).await.text })
}

#[test]
fn stock_is_filled_up_or_added_once_a_delivery_and_measured() {
    let folder = Folder::new();
    let mut command = up_command(&folder.path().join("data"));
    let mut up = Server::start(command.env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "3"));
    let services = ["catalog", "payments", "inventory", "purchases", "orchestrator"];
    let addresses = services.map(|service| (service, up.wait_for_line(service)));
    up.wait_for_line("Ctrl-C");
    let stocks = |arguments: &[&str]| {
        let ran = finish(&mut restock(&addresses, arguments));
        assert_eq!(ran.code, 0, "{ran:?}");
        let printed: Value = serde_json::from_str(&ran.out).unwrap();
        let all = printed["products"].as_array().unwrap().clone();
        all.iter().map(|one| one["quantity"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    // An unseen product has its initial stock before the delivery.
    assert_eq!(stocks(&["--add", "10", "--product", "7", "--key", "d-1", "--json"]), [13]);
    assert_eq!(stocks(&["--add", "10", "--product", "7", "--key", "d-1", "--json"]), [13], "it counts once");
    assert_eq!(stocks(&["--add", "10", "--product", "7", "--json"]), [23], "another delivery");
    let all = stocks(&["--to", "20", "--json"]);
    assert_eq!((all.len(), all.iter().min(), all.iter().max()), (20, Some(&20), Some(&23)), "{all:?}");
    assert_eq!(stocks(&["--to", "20", "--json"]), all, "a repetition changes nothing");

    wait_until("the stock is measured", || {
        let text = metrics(&addresses[2].1);
        text.contains("\necommerce_stock_units 403\n")
    });
    let refused = finish(&mut restock(&addresses, &["--add", "10", "--product", "7", "--to", "5"]));
    assert_eq!(refused.code, 2, "{refused:?}");
    up.stop();
}

#[test]
fn production_does_not_start_before_its_stock_is_stated() {
    let folder = Folder::new();
    let mut up = up_with("production", &folder.path().join("data"));
    let ran = finish(up.env("ECOMMERCE__AUTH__SERVICE_TOKEN", "the-services-token-of-a-test"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("inventory.initial_stock"), "{ran:?}");
    assert!(ran.err.contains("ECOMMERCE__INVENTORY__INITIAL_STOCK to a number from 0"), "{ran:?}");
}
