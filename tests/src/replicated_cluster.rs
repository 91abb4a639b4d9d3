//! Three PostgreSQL servers, a primary and two standbys, with synchronous replication to either of the standbys: the
//! set-up that survives the loss of a server. The test is the manager that promotes.
//!
//! ```text
//! services ──► proxy n1 ──► n1: primary ─┬──► proxy … ── a standby fetches its changes through the proxy of its primary
//!         └──► proxy n2 ──► n2: standby ◄┤
//!         └──► proxy n3 ──► n3: standby ◄┘    synchronous_standby_names = 'ANY 1 (the other two)'
//! ```
//! A proxy that holds its traffic is a machine whose network drops packets.

mod node;

use std::time::Duration;

use tokio::task::spawn_blocking;

use self::node::Node;
use crate::{
    PATIENCE, database::Database, files::TemporaryFolder, private_cluster::PrivateCluster, proxy::Proxy, wait_until,
};

/// The names of the servers.
const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// The manager connects to each server itself; one that hangs does not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Whether a commit waits for a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// For one of the two standbys.
    Synchronous,
    /// For none: a failover may lose commits.
    Asynchronous,
}

/// Three servers with one history. They end when dropped.
pub struct ReplicatedCluster {
    /// Declared before the folder, so that the servers end first.
    nodes: Vec<Node>,
    proxies: Vec<Proxy>,
    _folder: TemporaryFolder,
}

