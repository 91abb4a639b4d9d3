//! The embedded server with real binaries: created, stopped, adopted, killed, and refused with one clear line.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use ecommerce::embedded_postgres::{EmbeddedPostgres, Options, Search};
use rustix::process::{Signal, geteuid};
use tokio_postgres::{Client, NoTls};

use crate::{
    program,
    support::{self, Folder},
};

fn options(folder: &Folder) -> Options {
    Options::new(folder.path())
}

/// Expects a start to fail and returns the message.
fn refusal(options: Options) -> String {
    match EmbeddedPostgres::start(options) {
        Ok(_) => panic!("the server started"),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains('\n'), "one line: {message}");
            message
        }
    }
}

/// Runs a closure with a connection to the server.
fn with_client<T>(server: &EmbeddedPostgres, ask: impl AsyncFnOnce(&Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = ask(&client).await;
        drop(client);
        connection.await.unwrap().unwrap();
        answer
    })
}

fn run(server: &EmbeddedPostgres, sql: &str) {
    with_client(server, async |client| client.batch_execute(sql).await.unwrap());
}

fn ask(server: &EmbeddedPostgres, sql: &str) -> String {
    with_client(server, async |client| client.query_one(sql, &[]).await.unwrap().get(0))
}

fn kill(pid: u32) {
    program::send(pid, Signal::KILL);
}

#[test]
fn what_was_committed_is_there_after_a_stop_and_a_start() {
    let folder = Folder::new();
    let server = EmbeddedPostgres::start(options(&folder)).unwrap();
    assert!(server.bin_dir().join("initdb").is_file());
    run(&server, "create table t (x text); insert into t values ('kept')");
    assert_eq!(ask(&server, "show fsync"), "on");
    assert_eq!(ask(&server, "show listen_addresses"), "");
    assert_eq!(ask(&server, "show max_connections"), "200");
    let pid = server.pid();
    server.stop().unwrap();
    assert!(!support::is_alive(pid));

    let mut options = options(&folder);
    options.extra_settings = vec![("max_connections".to_owned(), "50".to_owned())];
    let server = EmbeddedPostgres::start(options).unwrap();
    assert_eq!(ask(&server, "select x from t"), "kept");
    assert_eq!(ask(&server, "show max_connections"), "50");
    server.stop().unwrap();
}

#[test]
fn a_second_launcher_on_a_folder_is_told_who_has_it() {
    let folder = Folder::new();
    let server = EmbeddedPostgres::start(options(&folder)).unwrap();
    let message = refusal(options(&folder));
    assert!(message.contains("in use by process"), "{message}");
    assert!(message.contains(&std::process::id().to_string()), "{message}");
    server.stop().unwrap();
}

#[test]
fn a_server_that_a_launcher_left_is_adopted_and_stopped_by_the_next() {
    let folder = Folder::new();
    let server = EmbeddedPostgres::start(options(&folder)).unwrap();
    let (pid, url, bin_dir) = (server.pid(), server.url(), server.bin_dir().to_owned());
    server.leave_running();

    let mut adopted = EmbeddedPostgres::start(options(&folder)).unwrap();
    assert_eq!((adopted.pid(), adopted.url()), (pid, url));
    assert_eq!(adopted.bin_dir(), bin_dir);
    assert!(adopted.is_running());
    assert_eq!(ask(&adopted, "select 'hello'"), "hello");
    adopted.stop().unwrap();
    assert!(!support::is_alive(pid));
}

#[test]
fn a_killed_server_is_revived_with_what_was_committed() {
    let folder = Folder::new();
    let mut server = EmbeddedPostgres::start(options(&folder)).unwrap();
    run(&server, "create table t (x text); insert into t values ('kept')");
    let pid = server.pid();
    server.revive().unwrap();
    assert_eq!(server.pid(), pid, "a running server is not replaced");
    kill(pid);
    support::wait_until("the server is dead", || !server.is_running());
    server.revive().unwrap();
    assert_eq!(ask(&server, "select x from t"), "kept");
    server.stop().unwrap();
}

#[test]
fn a_server_and_its_launcher_killed_together_leave_nothing_in_the_way() {
    let folder = Folder::new();
    let server = EmbeddedPostgres::start(options(&folder)).unwrap();
    run(&server, "create table t (x text); insert into t values ('kept')");
    let pid = server.pid();
    // The killed server stays a zombie, since this process is its parent and never waits for it.
    server.leave_running();
    kill(pid);
    support::wait_until("the server is dead", || !support::is_alive(pid));
    let server = EmbeddedPostgres::start(options(&folder)).unwrap();
    assert_ne!(server.pid(), pid);
    assert_eq!(ask(&server, "select x from t"), "kept");
    server.stop().unwrap();
}

