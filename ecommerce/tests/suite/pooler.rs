//! PgBouncer between the services and PostgreSQL: session mode works unchanged, transaction mode is refused.

use std::process::Command;

use tests::{pgbouncer::PgBouncer, private_cluster::PrivateCluster};
use tokio::runtime::Runtime;

use crate::program::{Server, command, finish, run, up_command};
use crate::support::Folder;

/// `up` on the databases of a configured server.
fn up_on(url: &str, folder: &Folder) -> Command {
    let mut command = up_command(&folder.path().join("data"));
    command.args(["--database-url", url]);
    command
}

#[test]
fn a_pooler_in_session_mode_needs_no_settings_of_its_own() {
    let (runtime, folder) = (Runtime::new().unwrap(), Folder::new());
    let server = runtime.block_on(PrivateCluster::start());
    let pooler = runtime.block_on(PgBouncer::before(&server.url, "session"));
    let mut up = Server::start(&mut up_on(&pooler.url, &folder));
    let front = up.wait_until_up();
    let bought = run(&["order", "--user", "u", "--amount", "12.50", "--target", &front]);
    assert_eq!(bought.code, 0, "{bought:?}");
    up.stop();
}

#[test]
fn every_command_refuses_a_pooler_in_transaction_mode() {
    let (runtime, folder) = (Runtime::new().unwrap(), Folder::new());
    let server = runtime.block_on(PrivateCluster::start());
    let migrated = run(&["migrate", "--database-url", &server.url]);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let pooler = runtime.block_on(PgBouncer::before(&server.url, "transaction"));
    let on_pooler = |arguments: &[&str]| finish(command(arguments).args(["--database-url", &pooler.url]));
    let refused = [
        on_pooler(&["migrate"]),
        on_pooler(&["serve", "payments", "--port", "0"]),
        on_pooler(&["audit"]),
        on_pooler(&["hold", "--reason", "a test"]),
        finish(&mut up_on(&pooler.url, &folder)),
    ];
    for ran in refused {
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.error().contains("transaction mode") && ran.error().contains("pool_mode = session"), "{ran:?}");
    }
}
