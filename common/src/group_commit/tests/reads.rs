//! Reads of one kind delay only reads of the same kind.

use super::*;
use crate::config::DatabaseSettings;
use crate::db::pool_with_reserve;
use crate::db::test_server::{TestServer, settings};
use crate::group_commit::ReadError;

/// Waits until the test releases its lock.
async fn wait_for_lock(connection: &mut Connection) -> Result<(), tokio_postgres::Error> {
    connection.batch_execute("select pg_advisory_xact_lock_shared(7)").await
}

async fn answer(connection: &mut Connection) -> Result<i32, tokio_postgres::Error> {
    Ok(connection.query_one("select 1", &[]).await?.get(0))
}

#[tokio::test]
async fn lists_wait_for_lists_and_the_connection_in_reserve_for_nothing() {
    let server = TestServer::shared().await;
    let database = server.database(TABLES).await;
    let client = database.client().await;
    let sql = "select current_database()::text";
    let name: String = client.query_one(sql, &[]).await.unwrap().get(0);
    for (pool_size, most_lists) in [(8, 2), (3, 1), (1, 1)] {
        client.batch_execute("select pg_advisory_lock(7)").await.unwrap();
        let settings = DatabaseSettings { pool_size, ..settings() };
        let pool = pool_with_reserve(&server.url(), &name, &settings).unwrap();
        let bench = Bench::new(pool, nothing()).await;
        let lists: Vec<_> = (0..most_lists + 3)
            .map(|_| {
                let ledger = bench.ledger.clone();
                tokio::spawn(async move { ledger.read_list(|connection| Box::pin(wait_for_lock(connection))).await })
            })
            .collect();
        let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted
                       and database = (select oid from pg_database where datname = current_database())";
        wait_until("the maximum number of lists is being read", async || {
            client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == most_lists
        })
        .await;
        if pool_size == 8 {
            let rows = (0..10).map(|_| bench.ledger.read(|connection| Box::pin(answer(connection))));
            let answers = futures::future::join_all(rows).await;
            assert!(answers.iter().all(|answer| matches!(answer, Ok(1))), "{answers:?}");
        }
        let reserve = bench.ledger.read_in_reserve(|connection| Box::pin(answer(connection))).await;
        assert!(matches!(reserve, Ok(1)), "{reserve:?}");
        let written = bench.ledger.write(entry(format!("of {pool_size}"))).await;
        assert_eq!(written, Written::Committed(Answer::Inserted));
        wait_until("the other lists are refused", async || lists.iter().filter(|list| list.is_finished()).count() == 3)
            .await;
        client.batch_execute("select pg_advisory_unlock(7)").await.unwrap();
        let mut refused = 0;
        for list in lists {
            match list.await.unwrap() {
                Ok(()) => {}
                Err(ReadError::ListsBusy) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 3);
        bench.stop().await;
    }
}