#[test]
fn a_dropped_server_is_stopped() {
    let folder = Folder::new();
    let server = EmbeddedPostgres::start(options(&folder)).unwrap();
    let pid = server.pid();
    drop(server);
    assert!(!support::is_alive(pid));
}

#[test]
fn a_deep_folder_has_its_socket_elsewhere() {
    let folder = Folder::new();
    let deep = folder.path().join("d".repeat(60)).join("e".repeat(60));
    let server = EmbeddedPostgres::start(Options::new(&deep)).unwrap();
    let socket_dir = ask(&server, "show unix_socket_directories");
    assert!(socket_dir.starts_with("/tmp/ecommerce-postgres-"), "{socket_dir}");
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    server.stop().unwrap();
    assert!(!Path::new(&socket_dir).exists(), "{socket_dir} is left behind");
}

#[test]
fn a_server_that_does_not_start_is_quoted() {
    let folder = Folder::new();
    let mut options = options(&folder);
    options.extra_settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let message = refusal(options);
    assert!(message.contains("no_such_setting"), "{message}");
    assert!(message.contains("postgres.log"), "{message}");
}

#[test]
fn without_binaries_the_message_says_what_to_install() {
    let folder = Folder::new();
    let mut options = options(&folder);
    options.offline = true;
    options.search = Search::nowhere();
    let message = refusal(options);
    for word in ["14 or newer", "--offline", "apt-get install postgresql", "ECOMMERCE_PG_BIN"] {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn a_named_folder_without_binaries_is_not_passed_over() {
    let folder = Folder::new();
    let mut options = options(&folder);
    options.search.named = Some("/usr/share".into());
    let message = refusal(options);
    assert!(message.contains("ECOMMERCE_PG_BIN=/usr/share"), "{message}");
    assert!(message.contains("no postgres"), "{message}");
}

#[test]
fn data_of_another_major_version_is_refused_with_both_versions() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("postgres")).unwrap();
    fs::write(folder.path().join("postgres/PG_VERSION"), "13\n").unwrap();
    let mut options = options(&folder);
    options.offline = true;
    let message = refusal(options);
    assert!(message.contains("PostgreSQL 13 (the version of the data)"), "{message}");
    assert!(message.contains("postgresql-13"), "{message}");
    assert!(message.contains("found: 1"), "{message}");
}

#[test]
fn a_folder_that_is_no_cluster_is_left_alone() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("postgres")).unwrap();
    fs::write(folder.path().join("postgres/letter.txt"), "dear").unwrap();
    let message = refusal(options(&folder));
    assert!(message.contains("not a PostgreSQL cluster"), "{message}");
    assert!(folder.path().join("postgres/letter.txt").exists());
}

#[test]
fn a_folder_that_the_servers_account_cannot_enter_is_refused() {
    if !geteuid().is_root() {
        // Only root runs the server under another account.
        return;
    }
    let folder = Folder::new();
    support::close_to_others(folder.path());
    let message = refusal(Options::new(folder.path().join("data")));
    assert!(message.contains("cannot access"), "{message}");
    assert!(!folder.path().join("data").exists(), "nothing is created before the checks");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let message = refusal(Options::new("/proc/no-such-place/data"));
    assert!(message.contains("/proc/no-such-place"), "{message}");
}

#[test]
fn a_machine_without_postgresql_fetches_one_and_keeps_it() {
    let folder = Folder::new();
    let bare = |offline| {
        let mut options = options(&folder);
        options.search = Search::nowhere();
        options.offline = offline;
        options
    };
    let server = EmbeddedPostgres::start(bare(false)).unwrap();
    let fetched = server.bin_dir().to_owned();
    assert!(fetched.starts_with(folder.path().join("binaries")), "{}", fetched.display());
    run(&server, "create table t (x text); insert into t values ('kept')");
    server.stop().unwrap();

    // The second start needs no network.
    let server = EmbeddedPostgres::start(bare(true)).unwrap();
    assert_eq!(server.bin_dir(), fetched);
    assert_eq!(ask(&server, "select x from t"), "kept");
    server.stop().unwrap();
}
