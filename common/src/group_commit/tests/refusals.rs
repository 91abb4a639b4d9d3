//! Values that the database refuses, and transactions that it asks to repeat.

use tokio::sync::Notify;

use super::*;
use crate::db::Bound;
use crate::db::test_server::TestServer;
use crate::traces::Tracer;

/// Queues entries behind a held batch, so that they form one batch, and returns their answers.
async fn write_together(bench: &Bench, gate: &tokio::sync::Semaphore, entries: Vec<Entry>) -> Vec<Answered> {
    let first = bench.write(entry("first"));
    bench.wait_for_batches(1).await;
    let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
    let writes: Vec<_> = entries.into_iter().map(|entry| bench.write(entry)).collect();
    bench.wait_for_queue(ids.len()).await;
    gate.add_permits(10_000);
    first.await.unwrap();
    let answers = futures::future::join_all(writes).await;
    ids.into_iter().zip(answers.into_iter().map(Result::unwrap)).collect()
}

#[tokio::test]
async fn a_value_that_is_refused_fails_alone() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, between) = gate();
    let bench = Bench::new(database.pool(), between).await;
    // -1 breaks the check (23514), 40000 does not fit (22003).
    let value = |n: i32| [(13, -1), (57, 40_000), (58, -1)].iter().find(|(at, _)| *at == n);
    let entries =
        (0..100).map(|n| Entry { value: value(n).map_or(n, |(_, value)| *value), ..entry(n.to_string()) }).collect();
    let answers = write_together(&bench, &gate, entries).await;
    for (id, written) in &answers {
        match (id.as_str(), written) {
            ("13" | "58", Written::Rejected(reason)) => assert_eq!(reason.sqlstate, "23514"),
            ("57", Written::Rejected(reason)) => assert_eq!(reason.sqlstate, "22003"),
            (_, written) => assert_eq!(written, &Written::Committed(Answer::Inserted), "{id}"),
        }
    }
    let counts = check_honesty(&database, &answers).await;
    assert_eq!(counts, HashMap::from([("committed", 97), ("rejected", 3)]));
    assert_eq!(bench.entry.restarts(), 0);
    bench.stop().await;
}

