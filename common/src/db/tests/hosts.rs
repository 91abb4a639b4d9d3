//! Tests of URLs with several hosts: real servers, and hosts that hang, drop packets or refuse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::time::sleep;

use super::test_server::PATIENCE;
use super::*;

/// A host that can be reached, and does no more with a connection than its [`Conduct`] says.
struct Host {
    address: SocketAddr,
    connects: Arc<AtomicUsize>,
    /// Connections that keep the queue of the listener full.
    _waiting: Vec<TcpStream>,
}

enum Conduct {
    /// Accepts and never answers.
    Hangs,
    /// Never even accepts: the queue of the listener is full, so the kernel drops further packets.
    DropsPackets,
    Refuses,
    /// Passes everything to a server, after a while.
    IsSlow(String),
}

impl Host {
    async fn that(conduct: Conduct) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let connects = Arc::new(AtomicUsize::new(0));
        let mut waiting = Vec::new();
        match conduct {
            Conduct::Refuses => drop(socket),
            Conduct::DropsPackets => {
                let listener = socket.listen(0).unwrap();
                let limit = Duration::from_millis(100);
                while let Ok(connected) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
                    waiting.push(connected.unwrap());
                }
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(listener);
                });
            }
            Conduct::Hangs => {
                tokio::spawn(accept(socket.listen(64).unwrap(), connects.clone(), None));
            }
            Conduct::IsSlow(server) => {
                tokio::spawn(accept(socket.listen(64).unwrap(), connects.clone(), Some(server)));
            }
        }
        Self { address, connects, _waiting: waiting }
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

