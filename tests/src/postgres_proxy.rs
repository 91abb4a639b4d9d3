//! A proxy before PostgreSQL that loses a chosen commit: the moment in which a client cannot know what happened.
//!
//! ```text
//! service ── commit ──►│proxy│── commit ──► PostgreSQL      CommitLost: this one never arrives
//!         ◄───────────-│     │◄──── done ──                ReplyLost: this one never arrives; it has happened
//! ```
//! Either way the connection is gone. Which database a connection is for, its first message tells.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::files::TemporaryFolder;

/// The name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// What is lost of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The commit itself: nothing has happened.
    CommitLost,
    /// Its reply: it has happened.
    ReplyLost,
}

/// A loss to come.
struct Armed {
    loss: Loss,
    /// Commits that pass before it.
    pass: usize,
}

type Plan = Arc<Mutex<HashMap<String, Armed>>>;

/// A proxy before the socket of a server. It ends with its value.
pub struct PostgresProxy {
    /// The URL of the server through this proxy.
    pub url: String,
    plan: Plan,
    acceptor: JoinHandle<()>,
    _folder: TemporaryFolder,
}

impl PostgresProxy {
    /// Starts a proxy before the server with this URL, which must name a folder of sockets.
    ///
    /// # Panics
    /// When it cannot.
    pub fn before(server_url: &str) -> Self {
        let config: tokio_postgres::Config = server_url.parse().expect("the launcher gives a good URL");
        let server = match config.get_hosts() {
            [tokio_postgres::config::Host::Unix(folder)] => folder.join(SOCKET),
            hosts => panic!("{hosts:?} is not one folder of sockets"),
        };
        let folder = TemporaryFolder::new();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a new folder takes a socket");
        let url =
            format!("postgres://postgres@/postgres?host={}", folder.path().display().to_string().replace('/', "%2F"));
        let plan = Plan::default();
        let planned = plan.clone();
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, plan) = (UnixStream::connect(server.clone()), planned.clone());
                tokio::spawn(async move {
                    if let Ok(server) = server.await {
                        carry(client, server, &plan).await;
                    }
                });
            }
        });
        Self { url, plan, acceptor, _folder: folder }
    }

    /// Loses a commit of a database, after some more have passed.
    pub fn lose(&self, database: &str, loss: Loss, pass: usize) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.insert(database.to_owned(), Armed { loss, pass });
    }

    /// Says whether the loss of a commit is still to come.
    pub fn is_armed(&self, database: &str) -> bool {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).contains_key(database)
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn carry(client: UnixStream, server: UnixStream, plan: &Plan) {
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    // Dropping both ends of both is what cuts the connection, as soon as one direction is over.
    tokio::select! {
        () = pass_requests(client_read, server_write, plan) => {}
        () = pass(server_read, client_write) => {}
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    // Fails when one of the two is gone, which is the end of both.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

async fn pass_requests(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, plan: &Plan) {
    let mut buffer = vec![0; 64 * 1024];
    let mut database = None;
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(length) if length > 0 => length,
            _ => return,
        };
        let sent = &buffer[..length];
        let database = database.get_or_insert_with(|| database_in(sent));
        match loss_of(plan, database, sent) {
            None => {
                if to.write_all(sent).await.is_err() {
                    return;
                }
            }
            Some(Loss::CommitLost) => return,
            Some(Loss::ReplyLost) => {
                // The server commits before it notices that nobody reads its reply any more.
                let _ = to.write_all(sent).await;
                return;
            }
        }
    }
}

/// Reads the database out of a connection's first message: names and values, each ended by a zero.
fn database_in(startup: &[u8]) -> String {
    let text = String::from_utf8_lossy(startup);
    let mut parts = text.split('\0');
    parts.find(|part| *part == "database");
    parts.next().unwrap_or_default().to_owned()
}

fn loss_of(plan: &Plan, database: &str, sent: &[u8]) -> Option<Loss> {
    const COMMIT: &[u8] = b"commit\0";
    if !sent.windows(COMMIT.len()).any(|part| part.eq_ignore_ascii_case(COMMIT)) {
        return None;
    }
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    let armed = plan.get_mut(database)?;
    match armed.pass {
        0 => plan.remove(database).map(|armed| armed.loss),
        _ => {
            armed.pass -= 1;
            None
        }
    }
}
