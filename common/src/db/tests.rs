//! Tests of connections, pools and set-up against a real server.

use std::time::Duration;

use refinery::{Migration, Runner};
use secrecy::{ExposeSecret, SecretString};

use super::test_server::{TestServer, settings, signal};
use super::*;
use crate::config::DatabaseSettings;

mod hosts;

#[test]
fn a_target_never_shows_the_password() {
    for url in ["postgres://u:secret@db.example:6000/x", "postgres://u:secret@/x?host=/run/pg,h2"] {
        let target = Target::new(&SecretString::from(url), None, None).unwrap();
        assert!(!format!("{target:?}").contains("secret"));
    }
}

#[test]
fn a_bad_url_is_said_in_one_line() {
    let error = Target::new(&SecretString::from("postgres://u:secret@h:port/"), None, None).unwrap_err().to_string();
    assert_eq!(error, "database.url is not a PostgreSQL URL: a port is not a number from 1 to 65535");
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
    assert!(check_writable(&pool).await.is_err());
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
    let migrated =
        futures::future::join_all((0..4).map(|_| migrate(&url, &database.name, runner(), OtherPrograms::MayRun))).await;
    let applied: usize = migrated.into_iter().map(|one| one.unwrap().applied).sum();
    assert_eq!(applied, 1);
    let wrong = Runner::new(&[
        Migration::unapplied("V1__thing", "create table thing (id int); select pg_sleep(0.1)").unwrap(),
        Migration::unapplied("V2__wrong", "create tabel x ()").unwrap(),
    ]);
    let error = migrate(&url, &database.name, wrong, OtherPrograms::MayRun).await.unwrap_err().to_string();
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
    assert_eq!(session().await, first, "a healthy connection is reused");

    let abandoned = async {
        let mut connection = pool.get().await.unwrap();
        connection.query("select pg_sleep(60)", &[]).await.map(drop)
    };
    let _ = tokio::time::timeout(Duration::from_millis(50), abandoned).await;
    let second = session().await;
    assert_ne!(second, first, "a statement was still running");

    let mut connection = pool.get().await.unwrap();
    connection.begin();
    connection.query("select 1", &[]).await.unwrap();
    drop(connection);
    let third = session().await;
    assert_ne!(third, second, "a transaction was open");

    database.client().await.execute("select pg_terminate_backend($1)", &[&third]).await.unwrap();
    test_server::wait_until("an ended session is replaced", async || {
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
    assert_eq!(pool.state().idle, 4);
    let other = database.client().await;
    let end_all = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and application_name = 'ecommerce'";
    other.batch_execute(end_all).await.unwrap();
    let mut looks = 0;
    test_server::wait_until("the sessions are closed, and this process has noticed", async || {
        looks += 1;
        other.query(end_all, &[]).await.unwrap().is_empty() && looks > 10
    })
    .await;
    for _ in 0..4 {
        pool.get().await.unwrap().query("select 1", &[]).await.unwrap();
    }
}

async fn session_of(connection: &mut Connection) -> i32 {
    connection.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_session_that_was_opened_while_the_server_took_no_writes_is_not_used_for_long() {
    let database = TestServer::shared().await.database("create table thing (id int primary key)").await;
    let administrator = database.client().await;
    let read_only = async |value: &str| {
        let alter = format!("alter database {} set default_transaction_read_only = {value}", database.name);
        administrator.batch_execute(&format!("set default_transaction_read_only = off; {alter}")).await.unwrap();
    };
    read_only("on").await;
    let pool = database.pool();
    for refused in [pool.writer().await.map(drop), pool.get().await.map(drop)] {
        assert!(matches!(refused, Err(DbError::ReadOnly { .. })), "{refused:?}");
    }
    let mut shown = pool.get_for_display().await.unwrap();
    shown.query("select * from thing", &[]).await.unwrap();
    drop(shown);
    read_only("off").await;
    test_server::wait_until("writable sessions replace them", async || {
        pool.writer().await.is_ok() && pool.get().await.is_ok()
    })
    .await;
    let mut writer = pool.writer().await.unwrap();
    writer.execute("insert into thing values (1)", &[]).await.unwrap();
}

#[tokio::test]
async fn a_session_that_turns_out_to_be_of_no_use_is_given_up() {
    let database = TestServer::shared().await.database("create table thing (id int primary key)").await;
    let pool = database.pool_with(&DatabaseSettings { pool_size: 1, ..settings() });
    for (turn, statement, sqlstate) in [
        ("set default_transaction_read_only = on", "insert into thing values (1)", "25006"),
        ("deallocate all", "select 2", "26000"),
        (
            "create or replace function end_it() returns int language plpgsql as
             $$ begin raise exception 'going' using errcode = '57P01'; end $$",
            "select end_it()",
            "57P01",
        ),
        (
            "create or replace function cut_it() returns int language plpgsql as
             $$ begin raise exception 'cut' using errcode = '08006'; end $$",
            "select cut_it()",
            "08006",
        ),
    ] {
        let mut connection = pool.writer().await.unwrap();
        let before = session_of(&mut connection).await;
        let _ = connection.query("select 2", &[]).await;
        connection.batch_execute(turn).await.unwrap();
        let error = connection.query(statement, &[]).await.unwrap_err();
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some(sqlstate));
        drop(connection);
        let mut connection = pool.writer().await.unwrap();
        assert_ne!(session_of(&mut connection).await, before, "{sqlstate}");
    }
    let mut connection = pool.writer().await.unwrap();
    let before = session_of(&mut connection).await;
    connection.query("select 1 / 0", &[]).await.unwrap_err();
    drop(connection);
    let mut connection = pool.writer().await.unwrap();
    assert_eq!(session_of(&mut connection).await, before, "an ordinary error does not end the session");
}

#[tokio::test]
async fn settings_in_the_options_of_a_url_count_beside_those_of_the_program() {
    let database = TestServer::shared().await.database("").await;
    let server = TestServer::shared().await.url();
    let url = format!("{}&options=-c%20work_mem%3D7MB%20-c%20DateStyle%3DSQL", server.expose_secret());
    let pool = pool(&url.into(), &database.name, &settings()).unwrap();
    let mut connection = pool.get().await.unwrap();
    for (setting, expected) in [("work_mem", "7MB"), ("DateStyle", "SQL, MDY"), ("jit", "off")] {
        let row = connection.query_one("select current_setting($1)", &[&setting]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), expected);
    }
    let limit = connection.query_one("select current_setting('statement_timeout')", &[]).await.unwrap();
    assert_eq!(limit.get::<_, String>(0), "5s");
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
    check_writable(&pool).await.unwrap();
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

/// Counts the rows visible to other sessions.
async fn things(database: &test_server::TestDatabase<'_>) -> i64 {
    database.client().await.query_one("select count(*) from thing", &[]).await.unwrap().get(0)
}

const INSERT: &str = "insert into thing (id) select * from unnest($1::int[]) returning id";
const FAIL: &str = "select 1 / (id - id) from thing";

fn insert(ids: &[i32]) -> Bound<'_> {
    Bound::new(INSERT).with(ids)
}

#[tokio::test]
async fn the_last_statements_go_with_the_commit_and_answer_in_order() {
    let database = TestServer::shared().await.database("create table thing (id int primary key)").await;
    let pool = database.pool();
    let mut connection = pool.writer().await.unwrap();
    connection.begin();
    let rows = connection.finish(&[insert(&[1, 2]), insert(&[3])]).await.unwrap();
    let ids: Vec<Vec<i32>> = rows.iter().map(|rows| rows.iter().map(|row| row.get(0)).collect()).collect();
    assert_eq!(ids, [vec![1, 2], vec![3]]);
    assert_eq!(connection.commit_state(), Commit::Done);
    assert!(connection.is_reusable());
    assert_eq!(things(&database).await, 3);
}

#[tokio::test]
async fn a_statement_that_fails_takes_the_commit_behind_it_with_it() {
    let database = TestServer::shared().await.database("create table thing (id int primary key)").await;
    let pool = database.pool();
    let mut connection = pool.writer().await.unwrap();
    for statements in [&[insert(&[1]), Bound::new(FAIL)][..], &[insert(&[1]), Bound::new(FAIL), insert(&[2])]] {
        connection.begin();
        let error = connection.finish(statements).await.unwrap_err();
        assert!(is_refusal(&error) && describe(&error).contains("22012"), "{}", describe(&error));
        assert_eq!(connection.commit_state(), Commit::Sent);
        assert!(connection.is_reusable(), "the server has ended the transaction");
        assert_eq!(things(&database).await, 0);
    }
}

#[tokio::test]
async fn a_statement_that_cannot_be_encoded_holds_the_commit_back() {
    let database = TestServer::shared().await.database("create table thing (id int primary key)").await;
    let pool = database.pool();
    let mut connection = pool.writer().await.unwrap();
    connection.begin();
    let wrong = Bound::new(INSERT).with("not a list of numbers");
    connection.finish(&[insert(&[1]), wrong]).await.unwrap_err();
    assert_eq!(connection.commit_state(), Commit::NotSent);
    connection.rollback().await;
    assert_eq!(things(&database).await, 0);
}

#[tokio::test]
async fn after_a_statement_that_failed_nothing_is_committed_though_its_writer_goes_on() {
    let database = TestServer::shared().await.database("create table thing (id int primary key)").await;
    let pool = database.pool();
    let mut connection = pool.writer().await.unwrap();
    connection.begin();
    connection.query_all(&[insert(&[1])]).await.unwrap();
    connection.query(FAIL, &[]).await.unwrap_err();
    connection.finish(&[]).await.unwrap();
    assert_eq!(connection.commit_state(), Commit::NotSent);
    assert!(connection.transaction_failed() && !connection.is_reusable());
    connection.rollback().await;
    assert!(connection.is_reusable());
    assert_eq!(things(&database).await, 0);
}

#[tokio::test]
async fn a_statement_alone_is_a_transaction_by_itself() {
    let database = TestServer::shared().await.database("create table thing (id int primary key)").await;
    let pool = database.pool();
    let mut connection = pool.writer().await.unwrap();
    for ids in [[1, 2], [3, 4]] {
        connection.begin();
        connection.finish(&[insert(&ids)]).await.unwrap();
        assert_eq!(connection.commit_state(), Commit::Done);
        assert!(connection.is_reusable());
    }
    assert_eq!(things(&database).await, 4);
    connection.begin();
    let error = connection.finish(&[insert(&[5, 4])]).await.unwrap_err();
    assert!(is_refusal(&error) && describe(&error).contains("23505"), "{}", describe(&error));
    assert_eq!(connection.commit_state(), Commit::Sent);
    assert!(connection.is_reusable());
    assert_eq!(things(&database).await, 4);
    connection.begin();
    connection.finish(&[]).await.unwrap();
    assert_eq!(connection.commit_state(), Commit::Done, "an empty transaction counts as committed");
}

#[tokio::test]
async fn rows_are_found_by_an_index_in_a_table_that_was_empty_when_they_were_first_looked_for() {
    // As wide as a journal: the planner expects few rows and sees no benefit in an index.
    let tables = "
        create table thing (id varchar(100), operation varchar(20), name text, reply text, step text, at timestamptz,
                            primary key (id, operation));
        create index named on thing (id) where name is null";
    let database = TestServer::shared().await.database(tables).await;
    let pool = database.pool();
    let look_up = "select name from thing where id = any($1::varchar[])";
    let count = "select count(*) from thing where name is null";
    let mut writer = pool.writer().await.unwrap();
    let mut reader = pool.get().await.unwrap();
    for _ in 0..6 {
        writer.query(look_up, &[&vec!["1", "2"]]).await.unwrap();
        reader.query(count, &[]).await.unwrap();
    }
    let fill = "insert into thing select n, 'make', 'thing' from generate_series(1, 20000) n";
    database.client().await.batch_execute(fill).await.unwrap();
    for first in 1..20 {
        let ids = vec![first.to_string(), (first + 1).to_string()];
        let rows = writer.query(look_up, &[&ids]).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(reader.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0);
    }
    drop((writer, reader));
    let other = database.client().await;
    test_server::wait_until("the sessions have reported their reads", async || {
        let told = "select idx_scan + seq_scan >= 55 from pg_stat_user_tables where relname = 'thing'";
        other.batch_execute("select pg_stat_clear_snapshot()").await.unwrap();
        other.query_one(told, &[]).await.unwrap().get::<_, bool>(0)
    })
    .await;
    let read = "select seq_tup_read from pg_stat_user_tables where relname = 'thing'";
    let read: i64 = other.query_one(read, &[]).await.unwrap().get(0);
    assert_eq!(read, 0, "rows were read by a sequential scan");
}
