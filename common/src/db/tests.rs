//! Connections, pools and set-up against a real server.

use std::time::Duration;

use refinery::{Migration, Runner};
use secrecy::SecretString;

use super::test_server::{TestServer, settings, signal};
use super::*;

#[test]
fn a_place_never_shows_the_password() {
    for (url, expected) in [
        ("postgres://u:secret@db.example:6000/x", "db.example:6000"),
        ("postgres://u:secret@db.example/x", "db.example:5432"),
        ("postgres://u:secret@/x?host=/run/pg", "socket /run/pg"),
    ] {
        let target = Target::new(&SecretString::from(url), None, None).unwrap();
        assert_eq!(target.place(), expected);
        assert!(!format!("{target:?}").contains("secret"));
    }
}

#[test]
fn a_bad_url_is_said_in_one_line() {
    for url in ["nonsense", "", "http://host/", "postgres://u:secret@h:port/"] {
        let error = Target::new(&SecretString::from(url), None, None).unwrap_err().to_string();
        assert!(error.starts_with("database.url is not"), "{error}");
        assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_reported_with_its_place_and_the_cause() {
    let server = SecretString::from("postgres://u:secret@127.0.0.1:1/x");
    let error = wait_for(&server, None, Duration::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("refused"), "{error}");
    let brief = DatabaseSettings { connect_timeout_ms: 300, ..settings() };
    let pool = pool(&server, "x", &brief).unwrap();
    let error = pool.get().await.map(drop).unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("refused"), "{error}");
    assert!(ping(&pool).await.is_err());
}

#[tokio::test]
async fn a_database_is_made_once_by_any_number_that_want_it() {
    let server = TestServer::shared().await;
    let name = "made \"at once\"";
    let url = server.url();
    let made = futures::future::join_all((0..8).map(|_| ensure_database(&url, name))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    Connection::open(&server.url(), name, &settings()).await.unwrap();
    let missing = Connection::open(&server.url(), "never made", &settings()).await.map(drop);
    assert!(missing.unwrap_err().is_missing_database());
}

#[tokio::test]
async fn migrations_are_applied_once_by_any_number_that_come_at_once() {
    let server = TestServer::shared().await;
    let database = server.database("").await;
    let runner = || {
        let sql = "create table thing (id int); select pg_sleep(0.1)";
        Runner::new(&[Migration::unapplied("V1__thing", sql).unwrap()])
    };
    let url = server.url();
    let migrated = futures::future::join_all((0..4).map(|_| migrate(&url, &database.name, runner()))).await;
    let applied: usize = migrated.into_iter().map(Result::unwrap).sum();
    assert_eq!(applied, 1);
    let wrong = Runner::new(&[
        Migration::unapplied("V1__thing", "create table thing (id int); select pg_sleep(0.1)").unwrap(),
        Migration::unapplied("V2__wrong", "create tabel x ()").unwrap(),
    ]);
    let error = migrate(&url, &database.name, wrong).await.unwrap_err().to_string();
    assert!(error.contains(&database.name) && error.contains("tabel"), "{error}");
}

#[tokio::test]
async fn a_statement_is_prepared_once_a_connection() {
    let database = TestServer::shared().await.database("").await;
    let pool = database.pool();
    let mut connection = pool.get().await.unwrap();
    for _ in 0..3 {
        connection.query_one("select 1 + $1::int", &[&1]).await.unwrap();
    }
    let count = "select count(*) from pg_prepared_statements where statement like 'select 1 + %'";
    let prepared: i64 = connection.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(prepared, 1);
}

#[tokio::test]
async fn a_statement_that_no_longer_fits_its_table_is_prepared_anew() {
    let database = TestServer::shared().await.database("create table thing (id int)").await;
    let pool = database.pool();
    let mut connection = pool.get().await.unwrap();
    let sql = "select * from thing";
    connection.query(sql, &[]).await.unwrap();
    database.client().await.batch_execute("alter table thing add name text").await.unwrap();
    connection.query(sql, &[]).await.unwrap_err();
    connection.query(sql, &[]).await.unwrap();
}

#[tokio::test]
async fn a_connection_in_an_unknown_state_is_never_handed_on() {
    let database = TestServer::shared().await.database("").await;
    let pool = database.pool_with(&DatabaseSettings { pool_size: 1, ..settings() });
    let session = async || {
        let mut connection = pool.get().await.unwrap();
        connection.query_one("select pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0)
    };
    let first = session().await;
    assert_eq!(session().await, first, "a good connection is used again");

    let abandoned = async {
        let mut connection = pool.get().await.unwrap();
        connection.query("select pg_sleep(60)", &[]).await.map(drop)
    };
    let _ = tokio::time::timeout(Duration::from_millis(50), abandoned).await;
    let second = session().await;
    assert_ne!(second, first, "a statement was still running");

    let mut connection = pool.get().await.unwrap();
    connection.begin().await.unwrap();
    drop(connection);
    let third = session().await;
    assert_ne!(third, second, "a transaction was open");

    database.client().await.execute("select pg_terminate_backend($1)", &[&third]).await.unwrap();
    test_server::wait_until("a session that was ended is replaced", async || {
        pool.get().await.unwrap().query("select 1", &[]).await.is_ok()
    })
    .await;
    assert_ne!(session().await, third);
}

#[tokio::test]
async fn connections_that_were_closed_while_they_lay_idle_are_not_handed_out() {
    let database = TestServer::shared().await.database("").await;
    let pool = database.pool();
    futures::future::join_all((0..4).map(|_| pool.get())).await;
    assert_eq!(pool.state().idle_connections, 4);
    let other = database.client().await;
    let end_all = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and application_name = 'ecommerce'";
    other.batch_execute(end_all).await.unwrap();
    let mut looks = 0;
    test_server::wait_until("the sessions are gone, and this process heard of it", async || {
        looks += 1;
        other.query(end_all, &[]).await.unwrap().is_empty() && looks > 10
    })
    .await;
    for _ in 0..4 {
        pool.get().await.unwrap().query("select 1", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_hangs_is_given_up_after_a_while() {
    let database = TestServer::shared().await.database("").await;
    let brief = DatabaseSettings { statement_timeout_ms: 100, ..settings() };
    let pool = database.pool_with(&brief);
    let mut connection = pool.get().await.unwrap();
    let pid: i32 = connection.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    signal("STOP", pid.unsigned_abs());
    let error = connection.query("select 1", &[]).await.unwrap_err();
    signal("CONT", pid.unsigned_abs());
    assert!(error.to_string().contains("timeout"), "{error}");
    drop(connection);
    ping(&pool).await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let database = TestServer::shared().await.database("").await;
    let pool = database.pool_with(&DatabaseSettings { statement_timeout_ms: 50, ..settings() });
    let mut connection = pool.get().await.unwrap();
    let error = connection.query("select pg_sleep(60)", &[]).await.unwrap_err();
    assert!(describe(&error).contains("57014"), "{}", describe(&error));
    connection.query("select 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_pool_whose_connections_are_all_in_use_says_so() {
    let database = TestServer::shared().await.database("").await;
    let few = DatabaseSettings { pool_size: 1, connect_timeout_ms: 200, ..settings() };
    let pool = database.pool_with(&few);
    let taken = pool.get().await.unwrap();
    assert!(matches!(pool.get().await.map(drop), Err(DbError::Busy { .. })));
    drop(taken);
    pool.get().await.unwrap();
}