impl ReplicatedCluster {
    /// Makes a cluster with the first server as primary.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start(replication: Replication) -> Self {
        let seed = PrivateCluster::start().await;
        let bin_dir = seed.bin_dir().await;
        seed.stop().await;
        let folder = TemporaryFolder::new();
        let (mut nodes, mut proxies) = (Vec::new(), Vec::new());
        for name in NAMES {
            let node = Node::of_copy(name, &seed.cluster(), folder.path(), &bin_dir);
            proxies.push(Proxy::before(node.address).await);
            nodes.push(node);
        }
        let mut cluster = Self { nodes, proxies, _folder: folder };
        for node in &cluster.nodes {
            let others: Vec<&str> = NAMES.into_iter().filter(|name| *name != node.name).collect();
            let waited_for = match replication {
                Replication::Synchronous => format!("ANY 1 ({})", others.join(", ")),
                Replication::Asynchronous => String::new(),
            };
            node.write_settings(&waited_for);
        }
        cluster.launch(0).await;
        for standby in [1, 2] {
            cluster.nodes[standby].become_standby();
            cluster.follow(standby, 0).await;
            cluster.launch(standby).await;
        }
        cluster.wait_for_standbys(0, 2).await;
        cluster
    }

    /// Returns the URL that names all three servers.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.proxies.iter().map(|proxy| proxy.address.to_string()).collect();
        format!("postgres://postgres@{}/postgres", hosts.join(","))
    }

    /// Returns the URL of one server, past its proxy.
    pub fn url_of(&self, node: usize) -> String {
        format!("postgres://postgres@{}/postgres", self.nodes[node].address)
    }

    /// Returns the URL that names all three servers past their proxies.
    pub fn url_past_proxies(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        format!("postgres://postgres@{}/postgres", hosts.join(","))
    }

    /// Returns the proxy of a server.
    pub fn proxy(&self, node: usize) -> &Proxy {
        &self.proxies[node]
    }

    async fn launch(&mut self, node: usize) {
        self.nodes[node].launch();
        self.wait_until_up(node).await;
    }

    async fn wait_until_up(&self, node: usize) {
        wait_until("the server takes connections", PATIENCE, async || self.try_connect(node).await).await;
    }

    async fn try_connect(&self, node: usize) -> Option<Database> {
        let url = self.url_of(node);
        tokio::time::timeout(ANSWER_LIMIT, Database::try_connect(&url, "postgres")).await.ok()?.ok()
    }

    /// Connects to a database of one server.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(&self, node: usize, database: &str) -> Database {
        Database::connect(&self.url_of(node), database).await
    }

    /// Makes a standby fetch its changes from another server.
    async fn follow(&self, standby: usize, primary: usize) {
        self.nodes[standby].follow(Some(self.proxies[primary].address));
    }

    /// Waits until this many standbys are connected to a primary.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn wait_for_standbys(&self, primary: usize, count: i64) {
        let server = self.connect(primary, "postgres").await;
        let connected = "select count(*) from pg_stat_replication where state = 'streaming'";
        wait_until("the standbys are connected", PATIENCE, async || {
            (server.number(connected, &[]).await >= count).then_some(())
        })
        .await;
    }

    /// Ends a server with all its processes at once, as a crash of its machine does.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Stops all processes of a server where they are, until [`ReplicatedCluster::wake`].
    pub fn hang(&self, node: usize) {
        self.nodes[node].hang();
    }

    /// Lets a server that hangs go on.
    pub fn wake(&self, node: usize) {
        self.nodes[node].wake();
    }

    /// Stops a server in an orderly way: a primary waits until its standbys have everything.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self, node: usize) {
        self.nodes[node].ask_to_stop();
        wait_until("the server has stopped", PATIENCE, async || self.nodes[node].has_ended().then_some(())).await;
    }

    /// Promotes the standby that has most, and returns it. As a manager must, it first cuts the standbys off from their
    /// primary: a commit that either of them confirms after the choice would be lost.
    ///
    /// # Panics
    /// When that fails.
    pub async fn fail_over(&self, standbys: &[usize]) -> usize {
        let mut furthest = None;
        self.detach(standbys).await;
        for &standby in standbys {
            let server = self.connect(standby, "postgres").await;
            let received = "select (pg_last_wal_receive_lsn() - '0/0')::bigint";
            let received = server.number(received, &[]).await;
            if furthest.is_none_or(|(most, _)| received > most) {
                furthest = Some((received, standby));
            }
        }
        let (_, chosen) = furthest.expect("a standby is named");
        self.promote(chosen).await;
        for &standby in standbys {
            if standby != chosen {
                self.follow(standby, chosen).await;
            }
        }
        chosen
    }

    /// Cuts standbys off from their primary.
    ///
    /// # Panics
    /// When that fails.
    pub async fn detach(&self, standbys: &[usize]) {
        for &standby in standbys {
            self.nodes[standby].follow(None);
        }
        for &standby in standbys {
            let server = self.connect(standby, "postgres").await;
            let receives = "select count(*) from pg_stat_wal_receiver";
            let is_cut_off = async || (server.number(receives, &[]).await == 0).then_some(());
            wait_until("the standby is cut off", PATIENCE, is_cut_off).await;
        }
    }

    /// Waits until standbys have all that the first server holds now.
    ///
    /// # Panics
    /// When they do not come that far.
    pub async fn catch_up(&self, standbys: &[usize]) {
        let primary = self.connect(0, "postgres").await;
        let end = primary.number("select (pg_current_wal_insert_lsn() - '0/0')::bigint", &[]).await;
        for &standby in standbys {
            let server = self.connect(standby, "postgres").await;
            let received = "select (pg_last_wal_receive_lsn() - '0/0')::bigint";
            let has_all = async || (server.number(received, &[]).await >= end).then_some(());
            wait_until("the standby has caught up", PATIENCE, has_all).await;
        }
    }

    /// Promotes a standby, whatever the others have.
    ///
    /// # Panics
    /// When that fails.
    pub async fn promote(&self, standby: usize) {
        let server = self.connect(standby, "postgres").await;
        let promoted: bool = server.rows("select pg_promote(true, 60)", &[]).await[0].get(0);
        assert!(promoted, "the standby does not become a primary");
    }

    /// Starts a server that was stopped in an orderly way as a standby.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn return_as_standby(&mut self, node: usize, primary: usize) {
        self.nodes[node].become_standby();
        self.follow(node, primary).await;
        self.launch(node).await;
    }

    /// Replaces a dead server's folder by a copy of the primary's, and starts it as a standby.
    ///
    /// # Panics
    /// When that fails.
    pub async fn rebuild(&mut self, node: usize, primary: usize) {
        let (copy, from) = (self.nodes[node].base_backup(), self.nodes[primary].address);
        spawn_blocking(move || copy.run(from)).await.expect("copying does not panic");
        self.return_as_standby(node, primary).await;
        self.wait_for_standbys(primary, 2).await;
    }

    /// Starts a dead server again as it was.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start_again(&mut self, node: usize) {
        self.launch(node).await;
    }
}
