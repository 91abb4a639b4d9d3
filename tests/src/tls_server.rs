//! A PostgreSQL server that takes nothing but TLS, on a loopback address of its own.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{
    PATIENCE,
    certificates::{Authority, NAME, Pair},
    database::Database,
    files::TemporaryFolder,
    private_cluster::PrivateCluster,
    wait_until,
};

/// Roles that must log in by a client certificate, by a password, or not at all. The socket is for the tests.
const ACCESS: &str = "
    local all all trust
    hostssl all with_certificate all cert
    hostssl all with_password all scram-sha-256
    hostssl all all all trust
";

/// The server, with the files that its clients need.
pub struct TlsServer {
    /// The same server by its socket, without TLS.
    pub cluster: PrivateCluster,
    /// Signs the certificates of the server and of its clients.
    pub authority: Authority,
    /// The address it listens on, at the usual port.
    pub address: Ipv4Addr,
    folder: TemporaryFolder,
}

impl TlsServer {
    /// Starts it, with a certificate for [`NAME`].
    ///
    /// # Panics
    /// When that fails.
    pub async fn start() -> Self {
        // A port can be taken between the choice of a free one and its use; of these addresses there are millions.
        let [a, b, c, ..] = *Uuid::new_v4().as_bytes();
        let address = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
        let cluster = PrivateCluster::listening_on(address).await;
        let server = Self { cluster, authority: Authority::new(), address, folder: TemporaryFolder::new() };
        fs::write(server.cluster.cluster().join("pg_hba.conf"), ACCESS).expect("the folder can be written");
        server.authority.write(&server.cluster.cluster(), "root.crt");
        let settings = "
            alter system set ssl_cert_file = 'server.crt'; alter system set ssl_key_file = 'server.key';
            alter system set ssl_ca_file = 'root.crt'; alter system set ssl = on;
            create role with_certificate login superuser; create role with_password login superuser password 'secret'";
        for statement in settings.split(';') {
            server.administrator().await.run(statement).await;
        }
        server.present(&server.authority.server(&[NAME])).await;
        server
    }

    /// Makes the server present another certificate to new connections.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn present(&self, pair: &Pair) {
        let cluster = self.cluster.cluster();
        let owner = fs::metadata(&cluster).expect("it is there");
        let (certificate, key) = pair.write(&cluster, "server");
        for file in [certificate, key, cluster.join("root.crt"), cluster.join("pg_hba.conf")] {
            chown(file, Some(owner.uid()), Some(owner.gid())).expect("an owner may keep it, root may give it away");
        }
        let administrator = self.administrator().await;
        let before: String = administrator.rows("select pg_conf_load_time()::text", &[]).await[0].get(0);
        administrator.run("select pg_reload_conf()").await;
        wait_until("the server has read its files again", PATIENCE, async || {
            let rows = self.administrator().await.rows("select pg_conf_load_time()::text", &[]).await;
            (rows[0].get::<_, String>(0) != before).then_some(())
        })
        .await;
    }

    /// Makes the server take connections without TLS only.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn turn_tls_off(&self) {
        let access = "local all all trust\nhost all all all trust\n";
        fs::write(self.cluster.cluster().join("pg_hba.conf"), access).expect("the folder can be written");
        self.administrator().await.run("alter system set ssl = off").await;
        self.present(&self.authority.server(&[NAME])).await;
    }

    /// Returns a URL with these keys: `sslmode=require&sslrootcert=/ca.crt`.
    pub fn url(&self, keys: &str) -> String {
        self.url_of("postgres", keys)
    }

    /// Returns a URL with a login, `role` or `role:password`.
    pub fn url_of(&self, login: &str, keys: &str) -> String {
        format!("postgres://{login}@{NAME}/postgres?hostaddr={}&{keys}", self.address)
    }

    /// Returns a folder for files of clients.
    pub fn files(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the file of the authority's certificate.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn root(&self) -> PathBuf {
        self.authority.write(self.folder.path(), "ca.crt")
    }

    /// Connects by the socket.
    pub async fn administrator(&self) -> Database {
        Database::connect(&self.cluster.url, "postgres").await
    }
}
