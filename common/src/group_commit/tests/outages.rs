//! Lost connections and servers: no answer claims more than is known, and work resumes by itself.

use super::*;
use crate::config::DatabaseSettings;
use crate::db::test_server::{PATIENCE, TestServer, settings, signal};

/// Writes under load until `stop`; each task returns its answers.
fn load(bench: &Bench, stop: &Arc<AtomicU64>) -> Vec<JoinHandle<Vec<Answered>>> {
    (0..16)
        .map(|client| {
            let (ledger, stop) = (bench.ledger.clone(), stop.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while stop.load(Ordering::Relaxed) == 0 {
                    let id = format!("{client}-{}", answers.len());
                    let written = ledger.write(entry(id.clone())).await;
                    answers.push((id, written));
                }
                answers
            })
        })
        .collect()
}

async fn finish(clients: Vec<JoinHandle<Vec<Answered>>>, stop: &AtomicU64) -> Vec<Answered> {
    stop.store(1, Ordering::Relaxed);
    futures::future::join_all(clients).await.into_iter().flat_map(Result::unwrap).collect()
}

async fn wait_for_a_commit(bench: &Bench, id: &str) {
    let mut attempt = 0;
    wait_until("work continues", async || {
        attempt += 1;
        let written = bench.ledger.write(entry(format!("{id}-{attempt}"))).await;
        matches!(written, Written::Committed(_))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_under_load_makes_no_answer_a_lie() {
    let server = TestServer::start().await;
    let database = server.database(TABLES).await;
    let brief = DatabaseSettings { connect_timeout_ms: 300, ..settings() };
    let bench = Bench::new(database.pool_with(&brief), nothing()).await;
    let stop = Arc::new(AtomicU64::new(0));
    let clients = load(&bench, &stop);
    for crash in 0..4 {
        wait_for_a_commit(&bench, &format!("before-crash-{crash}")).await;
        let batches = bench.batches().len();
        bench.wait_for_batches(batches + 20).await;
        server.stop_immediately();
        wait_until("the outage is noticed", async || {
            matches!(bench.ledger.write(entry("away")).await, Written::NotWritten(_))
        })
        .await;
        server.start_again().await;
    }
    wait_for_a_commit(&bench, "after").await;
    let answers = finish(clients, &stop).await;
    // The server was away during many writes.
    let counts = check_honesty(&database, &answers).await;
    assert!(counts["committed"] > 100 && counts["not written"] > 0, "{counts:?}");
    assert_eq!(bench.entry.restarts(), 0, "an outage does not restart the actor");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_at_any_moment_make_no_answer_a_lie() {
    let database = TestServer::shared().await.database(TABLES).await;
    let bench = Bench::new(database.pool(), nothing()).await;
    let stop = Arc::new(AtomicU64::new(0));
    let clients = load(&bench, &stop);
    let killer = database.client().await;
    for _ in 0..100 {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and application_name = 'ecommerce'";
        killer.batch_execute(sql).await.unwrap();
        let batches = bench.batches().len();
        bench.wait_for_batches(batches + 3).await;
    }
    let answers = finish(clients, &stop).await;
    let counts = check_honesty(&database, &answers).await;
    assert!(counts["committed"] > 100, "{counts:?}");
    assert_eq!(bench.entry.restarts(), 0);
    bench.stop().await;
}

/// Makes every commit wait for a lock held by the test, before anything is durable.
const SLOW_COMMIT: &str = "
    create function wait_for_lock() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(88); return null; end $$;
    create constraint trigger slow_commit after insert on entry deferrable initially deferred
        for each row execute function wait_for_lock()";

#[tokio::test]
async fn a_commit_that_is_interrupted_leaves_its_items_in_doubt() {
    for interrupt in ["pg_terminate_backend", "pg_cancel_backend"] {
        let database = TestServer::shared().await.database(TABLES).await;
        let other = database.client().await;
        other.batch_execute(SLOW_COMMIT).await.unwrap();
        other.batch_execute("select pg_advisory_lock(88)").await.unwrap();
        let bench = Bench::new(database.pool(), nothing()).await;
        let write = bench.write(entry("a"));
        let sql = format!(
            "select {interrupt}(pid) from pg_stat_activity
             where datname = current_database() and wait_event = 'advisory'"
        );
        wait_until("the commit is in progress", async || !other.query(&sql, &[]).await.unwrap().is_empty()).await;
        let written = write.await.unwrap();
        assert!(matches!(&written, Written::InDoubt(why) if why.contains("commit")), "{interrupt}: {written:?}");
        other.batch_execute("select pg_advisory_unlock(88)").await.unwrap();
        assert_eq!(bench.ledger.write(entry("b")).await, Written::Committed(Answer::Inserted));
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_connection_that_goes_before_the_commit_leaves_nothing_written() {
    let database = TestServer::shared().await.database(TABLES).await;
    let other = Arc::new(database.client().await);
    let between: Between = Arc::new(move |call, connection| {
        let other = other.clone();
        Box::pin(async move {
            if call == 0 {
                let sql = "insert into entry (id, key, value) values ('half', 'half', 0)";
                connection.execute(sql, &[]).await?;
                let row = connection.query_one("select pg_backend_pid()", &[]).await?;
                let pid: i32 = row.get(0);
                other.execute("select pg_terminate_backend($1)", &[&pid]).await?;
            }
            Ok(())
        })
    });
    let bench = Bench::new(database.pool(), between).await;
    let written = bench.ledger.write(entry("a")).await;
    assert!(matches!(written, Written::NotWritten(_)), "{written:?}");
    assert!(rows(&database.client().await).await.is_empty());
    assert_eq!(bench.ledger.write(entry("a")).await, Written::Committed(Answer::Inserted));
    bench.stop().await;
}

#[tokio::test]
async fn a_session_that_hangs_while_it_commits_is_given_up_in_doubt() {
    let database = TestServer::shared().await.database(TABLES).await;
    let (found, mut pid) = tokio::sync::mpsc::unbounded_channel();
    let between: Between = Arc::new(move |_, connection| {
        let found = found.clone();
        Box::pin(async move {
            let row = connection.query_one("select pg_backend_pid()", &[]).await?;
            let _ = found.send(row.get::<_, i32>(0).unsigned_abs());
            Ok(())
        })
    });
    let other = database.client().await;
    other.batch_execute(SLOW_COMMIT).await.unwrap();
    other.batch_execute("select pg_advisory_lock(88)").await.unwrap();
    let brief = DatabaseSettings { statement_timeout_ms: 500, ..settings() };
    let bench = Bench::new(database.pool_with(&brief), between).await;
    let write = bench.write(entry("a"));
    let pid = pid.recv().await.unwrap();
    wait_until("the commit is in progress", async || {
        let sql = "select 1 from pg_stat_activity where pid = $1 and wait_event = 'advisory'";
        other.query_opt(sql, &[&pid.cast_signed()]).await.unwrap().is_some()
    })
    .await;
    signal("STOP", pid);
    let written = tokio::time::timeout(PATIENCE, write).await;
    signal("CONT", pid);
    let written = written.unwrap().unwrap();
    assert!(matches!(written, Written::InDoubt(_)), "{written:?}");
    other.batch_execute("select pg_advisory_unlock(88)").await.unwrap();
    assert_eq!(bench.ledger.write(entry("b")).await, Written::Committed(Answer::Inserted));
    bench.stop().await;
}

#[tokio::test]
async fn a_session_whose_begin_is_not_confirmed_leaves_its_items_in_doubt() {
    let database = TestServer::shared().await.database(TABLES).await;
    let one = DatabaseSettings { statement_timeout_ms: 100, pool_size: 1, ..settings() };
    let bench = Bench::new(database.pool_with(&one), nothing()).await;
    assert_eq!(bench.ledger.write(entry("a")).await, Written::Committed(Answer::Inserted));
    let session = "select pid from pg_stat_activity
                   where datname = current_database() and application_name = 'ecommerce'";
    let pid: i32 = database.client().await.query_one(session, &[]).await.unwrap().get(0);
    signal("STOP", pid.unsigned_abs());
    let written = tokio::time::timeout(PATIENCE, bench.ledger.write(entry("b"))).await;
    signal("CONT", pid.unsigned_abs());
    let written = written.unwrap();
    assert!(matches!(&written, Written::InDoubt(why) if why.contains("begin")), "{written:?}");
    assert_eq!(bench.ledger.write(entry("c")).await, Written::Committed(Answer::Inserted));
    bench.stop().await;
}

#[tokio::test]
async fn without_a_database_writes_and_reads_fail_in_time_and_do_not_spin() {
    let server = TestServer::start().await;
    let database = server.database(TABLES).await;
    let brief = DatabaseSettings { connect_timeout_ms: 200, ..settings() };
    let bench = Bench::new(database.pool_with(&brief), nothing()).await;
    assert_eq!(bench.ledger.write(entry("a")).await, Written::Committed(Answer::Inserted));
    server.stop_immediately();
    wait_until("the outage is noticed", async || {
        matches!(bench.ledger.write(entry("b")).await, Written::NotWritten(_))
    })
    .await;
    let batches = bench.entry.view().state["batches"].as_u64().unwrap();
    let before = tokio::time::Instant::now();
    let written = bench.ledger.write(entry("c")).await;
    assert!(matches!(&written, Written::NotWritten(why) if why.contains("cannot reach")), "{written:?}");
    let read = bench.ledger.read(|connection| Box::pin(connection.query("select 1", &[]))).await;
    assert!(read.is_err());
    assert!(before.elapsed() < PATIENCE);
    let tried = bench.entry.view().state["batches"].as_u64().unwrap() - batches;
    assert!(tried <= 2, "{tried} batches");
    server.start_again().await;
    wait_for_a_commit(&bench, "back").await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_database_tells_all_that_wait_and_does_not_try_each() {
    let server = TestServer::start().await;
    let database = server.database(TABLES).await;
    let brief = DatabaseSettings { connect_timeout_ms: 300, ..settings() };
    let one_by_one = GroupCommitSettings { max_batch: 1, max_queue: 1_000 };
    let bench = Bench::with(database.pool_with(&brief), nothing(), one_by_one).await;
    wait_for_a_commit(&bench, "before").await;
    server.stop_immediately();
    wait_until("the outage is noticed", async || {
        matches!(bench.ledger.write(entry("away")).await, Written::NotWritten(_))
    })
    .await;
    let writes: Vec<_> = (0..500).map(|n| bench.write(entry(n.to_string()))).collect();
    wait_until("a full queue", async || bench.entry.view().queue_depth.is_some_and(|depth| depth > 450)).await;
    bench.stop().await;
    let mut given_up = 0;
    for write in writes {
        let Written::NotWritten(reason) = write.await.unwrap() else { panic!("written without a database") };
        given_up += usize::from(reason == "the writer has stopped");
    }
    assert!(given_up > 400, "only {given_up} were not tried");
}