async fn accept(listener: TcpListener, connects: Arc<AtomicUsize>, server: Option<String>) {
    let mut held = Vec::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connects.fetch_add(1, Ordering::Relaxed);
        let Some(server) = server.clone() else {
            held.push(client);
            continue;
        };
        tokio::spawn(async move {
            sleep(Duration::from_millis(300)).await;
            let mut server = UnixStream::connect(format!("{server}/.s.PGSQL.5432")).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// A URL with these hosts: addresses of [`Host`]s and folders of servers' sockets.
fn url_of(hosts: &[&str]) -> SecretString {
    let port = |host: &&str| host.rsplit_once(':').map_or("5432", |(_, port)| port).to_owned();
    let name = |host: &&str| host.split(':').next().unwrap_or_default().to_owned();
    let (names, ports): (Vec<_>, Vec<_>) = hosts.iter().map(|host| (name(host), port(host))).unzip();
    format!("postgres://postgres@/?host={}&port={}", names.join(","), ports.join(",")).into()
}

/// A second server, and a database of the same name on both.
async fn second_server() -> (TestServer, test_server::TestDatabase<'static>) {
    let database = TestServer::shared().await.database("create table thing (id int)").await;
    let second = TestServer::start().await;
    ensure_database(&second.url(), &database.name).await.unwrap();
    second.client(&database.name).await.batch_execute("create table thing (id int)").await.unwrap();
    (second, database)
}

async fn set_read_only(server: &TestServer, value: &str) {
    let client = server.client("postgres").await;
    client.batch_execute("set default_transaction_read_only = off").await.unwrap();
    let alter = format!("alter system set default_transaction_read_only = {value}");
    client.batch_execute(&alter).await.unwrap();
    client.batch_execute("select pg_reload_conf()").await.unwrap();
    test_server::wait_until("the server has read its configuration again", async || {
        let client = server.client("postgres").await;
        let row = client.query_one("show default_transaction_read_only", &[]).await.unwrap();
        row.get::<_, String>(0) == value
    })
    .await;
}

async fn server_of(connection: &mut Connection) -> String {
    let row = connection.query_one("select current_setting('unix_socket_directories')", &[]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn the_primary_is_found_behind_any_other_host_and_asked_first_from_then_on() {
    let (standby, database) = second_server().await;
    set_read_only(&standby, "on").await;
    let primary = TestServer::shared().await.folder();
    for conduct in [Conduct::Hangs, Conduct::DropsPackets, Conduct::Refuses] {
        let first = Host::that(conduct).await;
        let url = url_of(&[&first.name(), standby.folder(), primary]);
        let one = pool(&url, &database.name, &settings()).unwrap();
        let mut writer = one.writer().await.unwrap();
        assert_eq!(server_of(&mut writer).await, primary);
        let connects = first.connects.load(Ordering::Relaxed);
        // Another pool, and a session of its own.
        let other = pool(&url, "postgres", &settings()).unwrap();
        assert_eq!(server_of(&mut other.get().await.unwrap()).await, primary);
        let mut lone = Connection::open_writable(&url, &database.name, &settings()).await.unwrap();
        assert_eq!(server_of(&mut lone).await, primary);
        assert_eq!(first.connects.load(Ordering::Relaxed), connects, "the first host was asked again");
    }
}

#[tokio::test]
async fn a_primary_that_is_slow_is_preferred_to_a_standby_that_is_fast() {
    let (standby, database) = second_server().await;
    set_read_only(&standby, "on").await;
    let primary = TestServer::shared().await.folder();
    let slow = Host::that(Conduct::IsSlow(primary.to_owned())).await;
    let pool = pool(&url_of(&[standby.folder(), &slow.name()]), &database.name, &settings()).unwrap();
    let mut shown = pool.get_for_display().await.unwrap();
    assert_eq!(server_of(&mut shown).await, primary);
}

#[tokio::test]
async fn without_a_primary_a_standby_is_read_for_display_only_and_errors_name_every_host() {
    let (standby, database) = second_server().await;
    set_read_only(&standby, "on").await;
    let (hangs, refuses) = (Host::that(Conduct::Hangs).await, Host::that(Conduct::Refuses).await);
    let url = url_of(&[&hangs.name(), standby.folder(), &refuses.name()]);
    let settings = DatabaseSettings { connect_timeout_ms: 900, ..settings() };
    let open = pool(&url, &database.name, &settings).unwrap();
    let mut shown = open.get_for_display().await.unwrap();
    assert_eq!(server_of(&mut shown).await, standby.folder());
    drop(shown);
    let lone = Connection::open_writable(&url, &database.name, &settings).await.map(drop);
    for refused in [open.writer().await.map(drop), open.get().await.map(drop), lone] {
        assert!(matches!(refused, Err(DbError::ReadOnly { .. })), "{refused:?}");
        let error = refused.unwrap_err().to_string();
        for part in [
            format!("PostgreSQL at socket {} is read-only", standby.folder()),
            // Its share of the time, less what the search has taken by then.
            format!("{}: no answer within ", hangs.name()),
            format!("{}: error connecting to server: Connection refused", refuses.name()),
        ] {
            assert!(error.contains(&part), "{error} lacks {part}");
        }
    }
    let strict = format!("{}&target_session_attrs=read-write", url.expose_secret());
    let refused = Connection::open(&strict.into(), &database.name, &settings).await.map(drop);
    assert!(matches!(refused, Err(DbError::ReadOnly { .. })), "{refused:?}");

    let url = url_of(&[&hangs.name(), &refuses.name()]);
    let away = pool(&url, &database.name, &settings).unwrap();
    let lone = Connection::open(&url, &database.name, &settings).await.map(drop);
    for refused in [away.writer().await.map(drop), away.get_for_display().await.map(drop), lone] {
        assert!(matches!(refused, Err(DbError::Unreachable { .. })), "{refused:?}");
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(&hangs.name()) && error.contains(&format!("; {}: ", refuses.name())), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_is_missing_on_the_primary_is_made_there_though_the_first_host_is_away() {
    let away = Host::that(Conduct::Refuses).await;
    let url = url_of(&[&away.name(), TestServer::shared().await.folder()]);
    let url = format!("{}&dbname=made_behind", url.expose_secret()).into();
    wait_for(&url, None, PATIENCE).await.unwrap();
    ensure_database(&url, "made_behind").await.unwrap();
    Connection::open_writable(&url, "made_behind", &settings()).await.unwrap();
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let database = TestServer::shared().await.database("").await;
    let slow = Host::that(Conduct::IsSlow(TestServer::shared().await.folder().to_owned())).await;
    // The name leads to 127.0.0.1 and, on most machines, to ::1, where nothing listens.
    let url = SecretString::from(format!("postgres://postgres@localhost:{}/", slow.address.port()));
    Connection::open_writable(&url, &database.name, &settings()).await.unwrap();
    let unknown = SecretString::from("postgres://postgres@nowhere.invalid,127.0.0.1:1/");
    let error = Connection::open(&unknown, &database.name, &settings()).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("nowhere.invalid:5432: failed to lookup") && error.contains("127.0.0.1:1: "), "{error}");
}

#[tokio::test]
async fn a_pool_moves_on_when_its_server_has_become_a_standby() {
    let (second, database) = second_server().await;
    set_read_only(&second, "on").await;
    let first = TestServer::start().await;
    ensure_database(&first.url(), &database.name).await.unwrap();
    first.client(&database.name).await.batch_execute("create table thing (id int)").await.unwrap();
    let pool = pool(&url_of(&[first.folder(), second.folder()]), &database.name, &settings()).unwrap();
    // Idle sessions beside the writer's.
    futures::future::join_all((0..4).map(|_| pool.get())).await;
    let mut writer = pool.writer().await.unwrap();
    writer.execute("insert into thing values (1)", &[]).await.unwrap();
    drop(writer);

    set_read_only(&first, "on").await;
    let mut writer = pool.writer().await.unwrap();
    writer.execute("insert into thing values (2)", &[]).await.unwrap_err();
    drop(writer);
    let refused = pool.get().await.map(drop);
    assert!(matches!(refused, Err(DbError::ReadOnly { .. })), "an idle session is used: {refused:?}");

    set_read_only(&second, "off").await;
    test_server::wait_until("the writer writes on the new primary", async || {
        let Ok(mut writer) = pool.writer().await else { return false };
        writer.execute("insert into thing values (2)", &[]).await.unwrap();
        server_of(&mut writer).await == second.folder()
    })
    .await;
    for _ in 0..4 {
        let mut reader = pool.get().await.unwrap();
        assert_eq!(server_of(&mut reader).await, second.folder(), "an idle session on the old primary was used");
    }
}

/// Processes that are stopped for as long as this lives.
struct Stopped(Vec<u32>);

impl Stopped {
    fn new(processes: Vec<u32>) -> Self {
        processes.iter().for_each(|process| signal("STOP", *process));
        Self(processes)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.iter().for_each(|process| signal("CONT", *process));
    }
}

#[tokio::test]
async fn a_pool_moves_on_when_its_server_hangs() {
    let (second, database) = second_server().await;
    let first = TestServer::start().await;
    ensure_database(&first.url(), &database.name).await.unwrap();
    let brief = DatabaseSettings { statement_timeout_ms: 100, ..settings() };
    let pool = pool(&url_of(&[first.folder(), second.folder()]), &database.name, &brief).unwrap();
    let mut processes = vec![first.process_id()];
    let idle = futures::future::join_all((0..4).map(|_| pool.get())).await;
    for connection in idle {
        processes.push(session_of(&mut connection.unwrap()).await.unsigned_abs());
    }
    let mut writer = pool.writer().await.unwrap();
    processes.push(session_of(&mut writer).await.unsigned_abs());
    let _stopped = Stopped::new(processes);
    writer.query("select 1", &[]).await.unwrap_err();
    drop(writer);
    assert_eq!(server_of(&mut pool.writer().await.unwrap()).await, second.folder());
    // None of the idle sessions costs another time limit.
    for _ in 0..4 {
        assert_eq!(server_of(&mut pool.get().await.unwrap()).await, second.folder());
    }
}
