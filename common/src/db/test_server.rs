//! A PostgreSQL server for one test process: durable as in production, on a socket in a temporary folder, removed with
//! the process. Tests share one server, with a database each; a test that stops the server starts its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

use super::{Pool, pool, wait_for};
use crate::config::DatabaseSettings;

/// How long a test waits for an expected condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Stops the server after the test process has ended in any way: a static is never dropped.
const WATCHDOG: &str = r#"
    while kill -0 "$1" 2>/dev/null; do sleep 0.2; done
    pid=$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
    for _ in $(seq 100); do [ -e "$2/data/postmaster.pid" ] || break; sleep 0.05; done
    rm -rf "$2""#;

pub(crate) struct TestServer {
    folder: PathBuf,
    process: Mutex<Option<Child>>,
}

impl TestServer {
    /// Returns the server shared by all tests of this process.
    pub(crate) async fn shared() -> &'static TestServer {
        static SHARED: OnceCell<TestServer> = OnceCell::const_new();
        SHARED.get_or_init(TestServer::start).await
    }

    /// Starts a server for one test.
    pub(crate) async fn start() -> TestServer {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("common-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((user, group)) = other_user() {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        watch(&folder);
        let made = program("initdb", &folder)
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--pgdata"])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let server = TestServer { folder, process: Mutex::new(None) };
        server.start_again().await;
        server
    }

    /// Starts a stopped server again.
    pub(crate) async fn start_again(&self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"));
        let process = program("postgres", &self.folder)
            .args(["-c", "listen_addresses=", "-c", "max_connections=200", "-k"])
            .arg(&self.folder)
            .arg("-D")
            .arg(self.folder.join("data"))
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        *self.process.lock() = Some(process);
        wait_for(&self.url(), None, PATIENCE).await.unwrap();
    }

    /// Stops the server like a crash, without a checkpoint.
    pub(crate) fn stop_immediately(&self) {
        let mut process = self.process.lock().take().unwrap();
        signal("QUIT", process.id());
        process.wait().unwrap();
    }

    pub(crate) fn url(&self) -> SecretString {
        format!("postgres://postgres@/postgres?host={}", self.folder.display()).into()
    }

    /// Returns the folder of its socket.
    pub(crate) fn folder(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    /// Returns the process that accepts connections.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.lock().as_ref().unwrap().id()
    }

    /// Connects outside of any pool.
    pub(crate) async fn client(&self, database: &str) -> Client {
        let mut config: tokio_postgres::Config = secrecy::ExposeSecret::expose_secret(&self.url()).parse().unwrap();
        config.dbname(database);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Creates a database and runs `tables` in it.
    pub(crate) async fn database(&self, tables: &str) -> TestDatabase<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        super::ensure_database(&self.url(), &name).await.unwrap();
        let database = TestDatabase { server: self, name };
        database.client().await.batch_execute(tables).await.unwrap();
        database
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.lock().take() {
            signal("QUIT", process.id());
            let _ = process.wait();
        }
    }
}

/// A database of one test.
pub(crate) struct TestDatabase<'s> {
    server: &'s TestServer,
    pub(crate) name: String,
}

impl TestDatabase<'_> {
    pub(crate) fn pool(&self) -> Pool {
        self.pool_with(&settings())
    }

    pub(crate) fn pool_with(&self, settings: &DatabaseSettings) -> Pool {
        pool(&self.server.url(), &self.name, settings).unwrap()
    }

    /// Connects outside of any pool.
    pub(crate) async fn client(&self) -> Client {
        self.server.client(&self.name).await
    }
}

/// Returns the database settings of the configuration, which tests adapt.
pub(crate) fn settings() -> DatabaseSettings {
    crate::config::ConfigSource::embedded("bench").load().unwrap().database
}

pub(crate) fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
}

/// Waits until a condition holds.
pub(crate) async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < give_up, "{what} did not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn watch(folder: &Path) {
    let watchdog = Command::new("sh")
        .args(["-c", WATCHDOG, "watchdog", &std::process::id().to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    drop(watchdog.unwrap());
}

/// Prepares a PostgreSQL program, run as another user if this process is root: PostgreSQL refuses root.
fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(programs().join(name));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command
}

/// Returns the folder of PostgreSQL's programs: of the newest installed version, else from `PATH`.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
        folders.sort();
        let path = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&path));
        let found = folders.iter().rev().find(|folder| folder.join("initdb").exists());
        found.expect("PostgreSQL is installed").clone()
    })
}

/// Returns the user and group to switch to if this process is root.
fn other_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids_of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|id| id.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    Some(ids_of("postgres").or_else(|| ids_of("nobody")).expect("an account beside root exists"))
}
