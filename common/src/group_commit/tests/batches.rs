//! How batches form, and the effects of a full queue, a stop and reads.

use super::*;
use crate::db::test_server::TestServer;
use crate::group_commit::ReadError;

#[tokio::test]
async fn what_arrives_while_a_batch_is_out_forms_the_next_one() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, between) = gate();
    let bench = Bench::new(database.pool(), between).await;
    let first = bench.write(entry("first"));
    bench.wait_for_batches(1).await;
    let others: Vec<_> = (0..100).map(|n| bench.write(entry(n.to_string()))).collect();
    bench.wait_for_queue(100).await;
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), Written::Committed(Answer::Inserted));
    for other in others {
        assert_eq!(other.await.unwrap(), Written::Committed(Answer::Inserted));
    }
    let sizes: Vec<usize> = bench.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 100]);
    assert_eq!(rows(&database.client().await).await.len(), 101);
    let state = bench.entry.view().state;
    assert_eq!(state["batches"], 2);
    assert_eq!(state["items"], 101);
    assert_eq!(state["largest_batch"], 100);
    bench.stop().await;
}

#[tokio::test]
async fn items_are_written_in_the_order_of_the_calls_whoever_waits_first() {
    let database = TestServer::shared().await.database(TABLES).await;
    let bench = Bench::new(database.pool(), nothing()).await;
    let calls: Vec<_> = ["first", "second", "third"].map(|id| bench.ledger.write(entry(id))).into_iter().collect();
    for call in calls.into_iter().rev() {
        assert_eq!(call.await, Written::Committed(Answer::Inserted));
    }
    let written: Vec<String> = rows(&database.client().await).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(written, ["first", "second", "third"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_batch_is_never_larger_than_its_bound() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, between) = gate();
    let settings = GroupCommitSettings { max_batch: 10, max_queue: 100 };
    let bench = Bench::with(database.pool(), between, settings).await;
    let first = bench.write(entry("first"));
    bench.wait_for_batches(1).await;
    let others: Vec<_> = (0..25).map(|n| bench.write(entry(n.to_string()))).collect();
    bench.wait_for_queue(25).await;
    gate.add_permits(100);
    futures::future::join_all(others).await;
    first.await.unwrap();
    let sizes: Vec<usize> = bench.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 10, 10, 5]);
    bench.stop().await;
}

#[tokio::test]
async fn an_item_that_goes_alone_shares_no_batch_and_keeps_its_place() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, between) = gate();
    let bench = Bench::new(database.pool(), between).await;
    let first = bench.write(entry("first"));
    bench.wait_for_batches(1).await;
    let others: Vec<_> = ["a", "b", "alone 1", "alone 2", "c"].map(|id| bench.write(entry(id))).into_iter().collect();
    bench.wait_for_queue(5).await;
    gate.add_permits(100);
    futures::future::join_all(others).await;
    first.await.unwrap();
    let batches: Vec<String> = bench
        .batches()
        .iter()
        .map(|batch| batch.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(batches, ["first", "a b", "alone 1", "alone 2", "c"]);
    bench.stop().await;
}

#[tokio::test]
async fn items_of_one_key_keep_their_order_and_never_share_a_batch() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, between) = gate();
    let settings = GroupCommitSettings { max_batch: 7, max_queue: 1000 };
    let bench = Bench::with(database.pool(), between, settings).await;
    let first = bench.write(entry("first"));
    bench.wait_for_batches(1).await;
    let mut writes = Vec::new();
    for n in 0..60 {
        // A hot key, interleaved with others.
        let key = if n % 3 == 0 { format!("key-{}", n % 5) } else { "hot".to_owned() };
        writes.push(bench.write(Entry { id: format!("{key} {n:03}"), key, value: 0 }));
        bench.wait_for_queue(n + 1).await;
    }
    gate.add_permits(1000);
    futures::future::join_all(writes).await;
    first.await.unwrap();
    for batch in bench.batches() {
        let mut keys: Vec<&str> = batch.iter().map(|entry| entry.key.as_str()).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count, "a key twice in {batch:?}");
    }
    let ids: Vec<String> = rows(&database.client().await).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 61);
    for key in ["hot", "key-0", "key-1", "key-2", "key-3", "key-4"] {
        let of_key: Vec<&String> = ids.iter().filter(|id| id.starts_with(key)).collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_full_queue_answers_at_once_that_nothing_is_written() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, between) = gate();
    let settings = GroupCommitSettings { max_batch: 10, max_queue: 3 };
    let bench = Bench::with(database.pool(), between, settings).await;
    let mut writes = vec![bench.write(entry("in flight"))];
    bench.wait_for_batches(1).await;
    bench.wait_for_queue(0).await;
    writes.extend((0..3).map(|n| bench.write(entry(n.to_string()))));
    bench.wait_for_queue(3).await;
    let refused = bench.ledger.write(entry("too many")).await;
    assert_eq!(refused, Written::NotWritten("the queue is full".to_owned()));
    gate.add_permits(100);
    for write in writes {
        assert_eq!(write.await.unwrap(), Written::Committed(Answer::Inserted));
    }
    let again = bench.ledger.write(entry("too many")).await;
    assert_eq!(again, Written::Committed(Answer::Inserted));
    bench.stop().await;
}

#[tokio::test]
async fn a_stop_writes_what_is_in_flight_and_what_waits() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, between) = gate();
    let settings = GroupCommitSettings { max_batch: 2, max_queue: 100 };
    let bench = Bench::with(database.pool(), between, settings).await;
    let mut writes = vec![bench.write(entry("in flight"))];
    bench.wait_for_batches(1).await;
    writes.extend((0..5).map(|n| bench.write(entry(n.to_string()))));
    bench.wait_for_queue(5).await;
    let ledger = bench.ledger.clone();
    let stopping = tokio::spawn(bench.stop());
    gate.add_permits(100);
    stopping.await.unwrap();
    for write in writes {
        assert_eq!(write.await.unwrap(), Written::Committed(Answer::Inserted));
    }
    assert_eq!(rows(&database.client().await).await.len(), 6);
    let late = ledger.write(entry("late")).await;
    assert!(matches!(late, Written::NotWritten(_)), "{late:?}");
}

#[tokio::test]
async fn reads_run_beside_the_writes_and_leave_them_a_connection() {
    let database = TestServer::shared().await.database(TABLES).await;
    let bench = Bench::new(database.pool(), nothing()).await;
    let lock = database.client().await;
    lock.batch_execute("select pg_advisory_lock(77)").await.unwrap();
    let reads: Vec<_> = (0..30)
        .map(|_| {
            let ledger = bench.ledger.clone();
            tokio::spawn(async move {
                let sql = "select pg_advisory_xact_lock_shared(77), 1";
                ledger.read(|connection| Box::pin(connection.query_one(sql, &[]))).await
            })
        })
        .collect();
    wait_until("the reads wait for their lock", async || {
        let sql = "select count(*) from pg_locks where locktype = 'advisory' and not granted
                   and database = (select oid from pg_database where datname = current_database())";
        lock.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= 6
    })
    .await;
    let written = bench.ledger.write(entry("beside")).await;
    assert_eq!(written, Written::Committed(Answer::Inserted));
    assert!(reads.iter().all(|read| !read.is_finished()));
    lock.batch_execute("select pg_advisory_unlock(77)").await.unwrap();
    for read in reads {
        read.await.unwrap().unwrap();
    }
    let error = bench.ledger.read(|connection| Box::pin(connection.query("select x", &[]))).await;
    assert!(matches!(error, Err(ReadError::Database(_))));
    bench.stop().await;
}
