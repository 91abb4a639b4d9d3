//! A real PgBouncer before a PostgreSQL server, configured as Debian packages it: a pool mode, and no
//! `ignore_startup_parameters`.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    PATIENCE,
    database::Database,
    files::{TemporaryFolder, are_we_root},
    wait_until,
};

/// PgBouncer's port, part of its socket's name.
const PORT: u16 = 6432;

/// A PgBouncer on a socket; it ends when dropped.
pub struct PgBouncer {
    /// The URL of the server through PgBouncer.
    pub url: String,
    process: Child,
    folder: TemporaryFolder,
}

impl PgBouncer {
    /// Starts one before the server with this URL, which must name a folder of sockets. The mode is `session` or
    /// `transaction`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn before(server_url: &str, pool_mode: &str) -> Self {
        let config: tokio_postgres::Config = server_url.parse().expect("the launcher gives a good URL");
        let server = match config.get_hosts() {
            [tokio_postgres::config::Host::Unix(folder)] => folder.display().to_string(),
            hosts => panic!("{hosts:?} is not one folder of sockets"),
        };
        let folder = TemporaryFolder::new();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("an owner may change permissions");
        let path = folder.path().display();
        // With `auth_type = any` every client gets the user of its database's line.
        let settings = format!(
            "[databases]\n* = host={server} user=postgres\n[pgbouncer]\nlisten_port = {PORT}\n\
             unix_socket_dir = {path}\nauth_type = any\npool_mode = {pool_mode}\ndefault_pool_size = 40\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("a new folder can be written");
        let mut command = Command::new("pgbouncer");
        if are_we_root() {
            // PgBouncer refuses to run as root, and only the server's account can use the server's socket.
            let owner = fs::metadata(&server).expect("the server's folder is there");
            command.uid(owner.uid()).gid(owner.gid());
        }
        let log = fs::File::create(folder.path().join("log")).expect("a new folder can be written");
        let process = command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let process = process.expect("pgbouncer is installed: tests/run.sh does that");
        let url = format!("postgres://postgres@/postgres?host={}&port={PORT}", path.to_string().replace('/', "%2F"));
        let bouncer = Self { url, process, folder };
        wait_until("PgBouncer answers", PATIENCE, async || {
            Database::try_connect(&bouncer.url, "postgres").await.ok().map(drop)
        })
        .await;
        bouncer
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PgBouncer:\n{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
        // SIGINT waits for its clients; SIGTERM ends it at once.
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}
