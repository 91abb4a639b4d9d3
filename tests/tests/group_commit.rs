//! Group commit under a writer that breaks, on real PostgreSQL: a batch is there as a whole or not at all.

use std::borrow::Cow;
use std::time::Duration;

use common::config::ConfigSource;
use common::db::{self, Connection};
use common::group_commit::{BatchError, BatchWriter, Ledger, Written};
use common::supervision::{self, ActorCard, SupervisorSpec};
use futures::future::join_all;
use tests::cluster;
use tests::database::Database;
use tests::{PATIENCE, wait_until};
use uuid::Uuid;

/// Inserts its items one by one, and panics at the one that says so: inside the open transaction.
struct Fragile;

const PANIC: &str = "panic";

impl BatchWriter for Fragile {
    type Item = String;
    type Answer = ();

    fn key(item: &String) -> Cow<'_, str> {
        Cow::Borrowed(item)
    }

    async fn write(&self, connection: &mut Connection, items: &[String]) -> Result<Vec<()>, BatchError> {
        for item in items {
            connection.execute("insert into item (name) values ($1)", &[item]).await?;
            assert_ne!(item, PANIC, "the test wants this");
        }
        Ok(vec![(); items.len()])
    }
}

#[tokio::test]
async fn a_batch_whose_writer_panics_leaves_nothing_and_the_next_one_is_written() {
    let server = cluster::server_url().await;
    let name = format!("t{}_group_commit", Uuid::new_v4().simple());
    // One connection: whatever a broken batch leaves on it, the next batch would find.
    let source = ConfigSource::embedded("bench").with("database.url", server).with("database.pool_size", 1);
    let settings = source.load().expect("the settings are good");
    db::ensure_database(&settings.database.url, &name).await.expect("the database can be made");
    let database = Database::connect(server, &name).await;
    database.run("create table item (name text primary key)").await;

    let pool = db::pool(&settings.database.url, &name, &settings.database).expect("the URL is good");
    let card = ActorCard::new(format!("{name}/ledger"), "group commit");
    let (ledger, child) = Ledger::new(card.clone(), "fragile", pool, Fragile, &settings.group_commit);
    let root = ActorCard::new(name.clone(), "supervisor");
    let tree = supervision::start(SupervisorSpec::new(root, &settings.supervision, vec![child])).await.unwrap();

    assert_eq!(ledger.write("before".to_owned()).await, Written::Committed(()));
    assert!(matches!(ledger.write(PANIC.to_owned()).await, Written::InDoubt(_)));
    wait_until("the ledger is restarted", PATIENCE, async || {
        matches!(ledger.write("probe".to_owned()).await, Written::Committed(())).then_some(())
    })
    .await;
    assert_eq!(card.restarts(), 1);
    assert!(card.view().last_restart_reason.is_some_and(|reason| reason.contains("a batch died")));
    let written = join_all((0..20).map(|number| ledger.write(format!("after {number}")))).await;
    assert!(written.iter().all(|written| *written == Written::Committed(())), "{written:?}");
    let half_done = database.number("select count(*) from item where name = $1", &[&PANIC]).await;
    assert_eq!(half_done, 0, "a part of the broken batch was committed");
    assert_eq!(database.number("select count(*) from item", &[]).await, 22);

    tree.stop(Duration::from_secs(10)).await;
    drop(database);
    Database::connect(server, "postgres").await.run(&format!("drop database {name} with (force)")).await;
}
