//! Tests of the proxy's faults, each on a real server.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::{Loss, PostgresProxy};
use crate::{PATIENCE, cluster, private_cluster::PrivateCluster, wait_until};

const DATABASE: &str = "postgres";

/// A proxy before the shared server, a table of this test, and a direct connection past the proxy.
struct Place {
    proxy: PostgresProxy,
    past: Client,
    table: String,
}

impl Place {
    async fn new() -> Self {
        let url = cluster::server_url().await;
        let past = connect(url).await;
        let table = format!("proxy_{}", Uuid::new_v4().simple());
        past.batch_execute(&format!("create table {table} (n int)")).await.unwrap();
        Self { proxy: PostgresProxy::before(url), past, table }
    }

    fn insert(&self) -> String {
        format!("insert into {} values (1)", self.table)
    }

    async fn rows(&self) -> i64 {
        self.past.query_one(&format!("select count(*) from {}", self.table), &[]).await.unwrap().get(0)
    }

    async fn end(self) {
        self.past.batch_execute(&format!("drop table {}", self.table)).await.unwrap();
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn is_closed(client: &Client) {
    wait_until("the connection is cut", PATIENCE, async || client.is_closed().then_some(())).await;
}

#[tokio::test]
async fn a_statement_is_lost_before_or_behind_the_server_prepared_or_plain() {
    let place = Place::new().await;
    for (loss, happens) in [(Loss::CommitLost, 0), (Loss::ReplyLost, 1)] {
        for is_prepared in [true, false] {
            let client = connect(&place.proxy.url).await;
            let before = place.rows().await;
            let insert = place.insert();
            let statement = client.prepare(&insert).await.unwrap();
            let mut fault = place.proxy.lose_statement(DATABASE, &place.table, loss, 1);
            client.execute(&statement, &[]).await.unwrap();
            assert!(!fault.has_struck(), "one is to pass before");
            let lost = if is_prepared {
                client.execute(&statement, &[]).await.map(drop)
            } else {
                client.batch_execute(&insert).await
            };
            assert!(lost.is_err(), "{loss:?}");
            fault.struck().await;
            is_closed(&client).await;
            let description = "the server has done what it was asked for";
            let rows = async || (place.rows().await == before + 1 + happens).then_some(());
            wait_until(description, PATIENCE, rows).await;
            connect(&place.proxy.url).await.batch_execute(&insert).await.unwrap();
        }
    }
    place.end().await;
}

#[tokio::test]
async fn a_delayed_statement_arrives_when_it_is_released_even_if_its_client_has_left() {
    let place = Place::new().await;
    for stays in [true, false] {
        let client = connect(&place.proxy.url).await;
        let before = place.rows().await;
        let mut fault = place.proxy.delay_statement(DATABASE, &place.table, 0);
        let insert = place.insert();
        let sent = tokio::spawn(async move { client.execute(&insert, &[]).await.map(drop) });
        fault.struck().await;
        if !stays {
            sent.abort();
        }
        assert_eq!(place.rows().await, before);
        fault.release();
        wait_until("the statement arrives", PATIENCE, async || (place.rows().await == before + 1).then_some(())).await;
        if stays {
            sent.await.unwrap().unwrap();
        }
    }
    place.end().await;
}

#[tokio::test]
async fn connections_are_cut_once_or_until_told_to_stop() {
    let place = Place::new().await;
    let cut = connect(&place.proxy.url).await;
    place.proxy.cut("another");
    cut.batch_execute("select 1").await.unwrap();
    place.proxy.cut(DATABASE);
    is_closed(&cut).await;
    let cutting = place.proxy.cut_every(DATABASE, Duration::from_millis(5));
    for _ in 0..3 {
        if let Ok((client, connection)) = tokio_postgres::connect(&place.proxy.url, NoTls).await {
            tokio::spawn(connection);
            is_closed(&client).await;
        }
    }
    drop(cutting);
    wait_until("nothing is cut any more", PATIENCE, async || {
        let (client, connection) = tokio_postgres::connect(&place.proxy.url, NoTls).await.ok()?;
        tokio::spawn(connection);
        client.batch_execute("select 1").await.ok()
    })
    .await;
    place.end().await;
}

#[tokio::test]
async fn new_connections_are_redirected_to_another_server() {
    const WHICH: &str = "select system_identifier from pg_control_system()";
    let which = async |client: &Client| client.query_one(WHICH, &[]).await.unwrap().get::<_, i64>(0);
    let place = Place::new().await;
    let other = PrivateCluster::start().await;
    let before = connect(&place.proxy.url).await;
    place.proxy.redirect(&other.url);
    let behind = connect(&place.proxy.url).await;
    assert_eq!(which(&before).await, which(&place.past).await);
    assert_eq!(which(&behind).await, which(&connect(&other.url).await).await);
    place.end().await;
}
