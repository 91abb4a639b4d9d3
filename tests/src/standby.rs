//! A standby of a test's own server, to which an address may lead by mistake: it streams all changes and takes no writes.

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt, fs::chown, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, database::Database, files::are_we_root, private_cluster::PrivateCluster, wait_until};

/// A standby on a socket. It ends with its value, which must not outlive its primary.
pub struct Standby {
    /// Where it is.
    pub url: String,
    process: Child,
}

impl Standby {
    /// Starts a standby of a server. The server is stopped for a moment: its clients are disconnected.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn of(primary: &PrivateCluster) -> Self {
        let (folder, bin_dir) = primary.copy_for_standby().await;
        let (cluster, sockets) = (folder.join("postgres"), folder.join("run"));
        let owner = fs::metadata(&cluster).expect("it was just copied");
        let signal = cluster.join("standby.signal");
        File::create(&signal).expect("an owner may write");
        // The sockets in the copy are those of the primary.
        fs::remove_dir_all(&sockets).expect("an owner may remove");
        fs::create_dir(&sockets).expect("an owner may write");
        for path in [&signal, &sockets] {
            chown(path, Some(owner.uid()), Some(owner.gid())).expect("an owner may keep it, root may give it away");
        }
        let process = launch(&bin_dir, &cluster, &sockets, &primary.url);
        let host = sockets.display().to_string().replace('/', "%2F");
        let standby = Self { url: format!("postgres://postgres@/postgres?host={host}"), process };
        let server = wait_until("the standby takes connections", PATIENCE, async || {
            Database::try_connect(&standby.url, "postgres").await.ok()
        })
        .await;
        let in_recovery: bool = server.rows("select pg_is_in_recovery()", &[]).await[0].get(0);
        assert!(in_recovery, "it is a standby");
        standby
    }

    /// Waits until the standby has all that its primary holds now.
    ///
    /// # Panics
    /// When it does not come that far.
    pub async fn catch_up(&self, primary: &PrivateCluster) {
        let there = Database::connect(&primary.url, "postgres").await;
        let here = Database::connect(&self.url, "postgres").await;
        let end: String = there.rows("select pg_current_wal_lsn()::text", &[]).await[0].get(0);
        let has_all = "select coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
        wait_until("the standby has caught up", PATIENCE, async || {
            here.rows(has_all, &[&end]).await[0].get::<_, bool>(0).then_some(())
        })
        .await;
    }
}

/// Starts `postgres` as the owner of its cluster.
fn launch(bin_dir: &Path, cluster: &Path, sockets: &Path, primary_url: &str) -> Child {
    let config: tokio_postgres::Config = primary_url.parse().expect("the launcher gives a good URL");
    let [tokio_postgres::config::Host::Unix(primary)] = config.get_hosts() else {
        panic!("{primary_url} is not one folder of sockets");
    };
    let owner = fs::metadata(cluster).expect("it is there");
    let log = File::create(cluster.with_extension("log")).expect("the folder can be written");
    let mut command = Command::new(bin_dir.join("postgres"));
    if are_we_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.arg("-D").arg(cluster).arg("-k").arg(sockets).current_dir(cluster);
    // No fewer connections than its primary has.
    for setting in ["listen_addresses=", "max_connections=200", "fsync=off"] {
        command.args(["-c", setting]);
    }
    command.arg("-c").arg(format!("primary_conninfo=host={} user=postgres", primary.display()));
    let errors = log.try_clone().expect("a file has any number of handles");
    command.stdin(Stdio::null()).stdout(log).stderr(errors).env("LC_ALL", "C").spawn().expect("postgres can be run")
}

impl Drop for Standby {
    fn drop(&mut self) {
        // An immediate shutdown: its folder goes too.
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}
