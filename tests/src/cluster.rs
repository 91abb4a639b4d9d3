//! The PostgreSQL server shared by all tests, so that `cargo test` needs only the programs of PostgreSQL.
//!
//! ```text
//! first test process ──► starts the server ◄── adopted by every later one
//!      └ all hold users.lock, shared                     │
//!            watchdog: takes users.lock exclusively ─────┘ stops the server
//! ```
//! The server outlives the process that started it. Each process leaves a watchdog that waits until the last user has
//! ended, in whatever way: the kernel releases its lock.

use std::{
    fs::{self, File, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ecommerce::embedded_postgres::{EmbeddedPostgres, Options};
use tokio::{sync::OnceCell, task::spawn_blocking};

use crate::{
    PATIENCE,
    database::Database,
    files::{are_we_root, is_open_to_all, target},
    wait_until,
};

/// Maximum number of concurrent stacks in all test processes: more would exceed the server's connections.
const SLOTS: u32 = 5;

/// Stops the server with data folder `$0` and waits until it has ended. This runs under the lock, which keeps the next
/// user out until then.
const STOP: &str = r#"
    pid=$(head -n 1 "$0/postmaster.pid") && kill -INT "$pid" || exit 0
    for _ in $(seq 600); do [ -e "$0/postmaster.pid" ] || break; sleep 0.05; done"#;

/// File with the server's URL, for processes that find it running.
const URL_FILE: &str = "url";

struct Shared {
    url: String,
    /// Held while this process lives.
    _users: File,
}

/// Returns the URL of the server, which runs at least until this process ends.
///
/// # Panics
/// When it cannot be started.
pub async fn server_url() -> &'static str {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    &SHARED.get_or_init(start_or_adopt).await.url
}

async fn start_or_adopt() -> Shared {
    let (starting, users, company) =
        spawn_blocking(|| enter(folder())).await.expect("waiting for a lock does not panic");
    let url = match running().await {
        Some(url) => url,
        None => spawn_blocking(start).await.expect("the test server starts"),
    };
    if company == Company::Alone {
        drop_leftovers(&url).await;
    }
    stop_when_unused();
    drop(starting);
    Shared { url, _users: users }
}

/// Returns the URL of a server started by another process.
async fn running() -> Option<String> {
    let url = fs::read_to_string(folder().join(URL_FILE)).ok()?;
    Database::try_connect(&url, "postgres").await.ok().map(|_| url)
}

/// Starts the server, to outlive this process. Without flushing, since no test cuts the power.
fn start() -> String {
    let mut options = Options::new(folder());
    let settings = [("fsync", "off"), ("full_page_writes", "off")];
    options.extra_settings = settings.map(|(name, value)| (name.into(), value.into())).into();
    let server = EmbeddedPostgres::start(options).unwrap_or_else(|error| panic!("{error}"));
    let url = server.url();
    fs::write(folder().join(URL_FILE), &url).expect("the folder of the test server can be written");
    // Dropping it would stop the server.
    std::mem::forget(server);
    url
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Others,
}

/// Becomes a user of the server. While the first file is held, no other process becomes one.
fn enter(folder: &Path) -> (File, File, Company) {
    let starting = open(&folder.join("start.lock"));
    starting.lock().expect("a local file can be locked");
    let users = open(&folder.join("users.lock"));
    let company = match users.try_lock() {
        Ok(()) => Company::Alone,
        Err(_) => Company::Others,
    };
    // Waits while a watchdog is stopping the server.
    users.lock_shared().expect("a local file can be locked");
    (starting, users, company)
}

/// Drops the databases of killed tests. Only for the first user.
async fn drop_leftovers(url: &str) {
    let server = Database::connect(url, "postgres").await;
    let leftovers = r"select datname from pg_database where datname ~ '^t[0-9a-f]{32}(_|$)'";
    for row in server.rows(leftovers, &[]).await {
        let name: String = row.get(0);
        server.run(&format!("drop database if exists {name} with (force)")).await;
    }
}

fn stop_when_unused() {
    let watchdog = Command::new("flock")
        .arg("--exclusive")
        .arg(folder().join("users.lock"))
        .args(["sh", "-c", STOP])
        .arg(folder().join("postgres"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    // It outlives this process, so it is not waited for.
    drop(watchdog.expect("flock is part of util-linux"));
}

/// Returns the cluster's folder: in the target folder, if the account that runs PostgreSQL can enter that.
fn folder() -> &'static Path {
    static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| {
        let target = target();
        let folder = if are_we_root() && !is_open_to_all(&target) {
            let mut key = DefaultHasher::new();
            target.hash(&mut key);
            std::env::temp_dir().join(format!("ecommerce-test-postgres-{:016x}", key.finish()))
        } else {
            target.join("test-postgres")
        };
        fs::create_dir_all(&folder).expect("the folder of the test server can be made");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("its owner may open it");
        folder
    })
}

fn open(path: &Path) -> File {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Permission to run a stack on the shared server, until dropped.
pub struct Slot(#[expect(dead_code, reason = "holds a lock")] File);

impl Slot {
    /// Waits for a free slot.
    ///
    /// # Panics
    /// When no slot becomes free within the timeout.
    pub async fn take() -> Self {
        let files: Vec<PathBuf> = (0..SLOTS).map(|slot| folder().join(format!("slot-{slot}.lock"))).collect();
        let free = async || files.iter().map(|path| open(path)).find(|file| file.try_lock().is_ok()).map(Slot);
        // Stacks of other waiting tests may run first.
        wait_until("a stack of another test has ended", PATIENCE * 20, free).await
    }
}