#[tokio::test]
async fn a_value_that_only_the_commit_refuses_fails_alone_too() {
    let tables = "
        create table entry (id text, key text, value int, position bigserial,
                            unique (value) deferrable initially deferred)";
    let database = TestServer::shared().await.database(tables).await;
    let (gate, between) = gate();
    let bench = Bench::new(database.pool(), between).await;
    let entries = (1..=8).map(|n| Entry { value: if n == 7 { 2 } else { n }, ..entry(n.to_string()) });
    let answers = write_together(&bench, &gate, entries.collect()).await;
    let rejected: Vec<&str> = answers
        .iter()
        .filter(|(_, written)| matches!(written, Written::Rejected(_)))
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(rejected, ["7"], "{answers:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_lost_race_for_a_key_is_run_again_and_finds_the_winner() {
    let database = TestServer::shared().await.database(TABLES).await;
    let rival = Arc::new(database.client().await);
    let between: Between = Arc::new(move |call, _| {
        let rival = rival.clone();
        Box::pin(async move {
            if call == 0 {
                let sql = "insert into entry (id, key, value) values ('contested', 'rival', 1)";
                rival.batch_execute(sql).await.unwrap();
            }
            Ok(())
        })
    });
    let bench = Bench::new(database.pool(), between).await;
    let written = bench.ledger.write(entry("contested")).await;
    assert_eq!(written, Written::Committed(Answer::WasThere));
    assert_eq!(bench.batches().len(), 2);
    assert_eq!(rows(&database.client().await).await, [("contested".to_owned(), 1)]);
    bench.stop().await;
}

#[tokio::test]
async fn a_deadlock_is_run_again() {
    let database = TestServer::shared().await.database(TABLES).await;
    let rival = Arc::new(database.client().await);
    let sql = "insert into entry (id, key, value) values ('a', 'a', 0), ('b', 'b', 0)";
    rival.batch_execute(sql).await.unwrap();
    rival.batch_execute("begin; update entry set value = 1 where id = 'a'").await.unwrap();
    let (we_hold_b, rival_done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, done) = (we_hold_b.clone(), rival_done.clone());
    let between: Between = Arc::new(move |call, connection| {
        let (told, done) = (told.clone(), done.clone());
        Box::pin(async move {
            if call > 0 {
                done.notified().await;
                return Ok(());
            }
            // The session that detects the deadlock first is the victim: this one checks a hundred times sooner.
            connection.batch_execute("set local deadlock_timeout = '10ms'").await?;
            connection.execute("update entry set value = 2 where id = 'b'", &[]).await?;
            told.notify_one();
            connection.execute("update entry set value = 2 where id = 'a'", &[]).await?;
            panic!("no deadlock");
        })
    });
    let bench = Bench::new(database.pool(), between).await;
    let write = bench.write(entry("c"));
    we_hold_b.notified().await;
    rival.batch_execute("update entry set value = 1 where id = 'b'; commit").await.unwrap();
    rival_done.notify_one();
    assert_eq!(write.await.unwrap(), Written::Committed(Answer::Inserted));
    assert_eq!(bench.batches().len(), 2);
    let expected = [("a".to_owned(), 1), ("b".to_owned(), 1), ("c".to_owned(), 0)];
    assert_eq!(rows(&database.client().await).await, expected);
    bench.stop().await;
}

#[tokio::test]
async fn any_other_error_of_the_database_is_not_written_and_rolls_back() {
    let database = TestServer::shared().await.database(TABLES).await;
    let between: Between = Arc::new(|call, connection| {
        Box::pin(async move {
            if call == 0 {
                let sql = "insert into entry (id, key, value) values ('half', 'half', 0)";
                connection.execute(sql, &[]).await?;
                connection.execute("select no_such_function()", &[]).await?;
            }
            Ok(())
        })
    });
    let bench = Bench::new(database.pool(), between).await;
    let written = bench.ledger.write(entry("a")).await;
    assert!(matches!(&written, Written::NotWritten(why) if why.contains("42883")), "{written:?}");
    assert!(rows(&database.client().await).await.is_empty());
    let again = bench.ledger.write(entry("a")).await;
    assert_eq!(again, Written::Committed(Answer::Inserted));
    bench.stop().await;
}

/// Starts a ledger in its own supervision tree, with batches of one item.
async fn one_at_a_time<W: BatchWriter>(name: &str, pool: Pool, writer: W) -> (BatchSender<W>, Root) {
    let entry = |of: &str, kind| ActorEntry::new(format!("group-commit-{name}/test{of}"), kind);
    let settings = GroupCommitSettings { max_batch: 1, max_queue: 1 };
    let (ledger, child) =
        BatchSender::new(entry("/ledger", "group commit"), "test", pool, writer, &settings, Tracer::off());
    let root = start(SupervisorSpec {
        entry: entry("", "supervisor"),
        budget: Budget { max_restarts: 0, within: Duration::from_secs(1) },
        backoff: Backoff { min: Duration::from_millis(1), max: Duration::from_millis(1) },
        children: vec![child],
    });
    (ledger, root.await.unwrap())
}

#[tokio::test]
async fn an_error_that_a_writer_swallows_is_not_called_a_success() {
    let database = TestServer::shared().await.database(TABLES).await;
    // The server answers the commit of a failed transaction with a rollback, and with no error.
    let tables = "drop table entry; create table entry (id text, key text, value int)";
    database.client().await.batch_execute(tables).await.unwrap();
    struct Careless;
    impl BatchWriter for Careless {
        type Item = Entry;
        type Answer = ();
        fn key(item: &Entry) -> Cow<'_, str> {
            Cow::Borrowed(&item.key)
        }
        async fn write(&self, connection: &mut Connection, items: &[Entry], _: Try) -> Result<Vec<()>, BatchError> {
            connection.execute("insert into entry (id) values ('careless')", &[]).await?;
            let _ = connection.execute("select 1 / (value - value) from (select 1) x", &[]).await;
            Ok(items.iter().map(|_| ()).collect())
        }
    }
    let (ledger, root) = one_at_a_time("careless", database.pool(), Careless).await;
    let written = ledger.write(entry("a")).await;
    assert!(matches!(written, Written::NotWritten(_)), "{written:?}");
    let left = database.client().await.query("select id from entry", &[]).await.unwrap();
    assert!(left.is_empty());
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_panic_leaves_its_callers_in_doubt_and_the_next_call_works() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (gate, held) = gate();
    // One batch is held, the next one panics; the items behind it are in no batch.
    let between: Between = Arc::new(move |call, connection| {
        assert_ne!(call, 1, "a writer that panics");
        held(call, connection)
    });
    let bench = Bench::with(database.pool(), between, GroupCommitSettings { max_batch: 5, max_queue: 8192 }).await;
    let first = bench.write(entry("first"));
    bench.wait_for_batches(1).await;
    let doomed: Vec<_> = (0..5).map(|n| bench.write(entry(n.to_string()))).collect();
    bench.wait_for_queue(5).await;
    let behind: Vec<_> = (5..7).map(|n| bench.write(entry(n.to_string()))).collect();
    bench.wait_for_queue(7).await;
    gate.add_permits(100);
    assert_eq!(first.await.unwrap(), Written::Committed(Answer::Inserted));
    for write in doomed {
        assert!(matches!(write.await.unwrap(), Written::InDoubt(_)));
    }
    for write in behind {
        assert!(matches!(write.await.unwrap(), Written::NotWritten(_)));
    }
    wait_until("the restart", async || bench.entry.view().status == "running").await;
    let view = bench.entry.view();
    assert_eq!(view.restarts, 1);
    let reason = view.last_restart_reason.unwrap();
    assert!(reason.contains("a writer that panics"), "{reason}");
    wait_until("the next call", async || matches!(bench.ledger.write(entry("next")).await, Written::Committed(_)))
        .await;
    let ids: Vec<String> = rows(&database.client().await).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["first", "next"], "a panic's transaction is rolled back");
    assert_eq!(bench.entry.view().queue_depth, Some(0), "no slot of the queue is lost");
    bench.stop().await;
}

