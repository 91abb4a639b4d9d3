//! A PostgreSQL server on a folder: the shared one of all tests, or one of a test's own that it may stop and start.

use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::files::are_we_root;

/// A server.
pub struct Cluster {
    data: PathBuf,
    url: String,
    is_private: bool,
}

/// Starts a server on a folder, made first where there is none; adopts one that runs there.
///
/// # Panics
/// When it does not start.
pub async fn launch(data: &Path) -> Cluster {
    let data = data.to_owned();
    spawn_blocking(move || {
        let sockets = socket_dir(&data);
        make_for_postgres(&sockets);
        if !data.join("PG_VERSION").exists() {
            make_for_postgres(&data);
            run("initdb", &["-D", text(&data), "-U", "postgres", "--auth=trust", "--no-sync"]);
        }
        let url = format!("postgres://postgres@/postgres?host={}", text(&sockets).replace('/', "%2F"));
        let cluster = Cluster { data, url, is_private: false };
        if !cluster.is_running() {
            cluster.start();
        }
        cluster
    })
    .await
    .expect("the server starts")
}

/// Starts a server of a test's own; it is removed with its value.
///
/// # Panics
/// When it does not start.
pub async fn private() -> Cluster {
    let folder = std::env::temp_dir().join(format!("ecommerce-private-{}", Uuid::new_v4().simple()));
    let cluster = launch(&folder).await;
    Cluster { data: cluster.data.clone(), url: cluster.url.clone(), is_private: true }
}

impl Cluster {
    /// Returns its URL, and lets it run on.
    pub fn leave_running(self) -> String {
        self.url.clone()
    }

    /// Returns its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self) {
        let sockets = socket_dir(&self.data);
        let options = format!("-k {} -c listen_addresses='' -c max_connections=200", text(&sockets));
        let log = self.data.join("server.log");
        run("pg_ctl", &["-D", text(&self.data), "-w", "-l", text(&log), "-o", &options, "start"]);
    }

    /// Stops it as a power cut would: nothing is written any more, recovery at the next start.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop_immediately(&self) {
        run("pg_ctl", &["-D", text(&self.data), "-w", "-m", "immediate", "stop"]);
    }

    fn is_running(&self) -> bool {
        command("pg_ctl", &["-D", text(&self.data), "status"]).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_private {
            if self.is_running() {
                self.stop_immediately();
            }
            let _ = fs::remove_dir_all(&self.data);
            let _ = fs::remove_dir_all(socket_dir(&self.data));
        }
    }
}

/// A short folder: the path of a socket must stay under 107 bytes.
fn socket_dir(data: &Path) -> PathBuf {
    let mut key = DefaultHasher::new();
    data.hash(&mut key);
    std::env::temp_dir().join(format!("ecommerce-sockets-{:016x}", key.finish()))
}

fn make_for_postgres(folder: &Path) {
    fs::create_dir_all(folder).expect("the folder can be made");
    fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("its owner may open it");
    if are_we_root() {
        let chown = Command::new("chown").arg("-R").arg("postgres:postgres").arg(folder).status();
        assert!(chown.is_ok_and(|status| status.success()), "the account postgres owns {}", folder.display());
    }
}

fn run(program: &str, arguments: &[&str]) {
    // Its output goes nowhere: the server keeps what it inherits open for as long as it lives.
    let status =
        command(program, arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{program} {arguments:?}: {status:?}");
}

/// PostgreSQL does not run as root: its programs then run as `postgres`.
fn command(program: &str, arguments: &[&str]) -> Command {
    let program = bin_dir().join(program);
    let mut command = if are_we_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir("/");
    command
}

/// The newest installed server.
fn bin_dir() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let versions = installed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().expect("PostgreSQL is installed");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
