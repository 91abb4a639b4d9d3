//! `--hold`, `hold` and `release`, from the command line.

use tokio::runtime::Runtime;
use tokio_postgres::{Config, NoTls};

use crate::{
    program::{Ran, Server, command, finish, run, up_command},
    support::Folder,
};

fn buy(front: &str) -> Ran {
    run(&["order", "--user", "u", "--amount", "12.50", "--target", front])
}

/// Changes rows in the database directly, bypassing all services.
fn falsify(url: &str, database: &str, sql: &str) {
    let mut config: Config = url.parse().unwrap();
    let changed = Runtime::new().unwrap().block_on(async {
        let (client, connection) = config.dbname(database).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client.execute(sql, &[]).await.unwrap()
    });
    assert!(changed > 0, "{sql}");
}

#[test]
fn a_system_that_starts_on_hold_takes_purchases_once_the_books_agree() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let on_data = |arguments: &[&str]| finish(command(arguments).arg("--data-dir").arg(&data_dir));
    let mut up = Server::up(&data_dir);
    let front = up.wait_until_up();
    assert_eq!(buy(&front).code, 0);
    up.stop();

    let mut up = Server::start(up_command(&data_dir).arg("--hold"));
    let front = up.wait_for_line("orchestrator");
    let url = up.wait_for_line("database");
    up.wait_for_line("Ctrl-C");
    let refused = buy(&front);
    assert!(refused.code == 4 && refused.error().contains("on hold"), "{refused:?}");
    assert!(run(&["health", &front]).out.contains("all sagas are on hold"), "the health names the hold");
    assert_eq!(run(&["list", "--target", &front]).code, 0, "reads are answered");

    // Remove an effect that the log has recorded.
    falsify(&url, "ms_payments", "update app_payment set status = 'compensated', compensated_at = now()");
    let kept = on_data(&["release"]);
    assert!(kept.code == 1 && kept.out.contains("still on hold"), "{kept:?}");
    assert!(buy(&front).error().contains("on hold"));
    falsify(&url, "ms_payments", "update app_payment set status = 'success', compensated_at = null");
    let released = on_data(&["release"]);
    assert!(released.code == 0 && released.out.contains("started with --hold"), "{released:?}");
    crate::support::wait_until("purchases begin", || buy(&front).code == 0);
    let again = on_data(&["release"]);
    assert!(again.code == 0 && again.out.contains("there is no hold"), "{again:?}");
    up.stop();
}

#[test]
fn a_hold_is_put_before_anything_starts_and_a_person_may_release_it_whatever_the_books_say() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut up = Server::up(&data_dir);
    let front = up.wait_for_line("orchestrator");
    let url = up.wait_for_line("database");
    up.wait_for_line("Ctrl-C");
    assert_eq!(buy(&front).code, 0);
    let on_server = |arguments: &[&str]| finish(command(arguments).args(["--database-url", &url]));
    for reason in ["a drill", "another"] {
        let held = on_server(&["hold", "--reason", reason]);
        assert!(held.code == 0 && held.out.contains("a drill"), "the first one stays: {held:?}");
    }
    crate::support::wait_until("the node has read the hold", || buy(&front).code == 4);
    // Purchases made before the node knew of the hold exist too.
    let one = "update app_payment set status = 'compensated', compensated_at = now() where id = \
               (select min(id) from app_payment)";
    falsify(&url, "ms_payments", one);
    assert_eq!(on_server(&["release"]).code, 1);
    assert_eq!(on_server(&["release", "--anyway"]).code, 0);
    crate::support::wait_until("purchases begin", || buy(&front).code == 0);
    up.stop();
}

#[test]
fn only_orchestrators_can_be_started_on_hold() {
    let ran = run(&["serve", "payments", "--hold", "--database-url", "postgres://u@127.0.0.1:1/"]);
    assert!(ran.code == 2 && ran.error().contains("--hold is for the orchestrator"), "{ran:?}");
}