#[tokio::test]
async fn a_writer_that_commits_by_itself_is_believed_and_what_fails_after_that_is_in_doubt() {
    let database = TestServer::shared().await.database(TABLES).await;
    struct Finishing;
    impl BatchWriter for Finishing {
        type Item = Entry;
        type Answer = ();
        fn key(item: &Entry) -> Cow<'_, str> {
            Cow::Borrowed(&item.key)
        }
        async fn write(&self, connection: &mut Connection, items: &[Entry], _: Try) -> Result<Vec<()>, BatchError> {
            let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
            let insert = "insert into entry (id, key, value) select id, id, 0 from unnest($1::text[]) as i (id)";
            connection.finish(&[Bound::new(insert).with(ids)]).await?;
            if items.iter().any(|item| item.value > 0) {
                connection.query("select 1 / (position - position) from entry", &[]).await?;
            }
            Ok(items.iter().map(|_| ()).collect())
        }
    }
    let (ledger, root) = one_at_a_time("finishing", database.pool(), Finishing).await;
    assert_eq!(ledger.write(entry("a")).await, Written::Committed(()));
    let taken = ledger.write(entry("a")).await;
    assert!(matches!(&taken, Written::Rejected(_) | Written::NotWritten(_)), "{taken:?}");
    let written = ledger.write(Entry { value: 1, ..entry("b") }).await;
    assert!(matches!(&written, Written::InDoubt(why) if why.contains("after the commit")), "{written:?}");
    let there = database.client().await.query("select id from entry order by id", &[]).await.unwrap();
    let there: Vec<String> = there.iter().map(|row| row.get(0)).collect();
    assert_eq!(there, ["a", "b"]);
    assert_eq!(ledger.write(entry("c")).await, Written::Committed(()), "the connection still works");
    root.stop(Duration::from_secs(5)).await;
}
